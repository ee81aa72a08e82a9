/* Passwords: salted PBKDF2-HMAC-SHA512, kept as a PHC string
 * $pbkdf2-sha512$i=<iterations>$<salt>$<hash>. */
#ifndef FTA_PASSWORD_PASSWORD_H
#define FTA_PASSWORD_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define FTA_PASSWORD_MAX 65536
/* What a password is hashed with today: OWASP's figure for this hash. */
#define FTA_PASSWORD_ITERATIONS 210000
#define FTA_PASSWORD_ITERATIONS_MIN 1000
/* A stored string says what its verification costs, and whoever writes one
 * must not be able to keep a worker busy for minutes. */
#define FTA_PASSWORD_ITERATIONS_MAX (10 * FTA_PASSWORD_ITERATIONS)
/* Longer than any string fta_password_hash writes. */
#define FTA_PASSWORD_STORED_MAX 256

/* Hashes with a fresh random salt; writes *length characters, no NUL. */
fta_status fta_password_hash(fta_text password, uint32_t iterations,
                             char out[FTA_PASSWORD_STORED_MAX], size_t *length);

/* FTA_OK and the answer, in time that does not tell how near it was;
 * FTA_STORED_MALFORMED when stored is no such string; FTA_STORED_COSTLY, at
 * once, when it asks for more than FTA_PASSWORD_ITERATIONS_MAX. */
fta_status fta_password_verify(fta_text password, fta_text stored,
                               bool *matches);

/* The iterations of a stored string, to tell whether it wants renewing. Its
 * statuses are those of fta_password_verify. */
fta_status fta_password_iterations(fta_text stored, uint32_t *out);

#endif
