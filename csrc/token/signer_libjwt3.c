#include "token/libjwt.h"

#if FTA_LIBJWT == 3

#include <errno.h>
#include <stdatomic.h>

#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/crypto_error.h"
#include "token/hmac.h"
#include "token/jwk.h"
#include "token/signer.h"

struct fta_signer {
    const fta_algorithm *algorithm;
    char *text; /* Owned, wiped: the key as a JWK */
    size_t length;
    /* Owned: libjwt's form of the key, from the first token on. NULL before, so
     * a process that only verifies has none. */
    _Atomic(jwk_set_t *) keys;
};

/* 3.x knows all of ours. */
bool
fta_signer_knows(const fta_algorithm *algorithm)
{
    return jwt_str_alg(algorithm->name.data) != JWT_ALG_INVAL;
}

/* --- made and freed ----------------------------------------------------- */

static fta_signer *
signer_new(const fta_algorithm *algorithm)
{
    fta_signer *signer = fta_calloc(1, sizeof *signer);
    if (signer != NULL) {
        signer->algorithm = algorithm;
        atomic_init(&signer->keys, NULL);
    }
    return signer;
}

/* Takes the signer, and gives it out unless status says that it failed. */
static fta_status
finish(fta_signer *signer, fta_status status, fta_signer **out)
{
    if (status == FTA_OK) {
        *out = signer;
    } else {
        fta_signer_free(signer);
    }
    return status;
}

fta_status
fta_signer_from_secret(const fta_algorithm *algorithm, const uint8_t *secret,
                       size_t size, fta_signer **out)
{
    fta_signer *signer = signer_new(algorithm);
    if (signer == NULL) {
        return FTA_NO_MEMORY;
    }
    /* libjwt takes no secret that is shorter than the hash, which our caller
     * may allow. HMAC fills a short secret with zeros (RFC 2104, section 2), so
     * with zeros at its end it makes the same signatures. */
    uint8_t filled[FTA_HMAC_SIZE_MAX] = {0};
    bool is_short = size < algorithm->digest_size;
    if (is_short) {
        memcpy(filled, secret, size);
    }
    fta_status status =
        fta_jwk_text_of_secret(algorithm, is_short ? filled : secret,
                               is_short ? algorithm->digest_size : size,
                               &signer->text, &signer->length);
    OPENSSL_cleanse(filled, sizeof filled);
    return finish(signer, status, out);
}

fta_status
fta_signer_from_pair(const fta_algorithm *algorithm, EVP_PKEY *pair,
                     fta_signer **out)
{
    fta_signer *signer = signer_new(algorithm);
    if (signer == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        fta_jwk_text_of_pair(algorithm, pair, &signer->text, &signer->length);
    return finish(signer, status, out);
}

void
fta_signer_free(fta_signer *signer)
{
    if (signer != NULL) {
        jwks_free(atomic_load(&signer->keys));
        fta_free_secret(signer->text, signer->length + 1);
        fta_free(signer);
    }
}

/* --- signing ------------------------------------------------------------ */

/* Of a call of libjwt that has failed; errno was 0 before. */
static fta_status
failure(fta_status otherwise)
{
    return fta_crypto_error(errno == ENOMEM ? FTA_NO_MEMORY : otherwise);
}

static fta_status
read_key(const fta_signer *signer, jwk_set_t **out)
{
    errno = 0;
    jwk_set_t *keys = jwks_create_strn(signer->text, signer->length);
    const jwk_item_t *key = keys == NULL ? NULL : jwks_item_get(keys, 0);
    if (key == NULL || jwks_error(keys) || jwks_item_error(key)) {
        fta_status status = failure(FTA_CRYPTO);
        jwks_free(keys);
        return status;
    }
    *out = keys;
    return FTA_OK;
}

static fta_status
fill_and_generate(jwt_builder_t *builder, const fta_signer *signer,
                  const jwk_set_t *keys, const char *kid, const char *payload,
                  char **out)
{
    jwt_value_t id = {.type = JWT_VALUE_STR, .name = "kid", .str_val = kid};
    /* Not const, because the struct serves for reading too. */
    jwt_value_t claims = {.type = JWT_VALUE_JSON,
                          .json_val = (char *)(uintptr_t)payload};
    errno = 0;
    jwt_builder_enable_iat(builder, 0);
    if (jwt_builder_setkey(builder, jwt_str_alg(signer->algorithm->name.data),
                           jwks_item_get(keys, 0)) != 0 ||
        jwt_builder_header_set(builder, &id) != JWT_VALUE_ERR_NONE) {
        return failure(FTA_CRYPTO);
    }
    /* The payload is valid JSON, so unless malloc has failed, it holds a value
     * that libjwt cannot hold. */
    if (jwt_builder_claim_set(builder, &claims) != JWT_VALUE_ERR_NONE) {
        return failure(FTA_SIGNED_OTHERWISE);
    }
    *out = jwt_builder_generate(builder);
    return *out != NULL ? FTA_OK : failure(FTA_CRYPTO);
}

static fta_status
generate(const fta_signer *signer, const jwk_set_t *keys, const char *kid,
         const char *payload, char **out)
{
    jwt_builder_t *builder = jwt_builder_new();
    if (builder == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        fill_and_generate(builder, signer, keys, kid, payload, out);
    jwt_builder_free(builder);
    return status;
}

/* The first token: the key is kept if libjwt could sign with it. Without memory
 * it may have read a part of it only. */
static fta_status
generate_first(fta_signer *signer, const char *kid, const char *payload,
               char **out)
{
    jwk_set_t *keys = NULL, *none = NULL;
    fta_status status = read_key(signer, &keys);
    if (status == FTA_OK) {
        status = generate(signer, keys, kid, payload, out);
    }
    /* Another thread may have been faster. */
    if (status != FTA_OK ||
        !atomic_compare_exchange_strong(&signer->keys, &none, keys)) {
        jwks_free(keys);
    }
    return status;
}

fta_status
fta_signer_sign(fta_signer *signer, const char *kid, fta_text payload,
                char **out)
{
    const jwk_set_t *keys = atomic_load(&signer->keys);
    *out = NULL;
    return keys != NULL ? generate(signer, keys, kid, payload.data, out)
                        : generate_first(signer, kid, payload.data, out);
}

#endif
