/* Keys that are derived from others: HKDF with SHA-256 (RFC 5869). */
#ifndef FTA_SESSION_DERIVE_H
#define FTA_SESSION_DERIVE_H

#include "base/status.h"
#include "base/text.h"

/* RFC 5869, section 2.3. */
#define FTA_DERIVED_MAX ((size_t)255 * 32)

/* Writes size octets. FTA_BAD_ARGUMENT for none, more than FTA_DERIVED_MAX, or
 * an empty secret. */
fta_status fta_derive(fta_text secret, fta_text salt, fta_text info,
                      uint8_t *out, size_t size);

#endif
