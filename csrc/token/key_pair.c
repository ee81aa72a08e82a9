#include "token/key_pair.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/alloc.h"
#include "base/crypto_error.h"
#include "token/ed25519_point.h"

/* EVP_PKEY_get_raw_private_key would leave a copy in memory: OpenSSL 3.0 does
 * not wipe what it exports. */
bool
fta_pair_is_private(const EVP_PKEY *pair)
{
    uint8_t octets[32]; /* of an Ed25519 key */
    size_t size;
    BIGNUM *number = NULL;
    bool is_private =
        EVP_PKEY_get_octet_string_param(pair, OSSL_PKEY_PARAM_PRIV_KEY, octets,
                                        sizeof octets, &size) == 1 ||
        EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_RSA_D, &number) == 1 ||
        EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1;
    OPENSSL_cleanse(octets, sizeof octets);
    BN_clear_free(number);
    ERR_clear_error();
    return is_private;
}

/* --- checking ----------------------------------------------------------- */

/* Whether the modulus was made by the generator of CVE-2017-15361 ("ROCA"), so
 * that it can be factored. Modulo each of these primes it is then a power of
 * 65537. One other modulus in 2^27 is so by chance. */
static bool
is_roca(const BIGNUM *modulus)
{
    static const uint8_t primes[] = {
        3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
        47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
        107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (size_t i = 0; i < sizeof primes; i++) {
        BN_ULONG rest = BN_mod_word(modulus, primes[i]);
        unsigned power = 1;
        do {
            power = power * 65537 % primes[i];
        } while (power != rest && power != 1);
        if (power != rest) {
            return false;
        }
    }
    return true;
}

static fta_status
check_rsa(EVP_PKEY *pair)
{
    if (!EVP_PKEY_is_a(pair, "RSA")) {
        return FTA_KEY_KIND_MISMATCH;
    }
    int bits = EVP_PKEY_get_bits(pair);
    if (bits < FTA_RSA_BITS_MIN || bits > FTA_RSA_BITS_MAX) {
        return FTA_RSA_SIZE_INVALID;
    }
    BIGNUM *n = NULL, *e = NULL;
    fta_status status = FTA_KEY_UNSOUND;
    if (!EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_RSA_N, &n) ||
        !EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_RSA_E, &e)) {
        status = fta_crypto_error(FTA_CRYPTO);
    }
    /* An exponent of 1 would make every message its own signature. */
    else if (!BN_is_odd(e) || BN_num_bits(e) > FTA_RSA_EXPONENT_BITS_MAX ||
             BN_num_bits(e) < BN_num_bits_word(FTA_RSA_EXPONENT_MIN)) {
        status = FTA_RSA_EXPONENT;
    } else if (BN_is_odd(n)) {
        status = is_roca(n) ? FTA_RSA_ROCA : FTA_OK;
    }
    BN_free(n);
    BN_free(e);
    return status;
}

static fta_status
check_ec(EVP_PKEY *pair, const fta_algorithm *algorithm)
{
    char group[32];
    size_t length;
    if (!EVP_PKEY_is_a(pair, "EC") ||
        !EVP_PKEY_get_group_name(pair, group, sizeof group, &length) ||
        strcmp(group, algorithm->group) != 0) {
        return fta_crypto_error(FTA_KEY_KIND_MISMATCH);
    }
    /* RFC 5480, section 2.1.1: the curve must be given by its name. Explicit
     * parameters can describe a curve that is nearly the same (CVE-2020-0601).
     */
    int is_explicit = 0;
    (void)EVP_PKEY_get_int_param(
        pair, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit);
    ERR_clear_error();
    return is_explicit > 0 ? FTA_KEY_UNSOUND : FTA_OK;
}

static fta_status
check_ed25519(EVP_PKEY *pair)
{
    uint8_t point[FTA_ED25519_SIZE];
    size_t size = sizeof point;
    if (!EVP_PKEY_is_a(pair, "ED25519")) {
        return FTA_KEY_KIND_MISMATCH;
    }
    return EVP_PKEY_get_raw_public_key(pair, point, &size) == 1
               ? fta_ed25519_check(point)
               : fta_crypto_error(FTA_CRYPTO);
}

/* Whether the point is on the curve, and the private part belongs to the public
 * part. */
static fta_status
check_sound(EVP_PKEY *pair, const fta_algorithm *algorithm)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pair, NULL);
    if (context == NULL) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    bool sound = true;
    /* For RSA, OpenSSL would search for factors of the modulus. */
    if (algorithm->family == FTA_ECDSA) {
        sound = EVP_PKEY_public_check(context) == 1;
    }
    if (sound && fta_pair_is_private(pair)) {
        sound = EVP_PKEY_pairwise_check(context) == 1;
    }
    EVP_PKEY_CTX_free(context);
    return sound ? FTA_OK : fta_crypto_error(FTA_KEY_UNSOUND);
}

fta_status
fta_pair_check(EVP_PKEY *pair, const fta_algorithm *algorithm)
{
    fta_status status;
    switch (algorithm->family) {
    case FTA_RSA_PKCS1:
    case FTA_RSA_PSS:
        status = check_rsa(pair);
        break;
    case FTA_ECDSA:
        status = check_ec(pair, algorithm);
        break;
    case FTA_EDDSA:
        status = check_ed25519(pair);
        break;
    default:
        status = FTA_ALGORITHM_HMAC;
        break;
    }
    return status == FTA_OK ? check_sound(pair, algorithm) : status;
}

/* --- writing ------------------------------------------------------------ */

fta_status
fta_pair_to_pem(EVP_PKEY *pair, char **out, size_t *length)
{
    fta_status status = FTA_CRYPTO;
    char *text;
    long size;
    /* A memory BIO wipes what it held. */
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL ||
        !PEM_write_bio_PKCS8PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL) ||
        (size = BIO_get_mem_data(bio, &text)) <= 0) {
        status = fta_crypto_error(FTA_CRYPTO);
        goto done;
    }
    *out = fta_malloc((size_t)size + 1);
    if (*out == NULL) {
        status = FTA_NO_MEMORY;
        goto done;
    }
    memcpy(*out, text, (size_t)size);
    (*out)[size] = '\0';
    *length = (size_t)size;
    status = FTA_OK;
done:
    BIO_free(bio);
    return status;
}

/* --- signatures --------------------------------------------------------- */

size_t
fta_pair_signature_size(const EVP_PKEY *pair, const fta_algorithm *algorithm)
{
    switch (algorithm->family) {
    case FTA_ECDSA:
        return 2 * algorithm->element_size;
    default:
        return (size_t)EVP_PKEY_get_size(pair);
    }
}

/* Two integers of up to 66 octets with a sign octet each, in DER. */
#define DER_MAX (3 + 2 * (2 + 1 + 66))

/* Appends a DER INTEGER of an unsigned number; returns where it ends. */
static uint8_t *
write_der_integer(uint8_t *out, const uint8_t *number, size_t size)
{
    while (size > 1 && *number == 0) {
        number++;
        size--;
    }
    bool sign = (*number & 0x80) != 0;
    *out++ = 0x02;
    *out++ = (uint8_t)(size + sign);
    if (sign) {
        *out++ = 0;
    }
    memcpy(out, number, size);
    return out + size;
}

/* R and S, which stand side by side (RFC 7518, section 3.4), in DER for
 * OpenSSL. */
static size_t
der_from_raw(const uint8_t *raw, size_t size, uint8_t out[DER_MAX])
{
    uint8_t body[DER_MAX];
    uint8_t *end = write_der_integer(body, raw, size / 2);
    end = write_der_integer(end, raw + size / 2, size / 2);
    size_t length = (size_t)(end - body);
    uint8_t *next = out;
    *next++ = 0x30;
    if (length > 0x7F) {
        *next++ = 0x81;
    }
    *next++ = (uint8_t)length;
    memcpy(next, body, length);
    return (size_t)(next - out) + length;
}

/* Sets the padding of the algorithm, so that an RS key accepts no PS signature,
 * and a PS key no RS signature. */
static bool
set_padding(EVP_PKEY_CTX *context, fta_family family)
{
    switch (family) {
    case FTA_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0;
    case FTA_RSA_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) >
                   0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context,
                                                RSA_PSS_SALTLEN_DIGEST) > 0;
    default:
        return true;
    }
}

fta_status
fta_pair_verify(EVP_PKEY *pair, const fta_algorithm *algorithm,
                const void *message, size_t length, const uint8_t *signature,
                size_t size)
{
    uint8_t der[DER_MAX];
    EVP_PKEY_CTX *settings;
    fta_status status;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL ||
        !EVP_DigestVerifyInit_ex(context, &settings, algorithm->digest, NULL,
                                 NULL, pair, NULL) ||
        !set_padding(settings, algorithm->family)) {
        status = fta_crypto_error(FTA_CRYPTO);
        goto done;
    }
    if (algorithm->family == FTA_ECDSA) {
        size = der_from_raw(signature, size, der);
        signature = der;
    }
    /* 0 is a wrong signature, below 0 a malformed one. Both are a mismatch. */
    status = EVP_DigestVerify(context, signature, size, message, length) == 1
                 ? FTA_OK
                 : fta_crypto_error(FTA_SIGNATURE_MISMATCH);
done:
    ERR_clear_error();
    EVP_MD_CTX_free(context);
    return status;
}
