#include "token/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/crypto_error.h"
#include "token/ed25519_point.h"
#include "token/key_pair.h"

/* --- members ------------------------------------------------------------ */

/* Writes the octets encoded at *next, which is moved to the end. */
static fta_text
write_octets(char **next, const uint8_t *octets, size_t size)
{
    fta_text text = {*next, fta_base64url_encode(octets, size, *next)};
    *next += text.length;
    return text;
}

/* The numbers of a private key are secret, so all of them are wiped. */
static bool
write_number(EVP_PKEY *pair, const char *name, size_t exact_size, char **next,
             fta_text *out)
{
    uint8_t octets[FTA_RSA_BITS_MAX / 8];
    BIGNUM *number = NULL;
    bool done = false;
    if (EVP_PKEY_get_bn_param(pair, name, &number) == 1) {
        size_t size =
            exact_size != 0 ? exact_size : (size_t)BN_num_bytes(number);
        if (size <= sizeof octets &&
            BN_bn2binpad(number, octets, (int)size) == (int)size) {
            *out = write_octets(next, octets, size);
            done = true;
        }
        OPENSSL_cleanse(octets, sizeof octets);
    }
    BN_clear_free(number);
    return done;
}

/* kty and the members that make the public key. */
static fta_status
write_public(EVP_PKEY *pair, const fta_algorithm *algorithm, char **next,
             fta_jwk *out)
{
    bool done = false;
    uint8_t raw[FTA_ED25519_SIZE];
    size_t raw_size = sizeof raw;
    switch (algorithm->family) {
    case FTA_RSA_PKCS1:
    case FTA_RSA_PSS:
        out->kty = (fta_text){"RSA", 3};
        done = write_number(pair, OSSL_PKEY_PARAM_RSA_N, 0, next, &out->n) &&
               write_number(pair, OSSL_PKEY_PARAM_RSA_E, 0, next, &out->e);
        break;
    case FTA_ECDSA:
        out->kty = (fta_text){"EC", 2};
        done = write_number(pair, OSSL_PKEY_PARAM_EC_PUB_X,
                            algorithm->element_size, next, &out->x) &&
               write_number(pair, OSSL_PKEY_PARAM_EC_PUB_Y,
                            algorithm->element_size, next, &out->y);
        break;
    case FTA_EDDSA:
        out->kty = (fta_text){"OKP", 3};
        done = EVP_PKEY_get_raw_public_key(pair, raw, &raw_size) == 1;
        if (done) {
            out->x = write_octets(next, raw, raw_size);
        }
        break;
    default:
        break;
    }
    out->crv = algorithm->curve;
    fta_status status = fta_crypto_error(FTA_CRYPTO);
    return done ? FTA_OK : status;
}

/* RFC 7518, section 6.3.2: whoever has d has the other numbers too. */
static bool
write_private_rsa(EVP_PKEY *pair, char **next, fta_jwk *out)
{
    const struct {
        const char *name;
        fta_text *member;
    } numbers[] = {
        {OSSL_PKEY_PARAM_RSA_D, &out->d},
        {OSSL_PKEY_PARAM_RSA_FACTOR1, &out->p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, &out->q},
        {OSSL_PKEY_PARAM_RSA_EXPONENT1, &out->dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, &out->dq},
        {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, &out->qi},
    };
    bool done = true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && done; i++) {
        done = write_number(pair, numbers[i].name, 0, next, numbers[i].member);
    }
    return done;
}

static bool
write_private_okp(EVP_PKEY *pair, char **next, fta_jwk *out)
{
    uint8_t raw[FTA_ED25519_SIZE];
    size_t size = 0;
    bool done = EVP_PKEY_get_octet_string_param(pair, OSSL_PKEY_PARAM_PRIV_KEY,
                                                raw, sizeof raw, &size) == 1 &&
                size == sizeof raw;
    if (done) {
        out->d = write_octets(next, raw, size);
    }
    OPENSSL_cleanse(raw, sizeof raw);
    return done;
}

/* The members that a private key has besides. */
static fta_status
write_private(EVP_PKEY *pair, const fta_algorithm *algorithm, char **next,
              fta_jwk *out)
{
    bool done = false;
    switch (algorithm->family) {
    case FTA_RSA_PKCS1:
    case FTA_RSA_PSS:
        done = write_private_rsa(pair, next, out);
        break;
    case FTA_ECDSA:
        done = write_number(pair, OSSL_PKEY_PARAM_PRIV_KEY,
                            algorithm->element_size, next, &out->d);
        break;
    case FTA_EDDSA:
        done = write_private_okp(pair, next, out);
        break;
    default:
        break;
    }
    fta_status status = fta_crypto_error(FTA_CRYPTO);
    return done ? FTA_OK : status;
}

fta_status
fta_key_to_jwk(const fta_key *key, char texts[FTA_JWK_TEXTS], fta_jwk *out)
{
    EVP_PKEY *pair = fta_key_pair(key);
    if (pair == NULL) {
        return FTA_KEY_IS_SECRET;
    }
    *out = (fta_jwk){.alg = fta_key_algorithm(key)->name,
                     .kid = fta_key_id(key),
                     .use = {"sig", 3}};
    return write_public(pair, fta_key_algorithm(key), &texts, out);
}

/* --- JSON --------------------------------------------------------------- */

/* Writes the members that are there in the order of their names, which RFC 7638
 * requires. None of them needs an escape: the caller sets no kid. */
static size_t
write_json(const fta_jwk *jwk, char *out)
{
    const struct {
        const char *name;
        fta_text value;
    } members[] = {{"alg", jwk->alg}, {"crv", jwk->crv}, {"d", jwk->d},
                   {"dp", jwk->dp},   {"dq", jwk->dq},   {"e", jwk->e},
                   {"k", jwk->k},     {"kty", jwk->kty}, {"n", jwk->n},
                   {"p", jwk->p},     {"q", jwk->q},     {"qi", jwk->qi},
                   {"x", jwk->x},     {"y", jwk->y}};
    char *next = out;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        fta_text value = members[i].value;
        if (value.data != NULL) {
            *next = next == out ? '{' : ',';
            next[1] = '"';
            next = stpcpy(next + 2, members[i].name);
            next = stpcpy(next, "\":\"");
            memcpy(next, value.data, value.length);
            next += value.length;
            *next++ = '"';
        }
    }
    *next++ = '}';
    return (size_t)(next - out);
}

/* Room for the names, kty, alg and crv. */
#define JSON_ROOM 192

fta_status
fta_jwk_thumbprint(EVP_PKEY *pair, const fta_algorithm *algorithm, char *out,
                   size_t *length)
{
    char texts[FTA_JWK_TEXTS], json[FTA_JWK_TEXTS + JSON_ROOM];
    char *next = texts;
    fta_jwk jwk = {.kty = {NULL, 0}};
    fta_status status = write_public(pair, algorithm, &next, &jwk);
    if (status != FTA_OK) {
        return status;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    size_t digest_size;
    if (!EVP_Q_digest(NULL, "SHA256", NULL, json, write_json(&jwk, json),
                      digest, &digest_size)) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    *length = fta_base64url_encode(digest, digest_size, out);
    return FTA_OK;
}

/* --- the JSON text of a whole key --------------------------------------- */

static fta_status
text_of_jwk(const fta_jwk *jwk, size_t room, char **out, size_t *length)
{
    *out = fta_malloc(room + JSON_ROOM);
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    *length = write_json(jwk, *out);
    (*out)[*length] = '\0';
    return FTA_OK;
}

fta_status
fta_jwk_text_of_secret(const fta_algorithm *algorithm, const uint8_t *secret,
                       size_t size, char **out, size_t *length)
{
    size_t room = FTA_BASE64_LENGTH(size);
    char *texts = fta_malloc(room);
    if (texts == NULL) {
        return FTA_NO_MEMORY;
    }
    char *next = texts;
    fta_jwk jwk = {.kty = {"oct", 3}, .alg = algorithm->name};
    jwk.k = write_octets(&next, secret, size);
    fta_status status = text_of_jwk(&jwk, room, out, length);
    fta_free_secret(texts, room);
    return status;
}

/* A private RSA key has eight numbers, none longer than the modulus. */
#define PRIVATE_TEXTS (8 * FTA_BASE64_LENGTH((size_t)FTA_RSA_BITS_MAX / 8))

fta_status
fta_jwk_text_of_pair(const fta_algorithm *algorithm, EVP_PKEY *pair, char **out,
                     size_t *length)
{
    char *texts = fta_malloc(PRIVATE_TEXTS);
    if (texts == NULL) {
        return FTA_NO_MEMORY;
    }
    char *next = texts;
    fta_jwk jwk = {.alg = algorithm->name};
    fta_status status = write_public(pair, algorithm, &next, &jwk);
    if (status == FTA_OK) {
        status = write_private(pair, algorithm, &next, &jwk);
    }
    if (status == FTA_OK) {
        status = text_of_jwk(&jwk, (size_t)(next - texts), out, length);
    }
    fta_free_secret(texts, PRIVATE_TEXTS);
    return status;
}
