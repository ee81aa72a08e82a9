/* One key, bound to one algorithm when it is made. A token never chooses the
 * algorithm (RFC 8725, section 3.1), and a public key never serves as an HMAC
 * secret. */
#ifndef FTA_TOKEN_KEY_H
#define FTA_TOKEN_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "base/status.h"
#include "base/text.h"
#include "token/algorithm.h"
#include "token/signer.h"
#include "token/validity.h"

#define FTA_KID_MAX 255
#define FTA_SECRET_MAX 65536

typedef struct fta_key fta_key;

/* Makes an HMAC key; nothing else makes one. The caller says that the octets
 * are a shared secret. FTA_SECRET_IS_KEY if they hold a key in any form.
 * kid.data NULL: the kid is derived from the secret. allow_weak permits a
 * secret shorter than the hash, for development. */
fta_status fta_key_from_secret(const fta_algorithm *algorithm, fta_text kid,
                               const uint8_t *secret, size_t size,
                               bool allow_weak, fta_key **out);

/* Makes a private key, which signs and verifies, or a public key, which
 * verifies, from any form that fta_pair_read reads. Other octets make no key.
 * kid.data NULL: the kid is the thumbprint (RFC 7638). */
fta_status fta_key_from_encoded(const fta_algorithm *algorithm, fta_text kid,
                                fta_text encoded, fta_text passphrase,
                                fta_key **out);

/* As above, from a key of OpenSSL, to which it takes a reference. */
fta_status fta_key_from_pair(const fta_algorithm *algorithm, fta_text kid,
                             EVP_PKEY *pair, fta_key **out);

/* Wipes the secrets and frees the key. NULL is allowed. */
void fta_key_free(fta_key *key);

const fta_algorithm *fta_key_algorithm(const fta_key *key);

/* Ends with a NUL. */
fta_text fta_key_id(const fta_key *key);

/* Whether somebody has given the key its kid; else it was derived. */
bool fta_key_id_is_given(const fta_key *key);

/* Borrowed; NULL for an HMAC key. */
EVP_PKEY *fta_key_pair(const fta_key *key);

/* Borrowed; NULL for a public key. */
fta_signer *fta_key_signer(const fta_key *key);

/* Whether it is a private key of a pair. */
bool fta_key_is_private(const fta_key *key);

/* Borrowed; NULL for a key that is not from a certificate with sound dates. */
const fta_validity *fta_key_validity(const fta_key *key);

/* FTA_OK, FTA_SIGNATURE_MISMATCH, FTA_NO_MEMORY or FTA_CRYPTO. Any number of
 * threads may use one key. The comparison takes constant time. */
fta_status fta_key_verify(const fta_key *key, const void *message,
                          size_t length, const uint8_t *signature, size_t size);

#endif
