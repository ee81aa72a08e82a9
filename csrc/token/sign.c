#include "token/sign.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "token/json_digest.h"
#include "token/verify.h"

bool
fta_key_can_sign(const fta_key *key)
{
    return fta_key_signer(key) != NULL &&
           fta_signer_knows(fta_key_algorithm(key));
}

/* Verifies the token of libjwt, whatever libjwt reports. */
static fta_status
check_signature(const fta_keyring *keyring, fta_text text, fta_token *token)
{
    fta_status status = fta_token_open(keyring, text, token);
    if (status == FTA_OK) {
        status = fta_token_check(keyring, token);
    }
    switch (status) {
    case FTA_OK:
    case FTA_TOO_LONG:
    case FTA_NO_MEMORY:
        return status;
    default:
        return FTA_CRYPTO;
    }
}

/* A token is given out only if it verifies and says what the payload says. */
static fta_status
check_token(const fta_keyring *keyring, fta_text text, uint64_t expected)
{
    fta_token token;
    uint64_t digest = 0;
    fta_status status = check_signature(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_json_digest(token.payload, token.payload_size,
                                 &keyring->seed, &digest);
    }
    fta_token_close(&token);
    if (status != FTA_OK) {
        return status;
    }
    return digest == expected ? FTA_OK : FTA_SIGNED_OTHERWISE;
}

static fta_status
sign_text(const fta_keyring *keyring, fta_text payload, char *text,
          char **signed_text, char **out, size_t *length)
{
    const fta_key *key = keyring->keys[0];
    uint64_t digest;
    memcpy(text, payload.data, payload.length);
    fta_status status =
        fta_json_digest(text, payload.length, &keyring->seed, &digest);
    if (status != FTA_OK) {
        return status;
    }
    /* Reading has changed it. */
    memcpy(text, payload.data, payload.length);
    text[payload.length] = '\0';
    status = fta_signer_sign(fta_key_signer(key), fta_key_id(key).data,
                             (fta_text){text, payload.length}, signed_text);
    if (status != FTA_OK) {
        return status;
    }
    fta_text token = {*signed_text, strlen(*signed_text)};
    status = check_token(keyring, token, digest);
    if (status != FTA_OK) {
        return status;
    }
    *out = fta_malloc(token.length);
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(*out, token.data, token.length);
    *length = token.length;
    return FTA_OK;
}

fta_status
fta_token_sign(const fta_keyring *keyring, fta_text payload, char **out,
               size_t *length)
{
    const fta_key *key = keyring->keys[0];
    if (fta_key_signer(key) == NULL) {
        return FTA_KEY_IS_PUBLIC;
    }
    if (!fta_signer_knows(fta_key_algorithm(key))) {
        return FTA_CANNOT_SIGN;
    }
    /* White space and escapes do not go into the token. A payload that is
     * mostly that is not expected. */
    if (payload.length / 2 > keyring->max_token_bytes) {
        return FTA_TOO_LONG;
    }
    char *text = fta_malloc(payload.length + 1), *signed_text = NULL;
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        sign_text(keyring, payload, text, &signed_text, out, length);
    free(signed_text); /* from malloc: libjwt's allocator is never replaced */
    fta_free(text);
    ERR_clear_error(); /* libjwt leaves errors in the queue */
    return status;
}
