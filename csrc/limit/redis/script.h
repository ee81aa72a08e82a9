/* The script that counts in Redis, which the build makes of the files in lua/.
 * See lua/script.lua. */
#ifndef FTA_LIMIT_REDIS_SCRIPT_H
#define FTA_LIMIT_REDIS_SCRIPT_H

#include <stddef.h>

extern const char fta_redis_script[];
extern const size_t fta_redis_script_length; /* Without the NUL. */

#endif
