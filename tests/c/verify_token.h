/* The steps from a token to its claims, as the binding takes them. */
#ifndef FTA_TESTS_VERIFY_TOKEN_H
#define FTA_TESTS_VERIFY_TOKEN_H

#include "token/verify.h"

static inline fta_status
verify_token(const fta_keyring *keyring, fta_text text,
             const fta_json_sink *sink, fta_claims *out)
{
    fta_token token;
    fta_status status = fta_token_open(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_token_check(keyring, &token);
    }
    if (status == FTA_OK) {
        const fta_token_sinks sinks = {.events = sink};
        status = fta_token_claims(keyring, &token, &sinks, out);
    }
    fta_token_close(&token);
    return status;
}

#endif
