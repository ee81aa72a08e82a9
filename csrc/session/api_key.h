/* API keys: fta_<id>_<secret><checksum>
 *
 *   id        16 characters of base32: 80 random bits, which may be shown
 *   secret    40 characters of base32: 200 random bits
 *   checksum  7 characters of base32: the CRC-32 of all before it
 *
 * Base32 is that of RFC 4648, section 6, in lower case and without padding. 80
 * and 200 bits fill whole characters, and a checksum is compared as a text. So
 * each key has one text.
 *
 * The checksum is the CRC-32 of gzip and PNG, as in the tokens of GitHub: a
 * scanner that finds a leaked key can tell it from a text that looks like one,
 * with a function that every language has. It keeps typing errors and random
 * guesses from the store. It proves nothing: who computes it can make keys that
 * are well formed. The secret alone is what they cannot guess. */
#ifndef FTA_SESSION_API_KEY_H
#define FTA_SESSION_API_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define FTA_API_KEY_PREFIX "fta_"
#define FTA_API_KEY_ID 16
#define FTA_API_KEY_SECRET 40
#define FTA_API_KEY_CHECKSUM 7
#define FTA_API_KEY_LENGTH                                                     \
    (sizeof FTA_API_KEY_PREFIX - 1 + FTA_API_KEY_ID + 1 + FTA_API_KEY_SECRET + \
     FTA_API_KEY_CHECKSUM)
#define FTA_API_KEY_DIGEST 32

/* What is kept of a key. The secret needs no salt: nobody can list 2^200. */
typedef struct fta_api_key {
    char id[FTA_API_KEY_ID];
    uint8_t digest[FTA_API_KEY_DIGEST]; /* SHA-256 of the secret, as written */
} fta_api_key;

/* Makes a new key: its text, no NUL, and what is kept of it. */
fta_status fta_api_key_make(char text[FTA_API_KEY_LENGTH], fta_api_key *out);

/* Reads the text of a key. Nothing of it is trusted yet. *is_key is whether it
 * is well formed, with the right checksum. */
fta_status fta_api_key_read(fta_text text, bool *is_key, fta_api_key *out);

/* Whether a text is the id of a key, as far as its form goes. */
bool fta_api_key_is_id(fta_text text);

#endif
