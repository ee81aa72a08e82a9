/* Passwords: salted PBKDF2-HMAC-SHA512, kept as a PHC string
 * $pbkdf2-sha512$i=<iterations>$<salt>$<hash>. */
#ifndef FTA_PASSWORD_PASSWORD_H
#define FTA_PASSWORD_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define FTA_PASSWORD_MAX 65536
/* The iterations of new hashes: OWASP's figure for this hash. */
#define FTA_PASSWORD_ITERATIONS 210000
#define FTA_PASSWORD_ITERATIONS_MIN 1000
/* A stored string says how much its verification costs. Somebody who can write
 * one must not be able to keep a worker busy for minutes. */
#define FTA_PASSWORD_ITERATIONS_MAX (10 * FTA_PASSWORD_ITERATIONS)
/* Longer than any string fta_password_hash writes. */
#define FTA_PASSWORD_STORED_MAX 256

/* Hashes with a new random salt. Writes *length characters without a NUL. */
fta_status fta_password_hash(fta_text password, uint32_t iterations,
                             char out[FTA_PASSWORD_STORED_MAX], size_t *length);

/* Sets *matches, in constant time. FTA_STORED_MALFORMED if stored is no such
 * string. FTA_STORED_COSTLY, at once, if it asks for more than
 * FTA_PASSWORD_ITERATIONS_MAX. */
fta_status fta_password_verify(fta_text password, fta_text stored,
                               bool *matches);

/* The iterations of a stored string, for finding those to hash again. The
 * statuses are those of fta_password_verify. */
fta_status fta_password_iterations(fta_text stored, uint32_t *out);

#endif
