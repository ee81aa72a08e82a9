#include "token/key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "token/hmac.h"
#include "token/jwk.h"
#include "token/key_pair.h"
#include "token/key_search.h"
#include "token/pair_reader.h"

struct fta_key {
    const fta_algorithm *algorithm;
    char kid[FTA_KID_MAX + 1];
    size_t kid_length;
    bool kid_is_given;
    size_t signature_size;
    fta_signer *signer; /* Owned; NULL for a public key */
    fta_hmac *hmac;     /* Owned; NULL for a key pair */
    EVP_PKEY *pair;     /* Owned; NULL for HMAC */
    fta_validity validity;
};

const fta_algorithm *
fta_key_algorithm(const fta_key *key)
{
    return key->algorithm;
}

fta_text
fta_key_id(const fta_key *key)
{
    return (fta_text){key->kid, key->kid_length};
}

bool
fta_key_id_is_given(const fta_key *key)
{
    return key->kid_is_given;
}

EVP_PKEY *
fta_key_pair(const fta_key *key)
{
    return key->pair;
}

fta_signer *
fta_key_signer(const fta_key *key)
{
    return key->signer;
}

bool
fta_key_is_private(const fta_key *key)
{
    return key->pair != NULL && key->signer != NULL;
}

const fta_validity *
fta_key_validity(const fta_key *key)
{
    return key->validity.is_known ? &key->validity : NULL;
}

void
fta_key_free(fta_key *key)
{
    if (key == NULL) {
        return;
    }
    fta_hmac_free(key->hmac);
    EVP_PKEY_free(key->pair);
    fta_signer_free(key->signer);
    fta_free(key);
}

/* The caller has checked that it is UTF-8. Here: whether a header, a log line
 * and the C strings of libjwt can hold it. */
static fta_status
set_kid(fta_key *key, fta_text kid)
{
    if (kid.length == 0 || kid.length > FTA_KID_MAX) {
        return FTA_KID_MALFORMED;
    }
    for (size_t i = 0; i < kid.length; i++) {
        uint8_t octet = (uint8_t)kid.data[i];
        if (octet < 0x20 || octet == 0x7F) {
            return FTA_KID_MALFORMED;
        }
    }
    memcpy(key->kid, kid.data, kid.length);
    key->kid_length = kid.length;
    key->kid_is_given = true;
    return FTA_OK;
}

/* --- secrets ------------------------------------------------------------ */

static fta_status
check_secret(const fta_algorithm *algorithm, const uint8_t *secret, size_t size,
             bool allow_weak)
{
    if (algorithm->family != FTA_HMAC) {
        return FTA_ALGORITHM_NOT_HMAC;
    }
    if (size == 0) {
        return FTA_SECRET_EMPTY;
    }
    if (size > FTA_SECRET_MAX) {
        return FTA_SECRET_TOO_LONG;
    }
    bool is_key;
    fta_status status = fta_key_search(secret, size, &is_key);
    if (status != FTA_OK) {
        return status;
    }
    if (is_key) {
        return FTA_SECRET_IS_KEY;
    }
    return size < algorithm->digest_size && !allow_weak ? FTA_SECRET_TOO_SHORT
                                                        : FTA_OK;
}

/* It reveals no more of the secret than the signature of a token does. Every
 * host that has the secret derives the same kid. */
static fta_status
derive_kid(fta_key *key, const uint8_t *secret, size_t size)
{
    static const char label[] = "flask_tenant_auth kid";
    uint8_t tag[FTA_HMAC_SIZE_MAX];
    fta_hmac *hmac = NULL;
    fta_status status = fta_hmac_new("SHA256", secret, size, &hmac);
    if (status == FTA_OK) {
        status = fta_hmac_compute(hmac, label, sizeof label - 1, tag);
    }
    if (status == FTA_OK) {
        key->kid_length = fta_base64url_encode(tag, 9, key->kid);
    }
    fta_hmac_free(hmac);
    return status;
}

fta_status
fta_key_from_secret(const fta_algorithm *algorithm, fta_text kid,
                    const uint8_t *secret, size_t size, bool allow_weak,
                    fta_key **out)
{
    fta_status status = check_secret(algorithm, secret, size, allow_weak);
    if (status != FTA_OK) {
        return status;
    }
    fta_key *key = fta_calloc(1, sizeof *key);
    if (key == NULL) {
        return FTA_NO_MEMORY;
    }
    key->algorithm = algorithm;
    key->signature_size = algorithm->digest_size;
    status = fta_signer_from_secret(algorithm, secret, size, &key->signer);
    if (status != FTA_OK) {
        goto done;
    }
    status =
        kid.data != NULL ? set_kid(key, kid) : derive_kid(key, secret, size);
    if (status != FTA_OK) {
        goto done;
    }
    status = fta_hmac_new(algorithm->digest, secret, size, &key->hmac);
done:
    if (status == FTA_OK) {
        *out = key;
    } else {
        fta_key_free(key);
    }
    return status;
}

/* --- key pairs ---------------------------------------------------------- */

static fta_status
set_pair(fta_key *key, fta_text kid, EVP_PKEY *pair)
{
    fta_status status = fta_pair_check(pair, key->algorithm);
    if (status != FTA_OK) {
        return status;
    }
    if (!EVP_PKEY_up_ref(pair)) {
        return FTA_CRYPTO;
    }
    key->pair = pair;
    key->signature_size = fta_pair_signature_size(pair, key->algorithm);
    if (fta_pair_is_private(pair)) {
        status = fta_signer_from_pair(key->algorithm, pair, &key->signer);
        if (status != FTA_OK) {
            return status;
        }
    }
    if (kid.data != NULL) {
        return set_kid(key, kid);
    }
    return fta_jwk_thumbprint(pair, key->algorithm, key->kid, &key->kid_length);
}

fta_status
fta_key_from_pair(const fta_algorithm *algorithm, fta_text kid, EVP_PKEY *pair,
                  fta_key **out)
{
    fta_key *key = fta_calloc(1, sizeof *key);
    if (key == NULL) {
        return FTA_NO_MEMORY;
    }
    key->algorithm = algorithm;
    fta_status status = set_pair(key, kid, pair);
    ERR_clear_error(); /* some checks leave errors even if they succeed */
    if (status == FTA_OK) {
        *out = key;
    } else {
        fta_key_free(key);
    }
    return status;
}

fta_status
fta_key_from_encoded(const fta_algorithm *algorithm, fta_text kid,
                     fta_text encoded, fta_text passphrase, fta_key **out)
{
    if (algorithm->family == FTA_HMAC) {
        return FTA_ALGORITHM_HMAC;
    }
    fta_pair_found found;
    fta_status status = fta_pair_read(encoded, passphrase, &found);
    if (status != FTA_OK) {
        return status;
    }
    status = fta_key_from_pair(algorithm, kid, found.pair, out);
    EVP_PKEY_free(found.pair);
    if (status == FTA_OK) {
        (*out)->validity = found.validity;
    }
    return status;
}

/* --- verifying ---------------------------------------------------------- */

static fta_status
verify_hmac(const fta_key *key, const void *message, size_t length,
            const uint8_t *signature)
{
    uint8_t tag[FTA_HMAC_SIZE_MAX];
    fta_status status = fta_hmac_compute(key->hmac, message, length, tag);
    if (status == FTA_OK &&
        CRYPTO_memcmp(tag, signature, key->signature_size) != 0) {
        status = FTA_SIGNATURE_MISMATCH;
    }
    /* Whoever knows the right tag for an invalid token has a valid token. */
    OPENSSL_cleanse(tag, sizeof tag);
    return status;
}

fta_status
fta_key_verify(const fta_key *key, const void *message, size_t length,
               const uint8_t *signature, size_t size)
{
    if (size != key->signature_size) {
        return FTA_SIGNATURE_MISMATCH;
    }
    if (key->hmac != NULL) {
        return verify_hmac(key, message, length, signature);
    }
    return fta_pair_verify(key->pair, key->algorithm, message, length,
                           signature, size);
}
