#include "password/password.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/base64url.h"

#define PREFIX "$pbkdf2-sha512$i="
#define SALT_SIZE 32 /* of new hashes; 8 to 64 are read */
#define SALT_SIZE_MIN 8
#define SALT_SIZE_MAX 64
#define HASH_SIZE 64

typedef struct stored_hash {
    uint32_t iterations;
    uint8_t salt[SALT_SIZE_MAX];
    size_t salt_size;
    uint8_t hash[HASH_SIZE];
} stored_hash;

static bool
iterations_are_fit(uint32_t iterations)
{
    return iterations >= FTA_PASSWORD_ITERATIONS_MIN &&
           iterations <= FTA_PASSWORD_ITERATIONS_MAX;
}

/* Reads decimal digits without leading zeros and the dollar sign behind them. A
 * number of any length is valid here; a long one only costs too much. */
static fta_status
read_iterations(const char **in, const char *end, uint32_t *out)
{
    const char *start = *in;
    *out = 0;
    while (*in < end && **in >= '0' && **in <= '9') {
        *out = *out * 10 + (uint32_t)(*(*in)++ - '0');
        if (*out > FTA_PASSWORD_ITERATIONS_MAX) {
            *out = FTA_PASSWORD_ITERATIONS_MAX + 1;
        }
    }
    if (*in == start || *start == '0' || *in == end || **in != '$' ||
        *out < FTA_PASSWORD_ITERATIONS_MIN) {
        return FTA_STORED_MALFORMED;
    }
    (*in)++;
    return FTA_OK;
}

static fta_status
read_stored(fta_text stored, stored_hash *out)
{
    const size_t prefix = sizeof(PREFIX) - 1;
    if (stored.length <= prefix || stored.length > FTA_PASSWORD_STORED_MAX ||
        memcmp(stored.data, PREFIX, prefix) != 0) {
        return FTA_STORED_MALFORMED;
    }
    const char *in = stored.data + prefix;
    const char *end = stored.data + stored.length;
    fta_status status = read_iterations(&in, end, &out->iterations);
    if (status != FTA_OK) {
        return status;
    }
    const char *dollar = memchr(in, '$', (size_t)(end - in));
    if (dollar == NULL) {
        return FTA_STORED_MALFORMED;
    }
    size_t salt_length = (size_t)(dollar - in);
    size_t hash_length = (size_t)(end - dollar - 1);
    out->salt_size = FTA_BASE64_SIZE(salt_length);
    if (out->salt_size < SALT_SIZE_MIN || out->salt_size > SALT_SIZE_MAX ||
        !fta_base64_decode(in, salt_length, out->salt) ||
        FTA_BASE64_SIZE(hash_length) != HASH_SIZE ||
        !fta_base64_decode(dollar + 1, hash_length, out->hash)) {
        return FTA_STORED_MALFORMED;
    }
    return out->iterations > FTA_PASSWORD_ITERATIONS_MAX ? FTA_STORED_COSTLY
                                                         : FTA_OK;
}

static fta_status
derive(fta_text password, const stored_hash *parameters,
       uint8_t hash[HASH_SIZE])
{
    if (PKCS5_PBKDF2_HMAC(
            password.length != 0 ? password.data : "", (int)password.length,
            parameters->salt, (int)parameters->salt_size,
            (int)parameters->iterations, EVP_sha512(), HASH_SIZE, hash) != 1) {
        ERR_clear_error();
        return FTA_CRYPTO;
    }
    return FTA_OK;
}

fta_status
fta_password_hash(fta_text password, uint32_t iterations,
                  char out[FTA_PASSWORD_STORED_MAX], size_t *length)
{
    stored_hash made = {.iterations = iterations, .salt_size = SALT_SIZE};
    if (password.length > FTA_PASSWORD_MAX) {
        return FTA_PASSWORD_TOO_LONG;
    }
    if (!iterations_are_fit(iterations)) {
        return FTA_ITERATIONS_INVALID;
    }
    if (RAND_bytes(made.salt, SALT_SIZE) != 1) {
        ERR_clear_error();
        return FTA_CRYPTO;
    }
    fta_status status = derive(password, &made, made.hash);
    if (status == FTA_OK) {
        size_t at = (size_t)snprintf(out, FTA_PASSWORD_STORED_MAX,
                                     PREFIX "%lu$", (unsigned long)iterations);
        at += fta_base64_encode(made.salt, SALT_SIZE, out + at);
        out[at++] = '$';
        at += fta_base64_encode(made.hash, HASH_SIZE, out + at);
        *length = at;
    }
    OPENSSL_cleanse(&made, sizeof made);
    return status;
}

fta_status
fta_password_verify(fta_text password, fta_text stored, bool *matches)
{
    stored_hash kept;
    uint8_t hash[HASH_SIZE];
    fta_status status = read_stored(stored, &kept);
    if (status != FTA_OK) {
        return status;
    }
    if (password.length > FTA_PASSWORD_MAX) {
        /* fta_password_hash has never stored such a password. */
        *matches = false;
        return FTA_OK;
    }
    status = derive(password, &kept, hash);
    if (status == FTA_OK) {
        *matches = CRYPTO_memcmp(hash, kept.hash, HASH_SIZE) == 0;
    }
    OPENSSL_cleanse(hash, sizeof hash);
    OPENSSL_cleanse(&kept, sizeof kept);
    return status;
}

fta_status
fta_password_iterations(fta_text stored, uint32_t *out)
{
    stored_hash kept;
    fta_status status = read_stored(stored, &kept);
    if (status == FTA_OK) {
        *out = kept.iterations;
    }
    return status;
}
