#include "token_sign.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <jwt.h>
#include <openssl/crypto.h>

#include "alloc.h"
#include "token_verify.h"

/* libjwt takes names in any case; ours are exact already. */
static jwt_alg_t
libjwt_algorithm(const fta_algorithm *algorithm)
{
    return jwt_str_alg(algorithm->name.data);
}

bool
fta_can_sign_with(const fta_algorithm *algorithm)
{
    jwt_alg_t alg = libjwt_algorithm(algorithm);
    return alg > JWT_ALG_NONE && alg < JWT_ALG_TERM;
}

static fta_status
status_of(int error)
{
    switch (error) {
    case 0:
        return FTA_OK;
    case ENOMEM:
        return FTA_NO_MEMORY;
    default:
        return FTA_CRYPTO;
    }
}

/* payload ends with a NUL. The text is freed with free: nothing here calls
 * jwt_set_alloc. */
static fta_status
sign_with_libjwt(const fta_key *key, const char *payload, char **out)
{
    fta_text secret = fta_key_signing_text(key);
    jwt_t *jwt = NULL;
    fta_status status = status_of(jwt_new(&jwt));
    if (status != FTA_OK) {
        return status;
    }
    status = status_of(
        jwt_set_alg(jwt, libjwt_algorithm(fta_key_algorithm(key)),
                    (const unsigned char *)secret.data, (int)secret.length));
    if (status != FTA_OK) {
        goto done;
    }
    status = status_of(jwt_add_header(jwt, "kid", fta_key_id(key).data));
    if (status != FTA_OK) {
        goto done;
    }
    if (jwt_add_grants_json(jwt, payload) != 0) {
        status = FTA_SIGNED_OTHERWISE;
        goto done;
    }
    *out = jwt_encode_str(jwt);
    status = *out != NULL ? FTA_OK : status_of(errno != 0 ? errno : EINVAL);
done:
    jwt_free(jwt);
    return status;
}

/* The payload has to be a valid object by our own reader before another one
 * sees it. text is changed. */
static fta_status
check_payload(char *text, size_t length, const fta_json_seed *seed)
{
    fta_json reader;
    fta_json_event event;
    fta_json_start(&reader, text, length, seed);
    fta_status status = fta_json_next(&reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        status = FTA_JSON_NOT_OBJECT;
    }
    while (status == FTA_OK && event.kind != FTA_JSON_END) {
        status = fta_json_next(&reader, &event);
    }
    fta_json_finish(&reader);
    return status;
}

static fta_status
check_token(const fta_keyring *keyring, fta_text text)
{
    fta_token token;
    fta_status status = fta_token_open(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_token_check(keyring, &token);
    }
    fta_token_close(&token);
    return status;
}

fta_status
fta_token_sign(const fta_keyring *keyring, fta_text payload, char **out,
               size_t *length)
{
    const fta_key *key = keyring->keys[0];
    if (!fta_key_can_sign(key)) {
        return FTA_CANNOT_SIGN;
    }
    if (payload.length > FTA_PAYLOAD_MAX) {
        return FTA_TOO_LONG;
    }
    char *token = NULL;
    char *text = fta_malloc(payload.length + 1);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(text, payload.data, payload.length);
    fta_status status = check_payload(text, payload.length, &keyring->seed);
    if (status != FTA_OK) {
        goto done;
    }
    memcpy(text, payload.data, payload.length);
    text[payload.length] = '\0';
    status = sign_with_libjwt(key, text, &token);
    if (status != FTA_OK) {
        goto done;
    }
    fta_text signed_text = {token, strlen(token)};
    status = check_token(keyring, signed_text);
    if (status != FTA_OK) {
        goto done;
    }
    *out = fta_malloc(signed_text.length);
    if (*out == NULL) {
        status = FTA_NO_MEMORY;
        goto done;
    }
    memcpy(*out, token, signed_text.length);
    *length = signed_text.length;
done:
    free(token);
    fta_free(text);
    return status;
}
