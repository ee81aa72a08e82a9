#include "token/claims.h"

#include <math.h>
#include <stdio.h>

#include "base/json_write.h"

static const fta_text core_claims[] = {
#define NAME_CORE(text) {text, sizeof(text) - 1},
#define NAME_CALLER(text)
#define X(name, text, kind, need, writer, view, member) NAME_##writer(text)
    FTA_CLAIM_LIST(X)
#undef X
};

const fta_words fta_core_claim_words = FTA_WORDS(core_claims);

/* The claim of that name. The compiler knows the length at most calls, so that
 * it compares whole words with the few names of that length. */
static inline fta_claim
claim_of_length(const char *text, size_t length)
{
#define X(name, literal, kind, need, writer, view, member)                     \
    if (length == sizeof(literal) - 1 &&                                       \
        memcmp(text, literal, sizeof(literal) - 1) == 0) {                     \
        return FTA_CLAIM_##name;                                               \
    }
    FTA_CLAIM_LIST(X)
#undef X
    return FTA_CLAIM_COUNT;
}

/* FTA_CLAIM_COUNT: a claim without a meaning here. */
static fta_claim
claim_of(fta_text text)
{
    switch (text.length) {
    case 3:
        return claim_of_length(text.data, 3);
    case 4:
        return claim_of_length(text.data, 4);
    case 7:
        return claim_of_length(text.data, 7);
    case 9:
        return claim_of_length(text.data, 9);
    default: /* finds the same, only slower */
        return claim_of_length(text.data, text.length);
    }
}

/* --- values of each kind ------------------------------------------------ */

/* What one pass has found so far. */
typedef struct reading {
    const fta_claim_rules *rules;
    fta_claims claims;
    bool audience_matches;
} reading;

static fta_status
read_text(const fta_json_event *event, fta_status invalid)
{
    return event->kind == FTA_JSON_STRING ? FTA_OK : invalid;
}

static fta_status
read_uuid(const fta_json_event *event, fta_status invalid, fta_uuid *out)
{
    return event->kind == FTA_JSON_STRING &&
                   fta_uuid_parse(event->text.data, event->text.length, out)
               ? FTA_OK
               : invalid;
}

static fta_status
read_role(const fta_json_event *event, fta_status invalid, fta_role *out)
{
    return event->kind == FTA_JSON_STRING && fta_role_parse(event->text, out)
               ? FTA_OK
               : invalid;
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

static fta_status
read_issuer(const fta_json_event *event, fta_status invalid,
            const fta_claim_rules *rules)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    return rules->issuer.data == NULL ||
                   fta_text_equal(event->text, rules->issuer)
               ? FTA_OK
               : FTA_ISS_MISMATCH;
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

/* A string, or the beginning of an array, which read_audiences goes on with. */
static fta_status
read_audience(const fta_json_event *event, fta_status invalid, reading *found)
{
    if (event->kind == FTA_JSON_STRING) {
        match_audience(found, event->text);
        return FTA_OK;
    }
    return event->kind == FTA_JSON_ARRAY ? FTA_OK : invalid;
}

#define READ_UUID(invalid, member)                                             \
    read_uuid(event, invalid, &found->claims.member)
#define READ_DATE(invalid, member)                                             \
    read_date(event, invalid, &found->claims.member)
#define READ_ROLE(invalid, member)                                             \
    read_role(event, invalid, &found->claims.member)
#define READ_TEXT(invalid, member) read_text(event, invalid)
#define READ_ISSUER(invalid, member) read_issuer(event, invalid, found->rules)
#define READ_AUDIENCE(invalid, member) read_audience(event, invalid, found)

/* --- reading ------------------------------------------------------------ */

/* The event is the claim's value, or the first event of it. */
static fta_status
read_claim(reading *found, fta_claim claim, const fta_json_event *event)
{
    found->claims.present |= 1u << claim;
    switch (claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        return READ_##kind(FTA_##name##_INVALID, member);
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return FTA_OK;
}

static fta_status
check_required(const fta_claims *claims)
{
#define REQUIRE_REQUIRED(name)                                                 \
    if (!fta_claims_have(claims, FTA_CLAIM_##name)) {                          \
        return FTA_##name##_MISSING;                                           \
    }
#define REQUIRE_OPTIONAL(name)
#define X(name, text, kind, need, writer, view, member) REQUIRE_##need(name)
    FTA_CLAIM_LIST(X)
#undef X
    return FTA_OK;
}

/* The rules that need the whole payload, expiry last. */
static fta_status
check_rules(const reading *found, double now)
{
    const fta_claim_rules *rules = found->rules;
    const fta_claims *claims = &found->claims;
    fta_status status = check_required(claims);
    if (status != FTA_OK) {
        return status;
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

/* The elements of an audience. Sets wrong if one is not a string. */
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

/* Writes a UUID in lower case over its text, so that the sink sees the ids as
 * they are known everywhere else. */
static void
lower_uuid(const reading *found, fta_claim claim, const fta_json_event *event)
{
    /* The text lies in the payload, which is ours to change. */
    char *text = (char *)(uintptr_t)event->text.data;
    switch (claim) {
#define LOWER_UUID(member) fta_uuid_format(&found->claims.member, text)
#define LOWER_DATE(member)
#define LOWER_ROLE(member)
#define LOWER_TEXT(member)
#define LOWER_ISSUER(member)
#define LOWER_AUDIENCE(member)
#define X(name, literal, kind, need, writer, view, member)                     \
    case FTA_CLAIM_##name:                                                     \
        LOWER_##kind(member);                                                  \
        break;
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
}

/* A member of the payload, whose name is the event. Sets wrong to what is wrong
 * with its value, if it is a claim. */
static fta_status
read_member(fta_json *reader, reading *found, const fta_json_sink *sink,
            fta_json_event *event, fta_status *wrong)
{
    fta_claim claim = claim_of(event->text);
    fta_status status = fta_json_next(reader, event);
    if (status != FTA_OK) {
        return status;
    }
    *wrong = read_claim(found, claim, event);
    if (sink != NULL) {
        if (*wrong == FTA_OK) {
            lower_uuid(found, claim, event);
        }
        if (!sink->accept(sink->context, event)) {
            return FTA_STOPPED;
        }
    }
    if (event->kind == FTA_JSON_ARRAY && claim == FTA_CLAIM_AUD) {
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
    /* The first invalid claim is reported at the end, because a payload that
     * is no JSON is reported as that. */
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
fta_claims_read(const fta_claim_reader *how, char *payload, size_t size,
                fta_claims *out)
{
    reading found = {.rules = how->rules};
    fta_json reader;
    fta_json_start(&reader, payload, size, how->seed);
    fta_status status = read_payload(&reader, &found, how->sink);
    fta_json_finish(&reader);
    if (status == FTA_OK) {
        status = check_rules(&found, how->now);
    }
    if (status == FTA_OK) {
        *out = found.claims;
    }
    return status;
}

/* --- writing ------------------------------------------------------------ */

#define TEXT_ROOM(length) (2 + (length) * FTA_JSON_ESCAPED_MAX + 1)
/* Any name with quotes, colon and comma; any UUID, date or role. */
#define CLAIM_ROOM ((size_t)96)

size_t
fta_claims_room(const fta_claim_rules *rules)
{
    size_t room =
        FTA_CLAIM_COUNT * CLAIM_ROOM + TEXT_ROOM(rules->issuer.length);
    for (size_t i = 0; i < rules->audience_count; i++) {
        room += TEXT_ROOM(rules->audiences[i].length);
    }
    return room;
}

/* The largest integer up to which a double has every integer. */
#define DATE_MAX 9007199254740992.0

static char *
write_date(char *out, double seconds)
{
    double bounded = seconds > DATE_MAX    ? DATE_MAX
                     : seconds < -DATE_MAX ? -DATE_MAX
                                           : seconds;
    return out + snprintf(out, CLAIM_ROOM / 2, "%lld", (long long)bounded);
}

static char *
write_uuid(char *out, const fta_uuid *uuid)
{
    *out++ = '"';
    fta_uuid_format(uuid, out);
    out += FTA_UUID_TEXT;
    *out++ = '"';
    return out;
}

static char *
write_role(char *out, fta_role role)
{
    return fta_json_write_string(out, fta_words_at(&fta_role_words, role));
}

/* One as a string, several as an array (RFC 7519, section 4.1.3). */
static char *
write_audiences(char *out, const fta_claim_rules *rules)
{
    if (rules->audience_count == 1) {
        return fta_json_write_string(out, rules->audiences[0]);
    }
    for (size_t i = 0; i < rules->audience_count; i++) {
        *out++ = i == 0 ? '[' : ',';
        out = fta_json_write_string(out, rules->audiences[i]);
    }
    *out++ = ']';
    return out;
}

/* A member of the object that starts at first. */
static char *
write_name(char *out, const char *first, fta_text name)
{
    if (out != first) {
        *out++ = ',';
    }
    out = fta_json_write_string(out, name);
    *out++ = ':';
    return out;
}

#define SAID_UUID(name) fta_claims_have(claims, FTA_CLAIM_##name)
#define SAID_DATE(name) fta_claims_have(claims, FTA_CLAIM_##name)
#define SAID_ROLE(name) fta_claims_have(claims, FTA_CLAIM_##name)
#define SAID_TEXT(name) false /* the caller's */
#define SAID_ISSUER(name) (rules->issuer.data != NULL)
#define SAID_AUDIENCE(name) (rules->audience_count != 0)

#define WRITE_UUID(member) write_uuid(next, &claims->member)
#define WRITE_DATE(member) write_date(next, claims->member)
#define WRITE_ROLE(member) write_role(next, claims->member)
#define WRITE_TEXT(member) next
#define WRITE_ISSUER(member) fta_json_write_string(next, rules->issuer)
#define WRITE_AUDIENCE(member) write_audiences(next, rules)

size_t
fta_claims_write(const fta_claims *claims, const fta_claim_rules *rules,
                 char *out)
{
    char *next = out;
#define X(name, literal, kind, need, writer, view, member)                     \
    if (SAID_##kind(name)) {                                                   \
        const fta_text text = {literal, sizeof(literal) - 1};                  \
        next = write_name(next, out, text);                                    \
        next = WRITE_##kind(member);                                           \
    }
    FTA_CLAIM_LIST(X)
#undef X
    return (size_t)(next - out);
}
