/* JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037) as texts of their
 * members: jwk.c reads them, jwk_write.c writes them. The caller reads the JSON
 * and writes that of public keys. */
#ifndef FTA_TOKEN_JWK_H
#define FTA_TOKEN_JWK_H

#include "token/key.h"

/* The members that are read. All of them are strings. */
#define FTA_JWK_MEMBERS(X)                                                     \
    X(kty)                                                                     \
    X(alg)                                                                     \
    X(kid)                                                                     \
    X(use)                                                                     \
    X(crv)                                                                     \
    X(k)                                                                       \
    X(n)                                                                       \
    X(e)                                                                       \
    X(x)                                                                       \
    X(y)                                                                       \
    X(d)                                                                       \
    X(p)                                                                       \
    X(q)                                                                       \
    X(dp)                                                                      \
    X(dq)                                                                      \
    X(qi)

typedef struct fta_jwk {
#define X(member) fta_text member; /* Borrowed; data NULL: absent */
    FTA_JWK_MEMBERS(X)
#undef X
    bool for_other_ops; /* key_ops is there, without "sign" and "verify" */
} fta_jwk;

/* The key of a JWK. alg may be absent if the curve has only one algorithm. */
fta_status fta_key_from_jwk(const fta_jwk *jwk, fta_key **out);

/* Room for the texts of any public key. */
#define FTA_JWK_TEXTS 4096

/* The public members. Their characters are in texts and in the key.
 * FTA_KEY_IS_SECRET for an HMAC key. */
fta_status fta_key_to_jwk(const fta_key *key, char texts[FTA_JWK_TEXTS],
                          fta_jwk *out);

/* RFC 7638, with SHA-256: 43 characters, no NUL. */
fta_status fta_jwk_thumbprint(EVP_PKEY *pair, const fta_algorithm *algorithm,
                              char *out, size_t *length);

/* The JSON text of a secret, or of a private key, with its alg: *length
 * characters and a NUL, to be freed with fta_free_secret. */
fta_status fta_jwk_text_of_secret(const fta_algorithm *algorithm,
                                  const uint8_t *secret, size_t size,
                                  char **out, size_t *length);
fta_status fta_jwk_text_of_pair(const fta_algorithm *algorithm, EVP_PKEY *pair,
                                char **out, size_t *length);

#endif
