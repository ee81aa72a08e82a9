/* UUIDs of version 7, which say when they were made (RFC 9562, section 5.7). */
#ifndef FTA_SESSION_UUID7_H
#define FTA_SESSION_UUID7_H

#include <stdint.h>

#include "base/status.h"
#include "base/uuid.h"

/* The largest time that one can say, in milliseconds since 1970. */
#define FTA_UUID7_MS_MAX (((int64_t)1 << 48) - 1)

/* Makes a new one, 74 bits of which are random. FTA_BAD_ARGUMENT for a time
 * that it cannot say. */
fta_status fta_uuid7_make(int64_t ms, fta_uuid *out);

#endif
