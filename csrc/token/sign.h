/* From claims to a token, through libjwt. */
#ifndef FTA_TOKEN_SIGN_H
#define FTA_TOKEN_SIGN_H

#include "token/keyring.h"

/* Signs the payload, the text of a JSON object, with the keyring's first key.
 * The signature is verified before the token is given out, and that the token
 * says what the payload says. *out is freed with fta_free. */
fta_status fta_token_sign(const fta_keyring *keyring, fta_text payload,
                          char **out, size_t *length);

/* Whether the key has a secret or private part and the libjwt that is loaded
 * signs with its algorithm. */
bool fta_key_can_sign(const fta_key *key);

#endif
