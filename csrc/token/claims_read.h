/* A token's payload to the values of its claims: one strict pass, then the
 * rules of RFC 7519 and of the application. */
#ifndef FTA_TOKEN_CLAIMS_READ_H
#define FTA_TOKEN_CLAIMS_READ_H

#include "token/claim_rules.h"

/* Gets each permission that a payload names. A name whose data is NULL says
 * that those before it do not count. */
typedef struct fta_permission_sink {
    void (*accept)(void *context, fta_text name);
    void *context;
} fta_permission_sink;

/* What a revocation may name beside the user: see FTA_CLAIM_LIST. data NULL
 * where there is none. */
typedef struct fta_token_ids {
    fta_text token;   /* jti; Borrowed: the payload */
    fta_text session; /* sid; likewise */
    bool has_actor;   /* it has one that can be a user */
    fta_uuid actor;
} fta_token_ids;

typedef struct fta_claim_reader {
    fta_claim_rules
        *rules; /* Borrowed; what its roles are granted may change */
    const fta_json_seed *seed;              /* Borrowed */
    const fta_json_sink *sink;              /* Borrowed; NULL: none */
    const fta_permission_sink *permissions; /* Borrowed; NULL: none */
    double now; /* seconds since 1970; NAN: exp and nbf are not compared */
    fta_token_ids *ids; /* Borrowed; NULL: they are not kept */
} fta_claim_reader;

/* Reads the payload, which is changed by it. The sink sees every event but
 * FTA_JSON_END, ids that are UUIDs in lower case. What it built counts only if
 * this ends with FTA_OK. A token that is expired and also breaks another rule
 * is reported for the other rule. What out holds after a failure means nothing;
 * a claim that is absent has the value 0 there, but for the role, which is the
 * default, and the permissions, which include those of the role. */
fta_status fta_claims_read(const fta_claim_reader *how, char *payload,
                           size_t size, fta_claims *out);

#endif
