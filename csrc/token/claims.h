/* The claims of a token: one strict pass over its payload, then the rules of
 * RFC 7519 and this application's own claims. */
#ifndef FTA_TOKEN_CLAIMS_H
#define FTA_TOKEN_CLAIMS_H

#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"
#include "token/role.h"

/* Every claim that has a meaning here. A new one is a new line, and the
 * statuses that it needs in base/status.h: FTA_<NAME>_INVALID, and
 * FTA_<NAME>_MISSING where it is required.
 *
 * X(NAME, text, KIND, NEED, WRITER, VIEW, member)
 *   text    its name in the payload
 *   KIND    UUID, DATE and ROLE have a value, which becomes the member of
 *           fta_claims; TEXT, ISSUER and AUDIENCE are checked only
 *   NEED    REQUIRED or OPTIONAL. Required ones are looked for in this order
 *   WRITER  CORE: fta_claims_write writes it, and nobody else may.
 *           CALLER: whoever has a token signed may say it
 *   VIEW    SHOWN: Identity has an attribute named as the member. HIDDEN: not
 */
#define FTA_CLAIM_LIST(X)                                                      \
    X(TENANT_ID, "tenant_id", UUID, REQUIRED, CORE, SHOWN, tenant_id)          \
    X(USER_ID, "user_id", UUID, REQUIRED, CORE, SHOWN, user_id)                \
    X(EXP, "exp", DATE, REQUIRED, CORE, SHOWN, expires_at)                     \
    X(ROLE, "role", ROLE, OPTIONAL, CORE, SHOWN, role)                         \
    X(NBF, "nbf", DATE, OPTIONAL, CORE, HIDDEN, not_before)                    \
    X(IAT, "iat", DATE, OPTIONAL, CORE, HIDDEN, issued_at)                     \
    X(ISS, "iss", ISSUER, OPTIONAL, CORE, HIDDEN, issuer)                      \
    X(AUD, "aud", AUDIENCE, OPTIONAL, CORE, HIDDEN, audience)                  \
    X(SUB, "sub", TEXT, OPTIONAL, CALLER, HIDDEN, subject)                     \
    X(JTI, "jti", TEXT, OPTIONAL, CALLER, HIDDEN, id)

typedef enum fta_claim {
#define X(name, text, kind, need, writer, view, member) FTA_CLAIM_##name,
    FTA_CLAIM_LIST(X)
#undef X
        FTA_CLAIM_COUNT
} fta_claim;

/* The values of a token's claims. */
typedef struct fta_claims {
#define FTA_MEMBER_UUID(member) fta_uuid member;
#define FTA_MEMBER_DATE(member) double member; /* seconds since 1970 */
#define FTA_MEMBER_ROLE(member) fta_role member;
#define FTA_MEMBER_TEXT(member)
#define FTA_MEMBER_ISSUER(member)
#define FTA_MEMBER_AUDIENCE(member)
#define X(name, text, kind, need, writer, view, member)                        \
    FTA_MEMBER_##kind(member)
    FTA_CLAIM_LIST(X)
#undef X
    unsigned present; /* 1 << fta_claim of each that the token has */
} fta_claims;

static inline bool
fta_claims_have(const fta_claims *claims, fta_claim claim)
{
    return (claims->present >> claim & 1u) != 0;
}

/* The names that fta_claims_write writes. */
extern const fta_words fta_core_claim_words;

typedef struct fta_claim_rules {
    fta_text issuer;           /* data NULL: any, or none */
    const fta_text *audiences; /* Borrowed */
    size_t audience_count;     /* 0: a token with an audience is invalid */
    double leeway;             /* seconds, for exp and nbf */
} fta_claim_rules;

typedef struct fta_claim_reader {
    const fta_claim_rules *rules; /* Borrowed */
    const fta_json_seed *seed;    /* Borrowed */
    const fta_json_sink *sink;    /* Borrowed; NULL: nothing is shown */
    double now;                   /* seconds since 1970 */
} fta_claim_reader;

/* Reads the payload, which is changed by it. The sink sees every event but
 * FTA_JSON_END, the UUIDs in lower case. What it built counts only if this ends
 * with FTA_OK. A token that is expired and also breaks another rule is reported
 * for the other rule. out is written on success alone; a claim that is absent
 * has the value 0 there. */
fta_status fta_claims_read(const fta_claim_reader *how, char *payload,
                           size_t size, fta_claims *out);

/* How many octets fta_claims_write needs at most. */
size_t fta_claims_room(const fta_claim_rules *rules);

/* Writes what a token of these claims says under these rules, as the members
 * of a JSON object without its braces. Dates become whole seconds of at most
 * 2^53. Returns how many octets it has written. */
size_t fta_claims_write(const fta_claims *claims, const fta_claim_rules *rules,
                        char *out);

#endif
