/* What is revoked, as a plain list: no table, no hash, nothing that widens. */
#ifndef FTA_TESTS_REVOCATION_MODEL_H
#define FTA_TESTS_REVOCATION_MODEL_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "session/revocations.h"

#define MODEL_MAX 20000
#define TOKEN_MAX_MS INT64_C(3600000)
#define SKEW INT64_C(300000)

typedef struct model_token {
    uint8_t tenant, user, actor; /* actor 0: none */
    char session[37];            /* empty: none */
    char jti[24];                /* empty: none */
    int64_t began_ms;            /* of the session */
    double issued_at;            /* NAN: none */
    int64_t dies_ms;
} model_token;

typedef struct model_revocation {
    fta_revocation_kind kind;
    int64_t at, ends_at;
    uint8_t tenant, user;
    char text[37]; /* id, or the session that is spared */
} model_revocation;

static model_revocation model_list[MODEL_MAX];
static size_t model_count;

static inline fta_uuid
model_uuid(unsigned number)
{
    fta_uuid uuid = {{0xAA, 0xBB}};
    uuid.bytes[6] = 0x40;
    uuid.bytes[14] = (uint8_t)(number >> 8);
    uuid.bytes[15] = (uint8_t)number;
    return uuid;
}

static inline fta_text
model_text(const char *text)
{
    return text[0] == '\0' ? (fta_text){NULL, 0}
                           : (fta_text){text, strlen(text)};
}

/* A UUID of version 7 of this time. */
static inline void
model_session(int64_t ms, unsigned number, char out[37])
{
    (void)snprintf(out, 37, "%08x-%04x-7000-8000-%012x", (unsigned)(ms >> 16),
                   (unsigned)(ms & 0xFFFF), number);
}

static inline bool
model_concerns(const model_revocation *r, const model_token *t)
{
    switch (r->kind) {
    case FTA_REVOKED_SESSION:
        return t->session[0] != '\0' && strcmp(r->text, t->session) == 0;
    case FTA_REVOKED_TOKEN:
        return t->jti[0] != '\0' && strcmp(r->text, t->jti) == 0;
    case FTA_REVOKED_USER:
        return r->tenant == t->tenant &&
               (r->user == t->user || (t->actor && r->user == t->actor)) &&
               (r->text[0] == '\0' || strcmp(r->text, t->session) != 0);
    case FTA_REVOKED_TENANT:
        return r->tenant == t->tenant;
    default:
        return true;
    }
}

static inline fta_status
model_judge(const model_revocation *r, const model_token *t, int64_t now_ms)
{
    if (r->kind == FTA_REVOKED_SESSION || r->kind == FTA_REVOKED_TOKEN) {
        return FTA_TOKEN_REVOKED;
    }
    if (t->session[0] != '\0') {
        return t->began_ms <= r->at ? FTA_TOKEN_REVOKED : FTA_OK;
    }
    if (isnan(t->issued_at)) {
        return FTA_ISSUED_AT_UNKNOWN;
    }
    if (t->issued_at * 1000 <= (double)r->at) {
        return FTA_TOKEN_REVOKED;
    }
    return t->issued_at * 1000 > (double)now_ms ? FTA_ISSUED_AT_UNKNOWN
                                                : FTA_OK;
}

/* What a list of all revocations says; with all_time also of those that no
 * token can meet any more, as the store at a refresh. */
static inline fta_status
model_check(const model_token *t, int64_t now_ms, bool all_time)
{
    fta_status worst = FTA_OK;
    for (size_t i = 0; i < model_count; i++) {
        const model_revocation *r = &model_list[i];
        int64_t until = r->at + TOKEN_MAX_MS + SKEW;
        until = r->ends_at < until ? r->ends_at : until;
        if ((all_time || now_ms < until) && model_concerns(r, t)) {
            fta_status status = model_judge(r, t, now_ms);
            if (worst == FTA_OK || status == FTA_TOKEN_REVOKED) {
                worst = status;
            }
        }
    }
    return worst;
}

static inline fta_status
model_ask(fta_revocations *table, const model_token *t, double now)
{
    fta_uuid tenant = model_uuid(t->tenant), user = model_uuid(t->user),
             actor = model_uuid(t->actor);
    const fta_revocation_query query = {
        .tenant = &tenant,
        .user = &user,
        .actor = t->actor ? &actor : NULL,
        .session = model_text(t->session),
        .jti = model_text(t->jti),
        .issued_at = t->issued_at,
        .expires_at = NAN,
        .now = now,
    };
    return fta_revocations_check(table, &query);
}

static inline fta_status
model_add(fta_revocations *table, const model_revocation *r)
{
    bool is_user = r->kind == FTA_REVOKED_USER;
    bool has_id =
        r->kind == FTA_REVOKED_SESSION || r->kind == FTA_REVOKED_TOKEN;
    const fta_revocation revocation = {
        .kind = r->kind,
        .at = r->at,
        .ends_at = r->ends_at,
        .has_tenant = r->kind != FTA_REVOKED_EVERYTHING,
        .has_user = is_user || has_id,
        .tenant = model_uuid(r->tenant),
        .user = model_uuid(r->user),
        .id = has_id ? model_text(r->text) : (fta_text){NULL, 0},
        .except_session = is_user ? model_text(r->text) : (fta_text){NULL, 0},
    };
    if (model_count < MODEL_MAX) {
        model_list[model_count++] = *r;
    }
    return fta_revocations_add(table, &revocation);
}

static inline fta_revocations *
model_open(size_t slots)
{
    const fta_revocations_options options = {
        .name = {"model", 5},
        .slots = slots,
        .token_max_ms = TOKEN_MAX_MS,
        .silent_max_ms = 60000,
    };
    fta_revocations *table;
    int unshared;
    return fta_revocations_open(&options, &table, &unshared) == FTA_OK ? table
                                                                       : NULL;
}

#endif
