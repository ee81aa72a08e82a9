#include "token/claims.h"

#include <math.h>

typedef enum claim {
    OTHER,
    EXP,
    NBF,
    IAT,
    ISS,
    SUB,
    JTI,
    AUD,
    TENANT_ID,
    USER_ID,
    ROLE
} claim;

/* What one pass has found so far. */
typedef struct reading {
    const fta_claim_rules *rules;
    fta_claims claims;
    double not_before;
    unsigned present; /* bit per claim */
    bool audience_matches;
} reading;

static claim
claim_of(fta_text name)
{
    switch (name.length) {
    case 3:
        if (fta_text_is(name, "exp")) {
            return EXP;
        }
        if (fta_text_is(name, "iat")) {
            return IAT;
        }
        if (fta_text_is(name, "nbf")) {
            return NBF;
        }
        if (fta_text_is(name, "iss")) {
            return ISS;
        }
        if (fta_text_is(name, "aud")) {
            return AUD;
        }
        if (fta_text_is(name, "sub")) {
            return SUB;
        }
        if (fta_text_is(name, "jti")) {
            return JTI;
        }
        return OTHER;
    case 4:
        return fta_text_is(name, "role") ? ROLE : OTHER;
    case 7:
        return fta_text_is(name, "user_id") ? USER_ID : OTHER;
    case 9:
        return fta_text_is(name, "tenant_id") ? TENANT_ID : OTHER;
    default:
        return OTHER;
    }
}

static fta_status
read_date(const fta_json_event *event, fta_status invalid, double *out)
{
    if (event->kind != FTA_JSON_INTEGER && event->kind != FTA_JSON_REAL) {
        return invalid;
    }
    fta_status status = fta_json_double(event->text, out);
    if (status != FTA_OK) {
        return status;
    }
    return isfinite(*out) ? FTA_OK : invalid;
}

static void
match_audience(reading *found, fta_text audience)
{
    for (size_t i = 0; i < found->rules->audience_count; i++) {
        if (fta_text_equal(audience, found->rules->audiences[i])) {
            found->audience_matches = true;
        }
    }
}

/* A claim and its value, or the value's first event. */
static fta_status
read_claim(reading *found, claim which, const fta_json_event *event)
{
    bool is_string = event->kind == FTA_JSON_STRING;
    double ignored;
    found->present |= 1u << which;
    switch (which) {
    case EXP:
        return read_date(event, FTA_EXP_INVALID, &found->claims.expires_at);
    case NBF:
        return read_date(event, FTA_NBF_INVALID, &found->not_before);
    case IAT:
        return read_date(event, FTA_IAT_INVALID, &ignored);
    case ISS:
        if (!is_string) {
            return FTA_ISS_INVALID;
        }
        return found->rules->issuer.data == NULL ||
                       fta_text_equal(event->text, found->rules->issuer)
                   ? FTA_OK
                   : FTA_ISS_MISMATCH;
    case SUB:
        return is_string ? FTA_OK : FTA_SUB_INVALID;
    case JTI:
        return is_string ? FTA_OK : FTA_JTI_INVALID;
    case AUD:
        if (is_string) {
            match_audience(found, event->text);
            return FTA_OK;
        }
        return event->kind == FTA_JSON_ARRAY ? FTA_OK : FTA_AUD_INVALID;
    case TENANT_ID:
        return is_string && fta_uuid_parse(event->text.data, event->text.length,
                                           &found->claims.tenant_id)
                   ? FTA_OK
                   : FTA_TENANT_ID_INVALID;
    case USER_ID:
        return is_string && fta_uuid_parse(event->text.data, event->text.length,
                                           &found->claims.user_id)
                   ? FTA_OK
                   : FTA_USER_ID_INVALID;
    case ROLE:
        return is_string && fta_role_parse(event->text, &found->claims.role)
                   ? FTA_OK
                   : FTA_ROLE_INVALID;
    default:
        return FTA_OK;
    }
}

/* The rules that need the whole payload, expiry last. */
static fta_status
judge(const reading *found, double now)
{
    const fta_claim_rules *rules = found->rules;
#define HAS(claim) ((found->present >> (claim) & 1u) != 0)
    if (!HAS(TENANT_ID)) {
        return FTA_TENANT_ID_MISSING;
    }
    if (!HAS(USER_ID)) {
        return FTA_USER_ID_MISSING;
    }
    if (!HAS(EXP)) {
        return FTA_EXP_MISSING;
    }
    if (rules->issuer.data != NULL && !HAS(ISS)) {
        return FTA_ISS_MISMATCH;
    }
    if (rules->audience_count == 0 && HAS(AUD)) {
        return FTA_AUD_UNEXPECTED;
    }
    if (rules->audience_count != 0 && !found->audience_matches) {
        return FTA_AUD_MISMATCH;
    }
    if (HAS(NBF) && now + rules->leeway < found->not_before) {
        return FTA_NOT_YET_VALID;
    }
#undef HAS
    return now >= found->claims.expires_at + rules->leeway ? FTA_EXPIRED
                                                           : FTA_OK;
}

/* The elements of an audience; sets wrong if one is not a string. */
static fta_status
read_audiences(fta_json *reader, reading *found, const fta_json_sink *sink,
               fta_status *wrong)
{
    for (;;) {
        fta_json_event event;
        fta_status status = fta_json_next_to(reader, sink, &event);
        if (status != FTA_OK || event.kind == FTA_JSON_ARRAY_END) {
            return status;
        }
        if (event.kind == FTA_JSON_STRING) {
            match_audience(found, event.text);
            continue;
        }
        *wrong = FTA_AUD_INVALID;
        if (event.kind == FTA_JSON_OBJECT || event.kind == FTA_JSON_ARRAY) {
            status = fta_json_leave(reader, sink);
        }
        if (status != FTA_OK) {
            return status;
        }
    }
}

/* Writes a UUID in lower case over its text, so that who sees all claims sees
 * the ids as they are known everywhere else. */
static void
settle_uuid(const reading *found, claim which, const fta_json_event *event)
{
    /* The text lies in the payload, which is ours to change. */
    char *text = (char *)(uintptr_t)event->text.data;
    if (which == TENANT_ID) {
        fta_uuid_format(&found->claims.tenant_id, text);
    } else if (which == USER_ID) {
        fta_uuid_format(&found->claims.user_id, text);
    }
}

/* A member of the payload, whose name is event; sets wrong if it is a claim
 * with a wrong value. */
static fta_status
read_member(fta_json *reader, reading *found, const fta_json_sink *sink,
            fta_json_event *event, fta_status *wrong)
{
    claim which = claim_of(event->text);
    fta_status status = fta_json_next(reader, event);
    if (status != FTA_OK) {
        return status;
    }
    *wrong = read_claim(found, which, event);
    if (sink != NULL) {
        if (*wrong == FTA_OK) {
            settle_uuid(found, which, event);
        }
        if (!sink->accept(sink->context, event)) {
            return FTA_STOPPED;
        }
    }
    if (event->kind == FTA_JSON_ARRAY && which == AUD) {
        return read_audiences(reader, found, sink, wrong);
    }
    if (event->kind == FTA_JSON_OBJECT || event->kind == FTA_JSON_ARRAY) {
        return fta_json_leave(reader, sink);
    }
    return FTA_OK;
}

static fta_status
read_payload(fta_json *reader, reading *found, const fta_json_sink *sink)
{
    /* The first wrong claim is told at the end: a payload that is no JSON at
     * all is told as that. */
    fta_status first_wrong = FTA_OK;
    fta_json_event event;
    fta_status status = fta_json_next(reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        return FTA_JSON_NOT_OBJECT;
    }
    if (status == FTA_OK && sink != NULL &&
        !sink->accept(sink->context, &event)) {
        return FTA_STOPPED;
    }
    while (status == FTA_OK) {
        status = fta_json_next_to(reader, sink, &event);
        if (status != FTA_OK || event.kind == FTA_JSON_OBJECT_END) {
            break;
        }
        fta_status wrong = FTA_OK;
        status = read_member(reader, found, sink, &event, &wrong);
        if (first_wrong == FTA_OK) {
            first_wrong = wrong;
        }
    }
    if (status == FTA_OK) {
        status = fta_json_next(reader, &event); /* FTA_JSON_END, or too much */
    }
    return status == FTA_OK ? first_wrong : status;
}

fta_status
fta_claims_read(char *payload, size_t size, const fta_claim_rules *rules,
                const fta_json_seed *seed, double now,
                const fta_json_sink *sink, fta_claims *out)
{
    reading found = {.rules = rules};
    fta_json reader;
    fta_json_start(&reader, payload, size, seed);
    fta_status status = read_payload(&reader, &found, sink);
    fta_json_finish(&reader);
    if (status == FTA_OK) {
        status = judge(&found, now);
    }
    if (status == FTA_OK) {
        *out = found.claims;
    }
    return status;
}
