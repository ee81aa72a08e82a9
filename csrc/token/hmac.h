/* HMAC with one secret, prepared once and used by any number of threads. */
#ifndef FTA_TOKEN_HMAC_H
#define FTA_TOKEN_HMAC_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FTA_HMAC_SIZE_MAX 64

typedef struct fta_hmac fta_hmac;

/* digest is OpenSSL's name of it. */
fta_status fta_hmac_new(const char *digest, const uint8_t *secret, size_t size,
                        fta_hmac **out);

/* Wipes what came from the secret. NULL is allowed. */
void fta_hmac_free(fta_hmac *hmac);

/* Writes as many octets as the digest has. */
fta_status fta_hmac_compute(fta_hmac *hmac, const void *message, size_t length,
                            uint8_t tag[FTA_HMAC_SIZE_MAX]);

#endif
