/* One key, bound to one algorithm when it is made and for ever: the token
 * never chooses (RFC 8725, section 3.1), and a public key can never serve as
 * an HMAC secret. */
#ifndef FTA_KEY_H
#define FTA_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "text.h"

#define FTA_KID_MAX 255
#define FTA_SECRET_MAX 65536

/* Large enough for every signature: RSA keys go up to 16,384 bits. */
#define FTA_SIGNATURE_MAX 2048

typedef enum fta_family {
    FTA_HMAC,
    FTA_RSA_PKCS1,
    FTA_RSA_PSS,
    FTA_ECDSA,
    FTA_EDDSA
} fta_family;

/* A row of RFC 7518, section 3.1, or RFC 8037. */
typedef struct fta_algorithm {
    fta_text name;
    fta_family family;
    const char *digest; /* OpenSSL's name; NULL for EdDSA */
    size_t digest_size;
    const char *curve;   /* the JWK's name; NULL if none */
    const char *group;   /* OpenSSL's name of the curve */
    size_t element_size; /* octets of a coordinate; 0 if none */
} fta_algorithm;

/* The algorithm of that exact name; NULL if there is none. */
const fta_algorithm *fta_algorithm_find(fta_text name);

typedef struct fta_key fta_key;

/* An HMAC key. kid.data NULL: one derived from the secret. allow_weak admits a
 * secret shorter than the hash, for development. */
fta_status fta_key_from_secret(const fta_algorithm *algorithm, fta_text kid,
                               const uint8_t *secret, size_t size,
                               bool allow_weak, fta_key **out);

/* Wipes every secret and frees. NULL is allowed. */
void fta_key_free(fta_key *key);

const fta_algorithm *fta_key_algorithm(const fta_key *key);
fta_text fta_key_id(const fta_key *key);

/* Whether it holds a private part and libjwt knows its algorithm. */
bool fta_key_can_sign(const fta_key *key);

/* What libjwt signs with: the secret, or the private key as PEM text. */
fta_text fta_key_signing_text(const fta_key *key);

/* How many octets each of its signatures has. */
size_t fta_key_signature_size(const fta_key *key);

/* FTA_OK, FTA_SIGNATURE_MISMATCH, FTA_NO_MEMORY or FTA_CRYPTO. Any number of
 * threads may use one key. The comparison takes constant time. */
fta_status fta_key_verify(const fta_key *key, const char *message,
                          size_t length, const uint8_t *signature, size_t size);

#endif
