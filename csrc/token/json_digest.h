/* A digest of what a JSON text says. The order of members, white space and
 * escapes make no difference. Two texts with one digest say the same, except
 * with a chance of 2^-64. */
#ifndef FTA_TOKEN_JSON_DIGEST_H
#define FTA_TOKEN_JSON_DIGEST_H

#include "base/json.h"

/* The text must be a valid object, else FTA_JSON_NOT_OBJECT. Reading changes
 * it. Only digests of the same seed can be compared. */
fta_status fta_json_digest(char *text, size_t length, const fta_json_seed *seed,
                           uint64_t *out);

#endif
