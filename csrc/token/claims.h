/* The claims of a token: one strict pass over its payload, then the rules of
 * RFC 7519 and this application's own claims. */
#ifndef FTA_TOKEN_CLAIMS_H
#define FTA_TOKEN_CLAIMS_H

#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"
#include "token/role.h"

typedef struct fta_claims {
    fta_uuid tenant_id;
    fta_uuid user_id;
    fta_role role;
    double expires_at; /* seconds since 1970 */
} fta_claims;

typedef struct fta_claim_rules {
    fta_text issuer;           /* data NULL: any, or none */
    const fta_text *audiences; /* Borrowed */
    size_t audience_count;     /* 0: a token with an audience is refused */
    double leeway;             /* seconds, for exp and nbf */
} fta_claim_rules;

/* Reads the payload, which is changed by it; now is in seconds since 1970. The
 * sink, which may be NULL, sees every event but FTA_JSON_END, the two ids in
 * lower case, and what it built counts only if this ends with FTA_OK. A token
 * that is expired and wrong in another way is reported as wrong in the other
 * way. out is written only on success. */
fta_status fta_claims_read(char *payload, size_t size,
                           const fta_claim_rules *rules,
                           const fta_json_seed *seed, double now,
                           const fta_json_sink *sink, fta_claims *out);

#endif
