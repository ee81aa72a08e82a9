#include "key.h"

#include <limits.h>
#include <stdatomic.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "alloc.h"
#include "base64url.h"
#include "token_sign.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}

static const fta_algorithm algorithms[] = {
    {TEXT("HS256"), FTA_HMAC, "SHA256", 32, NULL, NULL, 0},
    {TEXT("HS384"), FTA_HMAC, "SHA384", 48, NULL, NULL, 0},
    {TEXT("HS512"), FTA_HMAC, "SHA512", 64, NULL, NULL, 0},
    {TEXT("RS256"), FTA_RSA_PKCS1, "SHA256", 32, NULL, NULL, 0},
    {TEXT("RS384"), FTA_RSA_PKCS1, "SHA384", 48, NULL, NULL, 0},
    {TEXT("RS512"), FTA_RSA_PKCS1, "SHA512", 64, NULL, NULL, 0},
    {TEXT("PS256"), FTA_RSA_PSS, "SHA256", 32, NULL, NULL, 0},
    {TEXT("PS384"), FTA_RSA_PSS, "SHA384", 48, NULL, NULL, 0},
    {TEXT("PS512"), FTA_RSA_PSS, "SHA512", 64, NULL, NULL, 0},
    {TEXT("ES256"), FTA_ECDSA, "SHA256", 32, "P-256", "prime256v1", 32},
    {TEXT("ES384"), FTA_ECDSA, "SHA384", 48, "P-384", "secp384r1", 48},
    {TEXT("ES512"), FTA_ECDSA, "SHA512", 64, "P-521", "secp521r1", 66},
    {TEXT("EdDSA"), FTA_EDDSA, NULL, 0, "Ed25519", NULL, 0},
};

/* How many HMAC contexts a key keeps ready: about as many as threads verify
 * at the same instant. One more than that costs a copy, nothing else. */
#define POOL 8

struct fta_key {
    const fta_algorithm *algorithm;
    char kid[FTA_KID_MAX + 1];
    size_t kid_length;
    size_t signature_size;
    char *signing_text; /* Owned, wiped: the secret, or the private PEM */
    size_t signing_length;
    /* HMAC: never used itself, only copied, so that reading needs no lock. */
    EVP_MAC_CTX *prepared; /* Owned */
    /* Copies of prepared, taken and given back by exchange. */
    _Atomic(EVP_MAC_CTX *) pool[POOL];
};

const fta_algorithm *
fta_algorithm_find(fta_text name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        if (fta_text_equal(name, algorithms[i].name)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

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

fta_text
fta_key_signing_text(const fta_key *key)
{
    return (fta_text){key->signing_text, key->signing_length};
}

size_t
fta_key_signature_size(const fta_key *key)
{
    return key->signature_size;
}

bool
fta_key_can_sign(const fta_key *key)
{
    return key->signing_text != NULL && fta_can_sign_with(key->algorithm);
}

void
fta_key_free(fta_key *key)
{
    if (key == NULL) {
        return;
    }
    for (size_t i = 0; i < POOL; i++) {
        EVP_MAC_CTX_free(atomic_load(&key->pool[i]));
    }
    EVP_MAC_CTX_free(key->prepared);
    fta_free_secret(key->signing_text, key->signing_length + 1);
    fta_free(key);
}

/* --- key ids ------------------------------------------------------------ */

/* Well-formed UTF-8 is the caller's business; here it is what a header, a log
 * line and libjwt's C strings can carry. */
static bool
kid_is_fit(fta_text kid)
{
    if (kid.length == 0 || kid.length > FTA_KID_MAX) {
        return false;
    }
    for (size_t i = 0; i < kid.length; i++) {
        uint8_t octet = (uint8_t)kid.data[i];
        if (octet < 0x20 || octet == 0x7F) {
            return false;
        }
    }
    return true;
}

static fta_status
set_kid(fta_key *key, fta_text kid)
{
    if (!kid_is_fit(kid)) {
        return FTA_KID_MALFORMED;
    }
    memcpy(key->kid, kid.data, kid.length);
    key->kid_length = kid.length;
    return FTA_OK;
}

/* --- HMAC --------------------------------------------------------------- */

static fta_status
crypto_error(void)
{
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? FTA_NO_MEMORY
                                                        : FTA_CRYPTO;
}

static fta_status
prepare_hmac(const char *digest, const uint8_t *secret, size_t size,
             EVP_MAC_CTX **out)
{
    fta_status status = FTA_CRYPTO;
    EVP_MAC_CTX *context = NULL;
    char name[16];
    size_t length = strlen(digest) + 1;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (hmac == NULL || length > sizeof name) {
        goto done;
    }
    memcpy(name, digest, length);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end()};
    context = EVP_MAC_CTX_new(hmac);
    if (context == NULL || !EVP_MAC_init(context, secret, size, params)) {
        goto done;
    }
    *out = context;
    context = NULL;
    status = FTA_OK;
done:
    if (status != FTA_OK) {
        status = crypto_error();
    }
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(hmac);
    return status;
}

static fta_status
derive_kid(fta_key *key, const uint8_t *secret, size_t size)
{
    static const char label[] = "flask_tenant_auth kid";
    uint8_t tag[32];
    size_t tag_size;
    EVP_MAC_CTX *context = NULL;
    fta_status status = prepare_hmac("SHA256", secret, size, &context);
    if (status != FTA_OK) {
        return status;
    }
    if (EVP_MAC_update(context, (const uint8_t *)label, sizeof label - 1) &&
        EVP_MAC_final(context, tag, &tag_size, sizeof tag)) {
        key->kid_length = fta_base64url_encode(tag, 9, key->kid);
    } else {
        status = crypto_error();
    }
    EVP_MAC_CTX_free(context);
    return status;
}

/* What somebody may have put where a secret belongs: a published key as an
 * HMAC secret lets everybody sign (CVE-2022-29217 and its kin). */
static bool
looks_like_key(const uint8_t *secret, size_t size)
{
    static const fta_text marks[] = {
        TEXT("-----BEGIN "),    TEXT("---- BEGIN SSH2"), TEXT("ssh-rsa "),
        TEXT("ssh-ed25519 "),   TEXT("ssh-dss "),        TEXT("ecdsa-sha2-"),
        TEXT("sk-ssh-ed25519"), TEXT("sk-ecdsa-sha2-"),
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        for (size_t at = 0; at + marks[i].length <= size; at++) {
            if (memcmp(secret + at, marks[i].data, marks[i].length) == 0) {
                return true;
            }
        }
    }
    return false;
}

fta_status
fta_key_from_secret(const fta_algorithm *algorithm, fta_text kid,
                    const uint8_t *secret, size_t size, bool allow_weak,
                    fta_key **out)
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
    if (looks_like_key(secret, size)) {
        return FTA_SECRET_IS_KEY;
    }
    if (size < algorithm->digest_size && !allow_weak) {
        return FTA_SECRET_TOO_SHORT;
    }
    fta_key *key = fta_calloc(1, sizeof *key);
    if (key == NULL) {
        return FTA_NO_MEMORY;
    }
    key->algorithm = algorithm;
    key->signature_size = algorithm->digest_size;
    fta_status status = FTA_NO_MEMORY;
    key->signing_text = fta_malloc(size + 1);
    if (key->signing_text == NULL) {
        goto done;
    }
    memcpy(key->signing_text, secret, size);
    key->signing_text[size] = '\0';
    key->signing_length = size;
    status =
        kid.data != NULL ? set_kid(key, kid) : derive_kid(key, secret, size);
    if (status != FTA_OK) {
        goto done;
    }
    status = prepare_hmac(algorithm->digest, secret, size, &key->prepared);
done:
    if (status == FTA_OK) {
        *out = key;
    } else {
        fta_key_free(key);
    }
    return status;
}

/* A context that nobody else uses. Relaxed would not do: the exchange hands
 * over what the last user wrote into the context. */
static EVP_MAC_CTX *
take_context(fta_key *key)
{
    for (size_t i = 0; i < POOL; i++) {
        EVP_MAC_CTX *context =
            atomic_exchange_explicit(&key->pool[i], NULL, memory_order_acquire);
        if (context != NULL) {
            return context;
        }
    }
    return EVP_MAC_CTX_dup(key->prepared);
}

static void
give_back_context(fta_key *key, EVP_MAC_CTX *context)
{
    for (size_t i = 0; i < POOL && context != NULL; i++) {
        EVP_MAC_CTX *none = NULL;
        if (atomic_compare_exchange_strong_explicit(
                &key->pool[i], &none, context, memory_order_release,
                memory_order_relaxed)) {
            return;
        }
    }
    EVP_MAC_CTX_free(context);
}

static fta_status
verify_hmac(fta_key *key, const char *message, size_t length,
            const uint8_t *signature)
{
    uint8_t tag[EVP_MAX_MD_SIZE];
    size_t tag_size = 0;
    EVP_MAC_CTX *context = take_context(key);
    if (context == NULL) {
        return crypto_error();
    }
    /* Without a key, init starts again with the one it has. */
    if (!EVP_MAC_init(context, NULL, 0, NULL) ||
        !EVP_MAC_update(context, (const uint8_t *)message, length) ||
        !EVP_MAC_final(context, tag, &tag_size, sizeof tag) ||
        tag_size != key->signature_size) {
        EVP_MAC_CTX_free(context);
        return crypto_error();
    }
    give_back_context(key, context);
    bool same = CRYPTO_memcmp(tag, signature, tag_size) == 0;
    /* The right tag of a wrong token is worth as much as a token. */
    OPENSSL_cleanse(tag, sizeof tag);
    return same ? FTA_OK : FTA_SIGNATURE_MISMATCH;
}

fta_status
fta_key_verify(const fta_key *key, const char *message, size_t length,
               const uint8_t *signature, size_t size)
{
    if (size != key->signature_size) {
        return FTA_SIGNATURE_MISMATCH;
    }
    /* The pool is the one part of a key that changes; see take_context. */
    return verify_hmac((fta_key *)key, message, length, signature);
}
