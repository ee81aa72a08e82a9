/* UUIDs made from names (RFC 9562, section 5.5). */
#ifndef FTA_TOKEN_NAME_UUID_H
#define FTA_TOKEN_NAME_UUID_H

#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"

/* The UUID of version 5 of a name in a namespace. FTA_NO_MEMORY, FTA_CRYPTO. */
fta_status fta_uuid_of_name(const fta_uuid *space, fta_text name,
                            fta_uuid *out);

#endif
