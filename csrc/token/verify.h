/* From a token to claims that can be trusted, in three steps:
 *
 *   open    length, segments, header: which keys may have signed it
 *   check   the signature, in constant time
 *   claims  one strict pass over the payload
 *
 * Three and not one, because the binding lets other threads run during the
 * second when it takes long. libjwt never sees a token from outside. */
#ifndef FTA_TOKEN_VERIFY_H
#define FTA_TOKEN_VERIFY_H

#include "token/claims_read.h"
#include "token/keyring.h"

/* Payloads up to this size need no allocated memory. */
#define FTA_TOKEN_SCRATCH 6144

typedef struct fta_token {
    const char *text;     /* Borrowed */
    size_t signed_length; /* header, dot, payload */
    fta_text signature;   /* Borrowed, still encoded */
    const fta_algorithm *algorithm;
    const fta_key *key;  /* Borrowed; the key of the kid, or NULL: every key of
                            the algorithm */
    bool kid_is_foreign; /* it names a key that is none of the keyring's: only
                            keys whose kid was derived are tried */
    char *payload;       /* scratch, or Owned */
    size_t payload_size;
    double now; /* when its claims were read, seconds since 1970 */
    char scratch[FTA_TOKEN_SCRATCH];
} fta_token;

/* How many keys are tried for one token. Else a forged one would cost as many
 * verifications as there are keys. */
#define FTA_TOKEN_TRIES 8

/* fta_token_close must follow, also after a failure. */
fta_status fta_token_open(const fta_keyring *keyring, fta_text text,
                          fta_token *token);
fta_status fta_token_check(const fta_keyring *keyring, const fta_token *token);

/* What is shown of the claims; each may be NULL. */
typedef struct fta_token_sinks {
    const fta_json_sink *events;
    const fta_permission_sink *permissions;
    bool any_time;      /* exp and nbf are not compared */
    fta_token_ids *ids; /* they last until fta_token_close */
} fta_token_sinks;

fta_status fta_token_claims(const fta_keyring *keyring, fta_token *token,
                            const fta_token_sinks *sinks, fta_claims *out);
void fta_token_close(fta_token *token);

/* Whether the check takes so long that other threads should run meanwhile. */
bool fta_token_is_slow(const fta_token *token);

#endif
