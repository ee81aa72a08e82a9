/* Refresh tokens: r1<session>.<counter>.<mac>
 *
 *   session  the id of the session, 32 hexadecimal digits in lower case
 *   counter  1 to 2^63 - 1, decimal, without leading zeros
 *   mac      HMAC-SHA-256 of all before the last dot, 43 characters of
 *            base64url
 *
 * The key of the MAC is derived from a secret of the app and the salt of the
 * session (derive.h). The salt is in the store, so neither the secret alone
 * nor the store alone makes a token. Each token has one text: a reader that
 * took a second one could be asked for the same token twice. */
#ifndef FTA_SESSION_REFRESH_TOKEN_H
#define FTA_SESSION_REFRESH_TOKEN_H

#include <stdbool.h>

#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"

#define FTA_REFRESH_COUNTER_MAX INT64_MAX
#define FTA_REFRESH_MAC_BYTES 32

/* The longest one: r1, 32 digits, a dot, 19 digits, a dot, 43 characters. */
#define FTA_REFRESH_TOKEN_MAX (2 + 32 + 1 + 19 + 1 + 43)

/* Longer salts and secrets are refused. */
#define FTA_REFRESH_SECRET_MAX ((size_t)64 << 10)

typedef struct fta_refresh_token {
    fta_uuid session;
    int64_t counter;
    uint8_t mac[FTA_REFRESH_MAC_BYTES];
    fta_text signed_part; /* Borrowed: what the MAC is of */
} fta_refresh_token;

/* Reads the text of a token. Nothing of it is trusted yet. */
bool fta_refresh_token_read(fta_text text, fta_refresh_token *out);

/* Writes the token, no NUL, and how many characters it has.
 * FTA_BAD_ARGUMENT for a counter that is not 1 or more, and a secret or salt
 * that is empty or longer than FTA_REFRESH_SECRET_MAX. */
fta_status fta_refresh_token_make(fta_text secret, fta_text salt,
                                  const fta_uuid *session, int64_t counter,
                                  char out[FTA_REFRESH_TOKEN_MAX],
                                  size_t *length);

/* Whether this secret, with this salt, has made the token. The comparison takes
 * constant time. */
fta_status fta_refresh_token_check(fta_text secret, fta_text salt,
                                   const fta_refresh_token *token,
                                   bool *matches);

#endif
