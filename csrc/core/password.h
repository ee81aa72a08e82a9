/* Passwords: salted PBKDF2-HMAC-SHA512, kept as a PHC string
 * $pbkdf2-sha512$i=<iterations>$<salt>$<hash>. */
#ifndef FTA_PASSWORD_H
#define FTA_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"
#include "text.h"

#define FTA_PASSWORD_MAX 65536
#define FTA_PASSWORD_ITERATIONS_MIN 1000
#define FTA_PASSWORD_ITERATIONS_MAX 100000000
/* Longer than any string fta_password_hash writes. */
#define FTA_PASSWORD_STORED_MAX 256

/* Hashes with a fresh random salt; writes *length characters, no NUL. */
fta_status fta_password_hash(fta_text password, uint32_t iterations,
                             char out[FTA_PASSWORD_STORED_MAX], size_t *length);

/* FTA_OK and the answer, in time that does not tell how near it was;
 * FTA_STORED_MALFORMED when stored is no such string. */
fta_status fta_password_verify(fta_text password, fta_text stored,
                               bool *matches);

/* The iterations of a stored string, to tell whether it wants renewing. */
fta_status fta_password_iterations(fta_text stored, uint32_t *out);

#endif
