/* What libjwt signs with: one secret or private key, bound to one algorithm.
 * The version of jwt.h chooses the implementation when the core is built:
 * signer_libjwt1.c or signer_libjwt3.c. A token from outside never reaches
 * either. */
#ifndef FTA_TOKEN_SIGNER_H
#define FTA_TOKEN_SIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "base/status.h"
#include "token/algorithm.h"

typedef struct fta_signer fta_signer;

/* Whether the libjwt that is loaded signs with the algorithm. A signer of
 * another algorithm can be made. */
bool fta_signer_knows(const fta_algorithm *algorithm);

/* Copies the secret. */
fta_status fta_signer_from_secret(const fta_algorithm *algorithm,
                                  const uint8_t *secret, size_t size,
                                  fta_signer **out);

/* pair is a private key that fits the algorithm. What is copied is the checked
 * key, and not the text that was configured, which may hold more. */
fta_status fta_signer_from_pair(const fta_algorithm *algorithm, EVP_PKEY *pair,
                                fta_signer **out);

/* Wipes the secrets and frees the signer. NULL is allowed. */
void fta_signer_free(fta_signer *signer);

/* Makes a token of the payload, the text of a valid JSON object. kid and
 * payload end with a NUL. *out is in memory from malloc; NULL on failure. The
 * caller checks what the token says: libjwt may have changed the payload,
 * and 1.10 makes a token without a signature if OpenSSL fails. What libjwt
 * leaves in OpenSSL's error queue stays there. Any number of threads may use
 * one signer. */
fta_status fta_signer_sign(fta_signer *signer, const char *kid,
                           fta_text payload, char **out);

#endif
