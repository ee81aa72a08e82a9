#include "token/claims_reading.h"

#include "token/name_uuid.h"

/* The fault of the claim that comes first in the payload. */
static fta_status
first_fault(const fta_reading *found)
{
    fta_status first = FTA_OK;
    uint32_t at = UINT32_MAX;
    for (size_t i = 0; i < FTA_CLAIM_COUNT && found->wrong != 0; i++) {
        if ((found->wrong & FTA_BIT(i)) != 0 && found->fault_at[i] < at) {
            at = found->fault_at[i];
            first = found->fault[i];
        }
    }
    return first;
}

#define NEEDED_ID (!found->rules->without_identity)
#define NEEDED_DATE true

static fta_status
check_present(const fta_reading *found)
{
#define REQUIRE_REQUIRED(name, kind)                                           \
    if (NEEDED_##kind && !fta_claims_have(found->claims, FTA_CLAIM_##name)) {  \
        return FTA_##name##_MISSING;                                           \
    }
#define REQUIRE_OPTIONAL(name, kind)
#define X(name, text, kind, need, writer, view, member)                        \
    REQUIRE_##need(name, kind)
    FTA_CLAIM_LIST(X)
#undef X
    return FTA_OK;
}

#define FINISH_ID(name, member)                                                \
    if (status == FTA_OK && (found->named & FTA_BIT(FTA_CLAIM_##name)) != 0) { \
        status = fta_uuid_of_name(&found->rules->id_namespace,                 \
                                  found->names[FTA_CLAIM_##name],              \
                                  &found->claims->member);                     \
    }
#define FINISH_DATE(name, member)
#define FINISH_ROLE(name, member)
#define FINISH_PERMISSIONS(name, member)
#define FINISH_ACTOR(name, member)
#define FINISH_TEXT(name, member)
#define FINISH_TOKEN(name, member)
#define FINISH_SESSION(name, member)
#define FINISH_OBJECT(name, member)
#define FINISH_ISSUER(name, member)
#define FINISH_AUDIENCE(name, member)
#define FINISH_USE(name, member)

static fta_status
finish_ids(fta_reading *found)
{
    fta_status status = FTA_OK;
    if (found->named == 0) {
        return FTA_OK;
    }
#define X(name, text, kind, need, writer, view, member)                        \
    FINISH_##kind(name, member)
    FTA_CLAIM_LIST(X)
#undef X
    return status;
}

/* The actor as a user, if it can be one. */
static fta_status
finish_actor(const fta_reading *found)
{
    fta_token_ids *ids = found->how->ids;
    fta_text actor = found->claims->actor;
    if (ids == NULL || !fta_claims_have(found->claims, FTA_CLAIM_ACT_SUB)) {
        return FTA_OK;
    }
    ids->has_actor = fta_uuid_parse(actor.data, actor.length, &ids->actor);
    if (ids->has_actor || !found->rules->has_namespace) {
        return FTA_OK;
    }
    ids->has_actor = true;
    return fta_uuid_of_name(&found->rules->id_namespace, actor, &ids->actor);
}

static fta_status
finish_role(fta_reading *found)
{
    const fta_claim_rules *rules = found->rules;
    if (!found->has_role) {
        if (!rules->has_default_role && !rules->without_identity) {
            return fta_claims_have(found->claims, FTA_CLAIM_ROLE)
                       ? FTA_ROLE_INVALID
                       : FTA_ROLE_MISSING;
        }
        found->claims->role = rules->default_role;
        found->claims->present &= ~FTA_BIT(FTA_CLAIM_ROLE);
    }
    fta_roles_join_granted(rules->roles, found->claims->role,
                           &found->claims->permissions);
    return FTA_OK;
}

/* An actor is of the tenant that it acts in (RFC 8693, section 4.1, leaves to
 * the application who may act for whom). */
static bool
actor_is_foreign(const fta_claims *claims)
{
    return fta_claims_have(claims, FTA_CLAIM_ACT_TENANT_ID) &&
           !fta_uuid_equal(&claims->actor_tenant, &claims->tenant_id);
}

/* Expiry last. */
static fta_status
check_rules(const fta_reading *found, double now)
{
    const fta_claim_rules *rules = found->rules;
    const fta_claims *claims = found->claims;
    if (actor_is_foreign(claims)) {
        return FTA_ACTOR_FOREIGN;
    }
    if (found->met != rules->required) {
        return FTA_REQUIRED_CLAIM;
    }
    if (rules->issuer.data != NULL && !fta_claims_have(claims, FTA_CLAIM_ISS)) {
        return FTA_ISS_MISMATCH;
    }
    if (rules->audience_count == 0 && fta_claims_have(claims, FTA_CLAIM_AUD)) {
        return FTA_AUD_UNEXPECTED;
    }
    if (rules->audience_count != 0 && !found->audience_matches) {
        return FTA_AUD_MISMATCH;
    }
    if (fta_claims_have(claims, FTA_CLAIM_NBF) &&
        now + rules->leeway < claims->not_before) {
        return FTA_NOT_YET_VALID;
    }
    return now >= claims->expires_at + rules->leeway ? FTA_EXPIRED : FTA_OK;
}

fta_status
fta_claims_finish(fta_reading *found)
{
    fta_status status = first_fault(found);
    if (status == FTA_OK) {
        status = check_present(found);
    }
    if (status == FTA_OK) {
        status = finish_role(found);
    }
    if (status == FTA_OK) {
        status = finish_ids(found);
    }
    if (status == FTA_OK) {
        status = finish_actor(found);
    }
    return status == FTA_OK ? check_rules(found, found->how->now) : status;
}
