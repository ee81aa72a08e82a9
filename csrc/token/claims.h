/* The claims that have a meaning here, and what a token says with them. */
#ifndef FTA_TOKEN_CLAIMS_H
#define FTA_TOKEN_CLAIMS_H

#include "base/text.h"
#include "base/uuid.h"
#include "base/words.h"
#include "token/permission.h"
#include "token/roles.h"

/* Every claim that has a meaning here. A new one is a new line, and the
 * statuses that it needs in base/status.h: FTA_<NAME>_INVALID, and
 * FTA_<NAME>_MISSING where it is required.
 *
 * X(NAME, text, KIND, NEED, WRITER, VIEW, member)
 *   text    its place: a name, or a JSON Pointer. An application may move
 *           those of the kinds ID, ROLE and PERMISSIONS
 *   KIND    ID, DATE, ROLE, PERMISSIONS and ACTOR have a value, which becomes
 *           the member of fta_claims; TEXT, OBJECT, ISSUER, AUDIENCE and USE
 *           are checked only; of TOKEN and SESSION the text is kept
 *           where it is asked for (fta_token_ids)
 *   NEED    REQUIRED or OPTIONAL. Required ones are looked for in this order
 *   WRITER  CORE: fta_claims_write writes it, and nobody else may.
 *           INSIDE: so too, inside a claim of this list
 *           CALLER: whoever has a token signed may say it
 *   VIEW    SHOWN: Identity has an attribute named as the member. HIDDEN: not
 */
#define FTA_CLAIM_LIST(X)                                                      \
    X(TENANT_ID, "tenant_id", ID, REQUIRED, CORE, SHOWN, tenant_id)            \
    X(USER_ID, "user_id", ID, REQUIRED, CORE, SHOWN, user_id)                  \
    X(EXP, "exp", DATE, REQUIRED, CORE, SHOWN, expires_at)                     \
    X(ROLE, "role", ROLE, OPTIONAL, CORE, HIDDEN, role)                        \
    X(PERMISSIONS, "permissions", PERMISSIONS, OPTIONAL, CALLER, HIDDEN,       \
      permissions)                                                             \
    X(NBF, "nbf", DATE, OPTIONAL, CORE, HIDDEN, not_before)                    \
    X(IAT, "iat", DATE, OPTIONAL, CORE, HIDDEN, issued_at)                     \
    X(ISS, "iss", ISSUER, OPTIONAL, CORE, HIDDEN, issuer)                      \
    X(AUD, "aud", AUDIENCE, OPTIONAL, CORE, HIDDEN, audience)                  \
    X(SUB, "sub", TEXT, OPTIONAL, CALLER, HIDDEN, subject)                     \
    X(JTI, "jti", TOKEN, OPTIONAL, CALLER, HIDDEN, id)                         \
    X(SID, "sid", SESSION, OPTIONAL, CALLER, HIDDEN, session)                  \
    X(ACT, "act", OBJECT, OPTIONAL, CORE, HIDDEN, act)                         \
    X(ACT_SUB, "/act/sub", ACTOR, OPTIONAL, INSIDE, HIDDEN, actor)             \
    X(ACT_TENANT_ID, "/act/tenant_id", ID, OPTIONAL, INSIDE, HIDDEN,           \
      actor_tenant)                                                            \
    X(TYPE, "type", USE, OPTIONAL, CALLER, HIDDEN, type)                       \
    X(TYP, "typ", USE, OPTIONAL, CALLER, HIDDEN, typ)                          \
    X(TOKEN_USE, "token_use", USE, OPTIONAL, CALLER, HIDDEN, token_use)

typedef enum fta_claim {
#define X(name, text, kind, need, writer, view, member) FTA_CLAIM_##name,
    FTA_CLAIM_LIST(X)
#undef X
        FTA_CLAIM_COUNT
} fta_claim;

/* The values of a token's claims. */
typedef struct fta_claims {
#define FTA_MEMBER_ID(member) fta_uuid member;
#define FTA_MEMBER_DATE(member) double member; /* seconds since 1970 */
#define FTA_MEMBER_ROLE(member) fta_role member;
#define FTA_MEMBER_PERMISSIONS(member) fta_permission_set member;
#define FTA_MEMBER_ACTOR(member) fta_text member; /* Borrowed: the payload */
#define FTA_MEMBER_TEXT(member)
#define FTA_MEMBER_TOKEN(member)
#define FTA_MEMBER_SESSION(member)
#define FTA_MEMBER_OBJECT(member)
#define FTA_MEMBER_ISSUER(member)
#define FTA_MEMBER_AUDIENCE(member)
#define FTA_MEMBER_USE(member)
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

#endif
