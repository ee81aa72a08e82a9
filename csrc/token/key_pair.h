/* Key pairs: whether one fits an algorithm, and the signatures of RFC 7518,
 * sections 3.3 to 3.5, and RFC 8037. */
#ifndef FTA_TOKEN_KEY_PAIR_H
#define FTA_TOKEN_KEY_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "base/status.h"
#include "token/algorithm.h"

#define FTA_RSA_BITS_MIN 2048
/* A verification with 8,192 bits takes some 15 times as long as with 2,048.
 * With a larger key, every invalid token would cost too much. */
#define FTA_RSA_BITS_MAX 8192
/* The least is that of FIPS 186-5, section A.1.1. The most is what OpenSSL
 * permits for a large modulus: the time of a verification grows with the length
 * of the exponent. */
#define FTA_RSA_EXPONENT_MIN 65537
#define FTA_RSA_EXPONENT_BITS_MAX 64

/* The longest signature. */
#define FTA_SIGNATURE_MAX (FTA_RSA_BITS_MAX / 8)

bool fta_pair_is_private(const EVP_PKEY *pair);

/* FTA_OK if it has the kind, curve and size of the algorithm, and its parts
 * belong together. */
fta_status fta_pair_check(EVP_PKEY *pair, const fta_algorithm *algorithm);

/* The private key as PEM text (PKCS #8), in *length characters and a NUL, to
 * be freed with fta_free_secret. */
fta_status fta_pair_to_pem(EVP_PKEY *pair, char **out, size_t *length);

/* How many octets each of its signatures has. */
size_t fta_pair_signature_size(const EVP_PKEY *pair,
                               const fta_algorithm *algorithm);

/* signature has that many octets. */
fta_status fta_pair_verify(EVP_PKEY *pair, const fta_algorithm *algorithm,
                           const void *message, size_t length,
                           const uint8_t *signature, size_t size);

#endif
