#include "token/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/crypto_error.h"
#include "token/ed25519_point.h"
#include "token/key_pair.h"

/* The octets of a member, in memory to be freed with fta_free_secret. */
static fta_status
read_octets(fta_text member, uint8_t **out, size_t *size)
{
    if (member.data == NULL || member.length == 0 ||
        member.length > FTA_BASE64_LENGTH((size_t)FTA_SECRET_MAX)) {
        return FTA_JWK_MALFORMED;
    }
    *size = FTA_BASE64_SIZE(member.length);
    *out = fta_malloc(*size + 1);
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    if (!fta_base64url_decode(member.data, member.length, *out)) {
        fta_free_secret(*out, *size);
        *out = NULL;
        return FTA_JWK_MALFORMED;
    }
    return FTA_OK;
}

/* The parts of one key, until the key is made. */
typedef struct parts {
    OSSL_PARAM_BLD *builder; /* Owned */
    /* The builder borrows the numbers and the point. */
    BIGNUM *numbers[8]; /* Owned */
    size_t count;
    uint8_t point[1 + 2 * 66];
} parts;

static void
parts_free(parts *made)
{
    for (size_t i = 0; i < made->count; i++) {
        BN_clear_free(made->numbers[i]);
    }
    OSSL_PARAM_BLD_free(made->builder);
}

static fta_status
add_number(parts *made, const char *name, fta_text member, size_t exact_size)
{
    uint8_t *octets = NULL;
    size_t size = 0;
    fta_status status = read_octets(member, &octets, &size);
    if (status != FTA_OK) {
        return status;
    }
    if (size > FTA_RSA_BITS_MAX / 8 ||
        (exact_size != 0 && size != exact_size)) {
        status = FTA_JWK_MALFORMED;
        goto done;
    }
    /* Some of the numbers are secret. OpenSSL wipes secure memory. */
    BIGNUM *number = BN_secure_new();
    if (number == NULL) {
        status = FTA_NO_MEMORY;
        goto done;
    }
    made->numbers[made->count++] = number;
    if (BN_bin2bn(octets, (int)size, number) == NULL ||
        !OSSL_PARAM_BLD_push_BN(made->builder, name, number)) {
        status = fta_crypto_error(FTA_CRYPTO);
    }
done:
    fta_free_secret(octets, size);
    return status;
}

static fta_status
pair_from_parts(parts *made, const char *type, bool is_private, EVP_PKEY **out)
{
    fta_status status = FTA_OK;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(made->builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    *out = NULL;
    if (params == NULL || context == NULL ||
        EVP_PKEY_fromdata_init(context) <= 0) {
        status = fta_crypto_error(FTA_CRYPTO);
    } else if (EVP_PKEY_fromdata(context, out,
                                 is_private ? EVP_PKEY_KEYPAIR
                                            : EVP_PKEY_PUBLIC_KEY,
                                 params) <= 0) {
        status = fta_crypto_error(FTA_KEY_UNSOUND);
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return status;
}

static fta_status
read_rsa(const fta_jwk *jwk, parts *made, EVP_PKEY **out)
{
    const struct {
        const char *name;
        fta_text member;
    } numbers[] = {
        {OSSL_PKEY_PARAM_RSA_N, jwk->n},
        {OSSL_PKEY_PARAM_RSA_E, jwk->e},
        {OSSL_PKEY_PARAM_RSA_D, jwk->d},
        {OSSL_PKEY_PARAM_RSA_FACTOR1, jwk->p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, jwk->q},
        {OSSL_PKEY_PARAM_RSA_EXPONENT1, jwk->dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, jwk->dq},
        {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, jwk->qi},
    };
    /* A private key needs all of its members. With fewer, OpenSSL signs slowly
     * or not at all. */
    bool is_private = jwk->d.data != NULL;
    size_t count = is_private ? sizeof numbers / sizeof *numbers : 2;
    fta_status status = FTA_OK;
    for (size_t i = 0; i < count && status == FTA_OK; i++) {
        status = add_number(made, numbers[i].name, numbers[i].member, 0);
    }
    return status == FTA_OK ? pair_from_parts(made, "RSA", is_private, out)
                            : status;
}

static fta_status
add_point(parts *made, const fta_jwk *jwk, size_t element_size)
{
    made->point[0] = 0x04; /* SEC 1, section 2.3.3: uncompressed */
    const fta_text members[2] = {jwk->x, jwk->y};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *octets = NULL;
        size_t size = 0;
        fta_status status = read_octets(members[i], &octets, &size);
        if (status != FTA_OK) {
            return status;
        }
        /* RFC 7518, section 6.2.1.2: all octets of a coordinate. */
        bool fits = size == element_size;
        if (fits) {
            memcpy(made->point + 1 + i * element_size, octets, size);
        }
        fta_free(octets);
        if (!fits) {
            return FTA_JWK_MALFORMED;
        }
    }
    return OSSL_PARAM_BLD_push_octet_string(made->builder,
                                            OSSL_PKEY_PARAM_PUB_KEY,
                                            made->point, 1 + 2 * element_size)
               ? FTA_OK
               : fta_crypto_error(FTA_CRYPTO);
}

static fta_status
read_ec(const fta_jwk *jwk, const fta_algorithm *algorithm, parts *made,
        EVP_PKEY **out)
{
    bool is_private = jwk->d.data != NULL;
    if (!OSSL_PARAM_BLD_push_utf8_string(
            made->builder, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->group, 0)) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    fta_status status = add_point(made, jwk, algorithm->element_size);
    if (status == FTA_OK && is_private) {
        status = add_number(made, OSSL_PKEY_PARAM_PRIV_KEY, jwk->d,
                            algorithm->element_size);
    }
    return status == FTA_OK ? pair_from_parts(made, "EC", is_private, out)
                            : status;
}

static fta_status
read_okp(const fta_jwk *jwk, EVP_PKEY **out)
{
    uint8_t *x = NULL, *d = NULL, derived[FTA_ED25519_SIZE];
    size_t x_size = 0, d_size = 0, derived_size = sizeof derived;
    EVP_PKEY *pair = NULL;
    fta_status status = read_octets(jwk->x, &x, &x_size);
    if (status == FTA_OK && jwk->d.data != NULL) {
        status = read_octets(jwk->d, &d, &d_size);
    }
    if (status != FTA_OK) {
        goto done;
    }
    if (x_size != FTA_ED25519_SIZE ||
        (d != NULL && d_size != FTA_ED25519_SIZE)) {
        status = FTA_JWK_MALFORMED;
        goto done;
    }
    pair =
        d == NULL
            ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, x_size)
            : EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d, d_size);
    if (pair == NULL ||
        !EVP_PKEY_get_raw_public_key(pair, derived, &derived_size)) {
        status = fta_crypto_error(FTA_CRYPTO);
        goto done;
    }
    if (memcmp(derived, x, FTA_ED25519_SIZE) != 0) {
        status = FTA_KEY_UNSOUND;
        goto done;
    }
    *out = pair;
    pair = NULL;
done:
    EVP_PKEY_free(pair);
    fta_free_secret(x, x_size);
    fta_free_secret(d, d_size);
    return status;
}

/* The algorithm that alg names, or the only one of the curve. */
static const fta_algorithm *
algorithm_of(const fta_jwk *jwk)
{
    if (jwk->alg.data != NULL) {
        return fta_algorithm_find(jwk->alg);
    }
    return jwk->crv.data != NULL ? fta_algorithm_of_curve(jwk->crv) : NULL;
}

static fta_status
read_pair(const fta_jwk *jwk, const fta_algorithm *algorithm, EVP_PKEY **out)
{
    parts made = {.count = 0};
    bool curve_fits =
        jwk->crv.data != NULL && fta_text_equal(jwk->crv, algorithm->curve);
    fta_status status = FTA_KEY_KIND_MISMATCH;
    made.builder = OSSL_PARAM_BLD_new();
    if (made.builder == NULL) {
        return fta_crypto_error(FTA_NO_MEMORY);
    }
    switch (algorithm->family) {
    case FTA_RSA_PKCS1:
    case FTA_RSA_PSS:
        if (fta_text_is(jwk->kty, "RSA")) {
            status = read_rsa(jwk, &made, out);
        }
        break;
    case FTA_ECDSA:
        if (fta_text_is(jwk->kty, "EC") && curve_fits) {
            status = read_ec(jwk, algorithm, &made, out);
        }
        break;
    case FTA_EDDSA:
        if (fta_text_is(jwk->kty, "OKP") && curve_fits) {
            status = read_okp(jwk, out);
        }
        break;
    default:
        break;
    }
    parts_free(&made);
    ERR_clear_error();
    return status;
}

static fta_status
key_from_oct(const fta_jwk *jwk, const fta_algorithm *algorithm, fta_key **out)
{
    uint8_t *secret = NULL;
    size_t size = 0;
    if (!fta_text_is(jwk->kty, "oct")) {
        return FTA_KEY_KIND_MISMATCH;
    }
    fta_status status = read_octets(jwk->k, &secret, &size);
    if (status == FTA_OK) {
        status =
            fta_key_from_secret(algorithm, jwk->kid, secret, size, false, out);
    }
    fta_free_secret(secret, size);
    return status;
}

fta_status
fta_key_from_jwk(const fta_jwk *jwk, fta_key **out)
{
    if (jwk->kty.data == NULL) {
        return FTA_JWK_MALFORMED;
    }
    if (jwk->for_other_ops ||
        (jwk->use.data != NULL && !fta_text_is(jwk->use, "sig"))) {
        return FTA_JWK_NOT_FOR_SIGNATURES;
    }
    const fta_algorithm *algorithm = algorithm_of(jwk);
    if (algorithm == NULL) {
        return FTA_JWK_ALGORITHM;
    }
    if (algorithm->family == FTA_HMAC) {
        return key_from_oct(jwk, algorithm, out);
    }
    EVP_PKEY *pair;
    fta_status status = read_pair(jwk, algorithm, &pair);
    if (status == FTA_OK) {
        status = fta_key_from_pair(algorithm, jwk->kid, pair, out);
        EVP_PKEY_free(pair);
    }
    return status;
}
