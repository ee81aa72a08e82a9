/* From claims to the payload of a token. */
#ifndef FTA_TOKEN_PAYLOAD_H
#define FTA_TOKEN_PAYLOAD_H

#include "token/claims.h"
#include "token/keyring.h"

/* The JSON text of these claims, with what the keyring's rules add, and the
 * members of further, the text of a JSON object. It is made only if a token of
 * it would be valid here but for its times, and name the same identity: else
 * the status says which rule it breaks, FTA_JSON_NAME_REPEATED for a member
 * that the claims have too, FTA_CLAIMS_CONFLICT for another identity. *out is
 * freed with fta_free. As fta_claims_read, it may change what the roles are
 * granted. */
fta_status fta_payload_make(const fta_keyring *keyring,
                            const fta_claims *claims, fta_text further,
                            char **out, size_t *length);

#endif
