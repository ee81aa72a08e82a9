#include "limit/limiter.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "limit/address.h"

#define US_PER_SECOND ((int64_t)1000000)

struct fta_limiter {
    fta_strategy strategy;
    fta_on_store_error on_store_error;
    fta_shm_table *memory;  /* Owned. */
    int unshared;           /* An errno. */
    fta_redis_store *redis; /* Owned; NULL where this host counts alone. */
};

/* -- names ----------------------------------------------------------------- */

static const struct {
    fta_per per;
    const char *text;
} pers[] = {
    {FTA_PER_USER, "user"},     {FTA_PER_MEMBER, "member"},
    {FTA_PER_TENANT, "tenant"}, {FTA_PER_ADDRESS, "address"},
    {FTA_PER_CUSTOM, "custom"},
};

bool
fta_per_parse(fta_text text, fta_per *out)
{
    for (size_t i = 0; i < sizeof pers / sizeof *pers; i++) {
        if (strlen(pers[i].text) == text.length &&
            memcmp(pers[i].text, text.data, text.length) == 0) {
            *out = pers[i].per;
            return true;
        }
    }
    return false;
}

const char *
fta_per_text(fta_per per)
{
    size_t i = 0;
    while (pers[i].per != per) {
        i++;
    }
    return pers[i].text;
}

bool
fta_on_store_error_parse(fta_text text, fta_on_store_error *out)
{
    if (fta_text_is(text, "memory")) {
        *out = FTA_ON_STORE_ERROR_MEMORY;
    } else if (fta_text_is(text, "allow")) {
        *out = FTA_ON_STORE_ERROR_ALLOW;
    } else if (fta_text_is(text, "deny")) {
        *out = FTA_ON_STORE_ERROR_DENY;
    } else {
        return false;
    }
    return true;
}

fta_limit
fta_limit_share(const fta_limit *limit, double fraction)
{
    fta_limit share = *limit;
    /* 0.29 of 100 is 28.999999999999996, and meant as 29. */
    uint32_t whole = (uint32_t)(fraction * limit->rate.limit + 1e-6);
    share.per = FTA_PER_MEMBER;
    if (limit->rate.limit > 0) {
        share.rate.limit = whole > limit->cost ? whole : limit->cost;
    }
    return share;
}

/* -- keys ------------------------------------------------------------------ */

/* What a request is counted by under a limit. */
typedef struct subject {
    fta_subject kind;
    uint8_t length;
    uint8_t bytes[FTA_SUBJECT_MAX];
} subject;

static bool
subject_from_text(subject *out, fta_subject kind, fta_text text)
{
    if (text.length <= FTA_SUBJECT_MAX) {
        out->kind = kind;
        out->length = (uint8_t)text.length;
        if (text.length > 0) {
            memcpy(out->bytes, text.data, text.length);
        }
        return true;
    }
    unsigned length;
    if (EVP_Digest(text.data, text.length, out->bytes, &length, EVP_sha256(),
                   NULL) != 1) {
        return false;
    }
    out->kind = (fta_subject)(kind - 'a' + 'A');
    out->length = (uint8_t)length;
    return true;
}

/* An address is one client however it is written: see address.h. Whoever has
 * one address of IPv6 has the 2^64 of its network (RFC 4291, 2.5.1) and could
 * come from another one each time: the network is what counts. What is no
 * address is counted as it is written. */
static bool
subject_from_address(subject *out, fta_text text)
{
    static const size_t half = FTA_ADDRESS_BYTES / 2;
    char ipv4[FTA_ADDRESS_TEXT];
    fta_address address;
    if (!fta_address_parse(text, &address)) {
        return subject_from_text(out, FTA_SUBJECT_ADDRESS, text);
    }
    if (address.family == FTA_ADDRESS_IPV6) {
        memcpy(out->bytes, address.bytes, half);
        out->kind = FTA_SUBJECT_NETWORK;
        out->length = (uint8_t)half;
        return true;
    }
    text = (fta_text){ipv4, fta_address_format(&address, ipv4)};
    return subject_from_text(out, FTA_SUBJECT_ADDRESS, text);
}

/* custom_at counts the limits per custom seen so far. */
static bool
find_subject(const fta_limit *limit, const fta_requester *requester,
             size_t *custom_at, subject *out)
{
    if (limit->per == FTA_PER_CUSTOM) {
        size_t at = (*custom_at)++;
        if (at < requester->custom_count && requester->custom[at].length > 0) {
            return subject_from_text(out, FTA_SUBJECT_CUSTOM,
                                     requester->custom[at]);
        }
    } else if (limit->per != FTA_PER_ADDRESS && requester->tenant_id != NULL) {
        memcpy(out->bytes, requester->tenant_id->bytes, FTA_UUID_BYTES);
        out->kind = FTA_SUBJECT_TENANT;
        out->length = FTA_UUID_BYTES;
        if (limit->per != FTA_PER_TENANT) {
            memcpy(out->bytes + FTA_UUID_BYTES, requester->user_id->bytes,
                   FTA_UUID_BYTES);
            out->kind = FTA_SUBJECT_USER;
            out->length = 2 * FTA_UUID_BYTES;
        }
        return true;
    }
    return subject_from_address(out, requester->address);
}

static uint8_t *
put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + 4;
}

static uint8_t *
put_bytes(uint8_t *at, const void *bytes, size_t length)
{
    *at++ = (uint8_t)length;
    if (length > 0) {
        memcpy(at, bytes, length);
    }
    return at + length;
}

static size_t
build_key(uint8_t out[FTA_KEY_MAX], fta_strategy strategy,
          const fta_limit *limit, const subject *who)
{
    static const char letters[] = {[FTA_FIXED_WINDOW] = 'f',
                                   [FTA_SLIDING_WINDOW_COUNTER] = 's',
                                   [FTA_GCRA] = 'g'};
    uint8_t *at = out;
    *at++ = (uint8_t)letters[strategy];
    *at++ = (uint8_t)limit->per;
    *at++ = (uint8_t)who->kind;
    at = put_u32(at, limit->rate.limit);
    at = put_u32(at, limit->rate.period);
    at = put_bytes(at, limit->scope.data, limit->scope.length);
    at = put_bytes(at, who->bytes, who->length);
    return (size_t)(at - out);
}

/* -- life ------------------------------------------------------------------ */

fta_status
fta_limiter_open(const fta_limiter_options *options, fta_limiter **out,
                 fta_redis_problem *problem)
{
    problem->text[0] = '\0';
    fta_limiter *limiter = fta_calloc(1, sizeof *limiter);
    if (limiter == NULL) {
        return FTA_NO_MEMORY;
    }
    limiter->strategy = options->strategy;
    limiter->on_store_error = options->on_store_error;
    fta_shm_table_options memory = options->memory;
    fta_status status =
        fta_shm_table_open(&memory, &limiter->memory, &limiter->unshared);
    if (status == FTA_SYSTEM) {
        memory.shared = false;
        int ignored;
        status = fta_shm_table_open(&memory, &limiter->memory, &ignored);
    }
    if (status == FTA_OK && options->redis_url.length > 0) {
        status =
            fta_redis_store_open(options->redis_url, options->memory.prefix,
                                 options->timeout_ms, &limiter->redis, problem);
    }
    if (status != FTA_OK) {
        fta_limiter_close(limiter);
        return status;
    }
    *out = limiter;
    return FTA_OK;
}

void
fta_limiter_leave(fta_limiter *limiter)
{
    if (limiter->redis != NULL) {
        fta_redis_store_stop(limiter->redis);
    }
    fta_shm_table_leave(limiter->memory);
}

void
fta_limiter_close(fta_limiter *limiter)
{
    if (limiter != NULL) {
        fta_redis_store_free(limiter->redis);
        fta_shm_table_close(limiter->memory);
        fta_free(limiter);
    }
}

/* -- one request ----------------------------------------------------------- */

/* Whether Redis has answered, now or earlier; else *status says why not. */
static bool
ask_redis(fta_limiter *limiter, fta_action action, const fta_hit *hits,
          size_t n, const fta_waiting *waiting, fta_verdict *verdict,
          fta_status *status)
{
    fta_breaker_view view;
    *status = FTA_OK;
    switch (
        fta_redis_store_look(limiter->redis, action, hits, n, &view, verdict)) {
    case FTA_COURSE_KNOWN:
        return true;
    case FTA_COURSE_AWAY:
        return false;
    case FTA_COURSE_ASK:
        break;
    }
    if (waiting != NULL) {
        waiting->begin(waiting->context);
    }
    *status = fta_redis_store_ask(limiter->redis, limiter->strategy, action,
                                  hits, n, view, verdict);
    if (waiting != NULL) {
        waiting->end(waiting->context);
    }
    return *status == FTA_OK;
}

/* The answer when Redis should have given it and did not. */
static void
answer_alone(fta_limiter *limiter, fta_action action, const fta_hit *hits,
             size_t n, fta_store *store, fta_verdict *verdict)
{
    if (limiter->on_store_error == FTA_ON_STORE_ERROR_MEMORY ||
        action == FTA_RESET) {
        *store = FTA_STORE_MEMORY;
        fta_shm_table_hit(limiter->memory, limiter->strategy, action, hits, n,
                          verdict);
        return;
    }
    bool allowed = limiter->on_store_error == FTA_ON_STORE_ERROR_ALLOW;
    int64_t wait_us = allowed ? 0 : US_PER_SECOND;
    *store = FTA_STORE_NONE;
    *verdict = (fta_verdict){
        .allowed = allowed,
        .limit = hits[0].limit,
        .remaining = allowed ? hits[0].limit : 0,
        .reset_after_us = wait_us,
        .retry_after_us = wait_us,
    };
}

/* Whether a rate of 0 is among the limits; of several, the one with the longest
 * period answers. */
static bool
is_denied_to_all(const fta_limit *const *limits, size_t n, fta_store *store,
                 fta_verdict *verdict)
{
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        if (limits[i]->rate.limit > 0) {
            continue;
        }
        int64_t period_us = (int64_t)limits[i]->rate.period * US_PER_SECOND;
        if (!found || period_us > verdict->retry_after_us) {
            *verdict = (fta_verdict){.index = i,
                                     .reset_after_us = period_us,
                                     .retry_after_us = period_us};
        }
        found = true;
    }
    if (found) {
        *store = FTA_STORE_NONE;
    }
    return found;
}

fta_status
fta_limiter_hit(fta_limiter *limiter, fta_action action,
                const fta_limit *const *limits, size_t n,
                const fta_requester *requester, const fta_waiting *waiting,
                fta_store *store, fta_verdict *verdict)
{
    uint8_t keys[FTA_HITS_MAX][FTA_KEY_MAX];
    fta_hit hits[FTA_HITS_MAX];
    size_t places[FTA_HITS_MAX]; /* of each hit's limit among limits */
    size_t custom_at = 0, count = 0;

    if (n > FTA_HITS_MAX) {
        return FTA_TOO_MANY_LIMITS;
    }
    if (is_denied_to_all(limits, n, store, verdict) && action != FTA_RESET) {
        return FTA_OK;
    }
    for (size_t i = 0; i < n; i++) {
        subject who;
        if (!find_subject(limits[i], requester, &custom_at, &who)) {
            return FTA_CRYPTO;
        }
        if (limits[i]->rate.limit == 0) {
            continue; /* A reset has nothing to forget of it. */
        }
        places[count] = i;
        hits[count] = (fta_hit){
            .key = keys[count],
            .key_length =
                build_key(keys[count], limiter->strategy, limits[i], &who),
            .limit = limits[i]->rate.limit,
            .cost = limits[i]->cost,
            .period_us = (int64_t)limits[i]->rate.period * US_PER_SECOND,
        };
        count++;
    }
    if (count == 0) {
        *store = FTA_STORE_NONE;
        *verdict = (fta_verdict){.allowed = true};
        return FTA_OK;
    }
    if (limiter->redis == NULL) {
        *store = FTA_STORE_MEMORY;
        fta_shm_table_hit(limiter->memory, limiter->strategy, action, hits,
                          count, verdict);
        verdict->index = places[verdict->index];
        return FTA_OK;
    }
    fta_status status;
    bool answered =
        ask_redis(limiter, action, hits, count, waiting, verdict, &status);
    if (!answered || action == FTA_RESET) {
        /* What was counted here while Redis was away is forgotten as well. */
        answer_alone(limiter, action, hits, count, store, verdict);
    }
    if (answered) {
        *store = FTA_STORE_REDIS;
    }
    verdict->index = places[verdict->index];
    return action == FTA_RESET ? status : FTA_OK;
}

fta_strategy
fta_limiter_strategy(const fta_limiter *limiter)
{
    return limiter->strategy;
}

int
fta_limiter_unshared(const fta_limiter *limiter)
{
    return limiter->unshared;
}

const fta_shm_table *
fta_limiter_memory(const fta_limiter *limiter)
{
    return limiter->memory;
}

fta_redis_store *
fta_limiter_redis(const fta_limiter *limiter)
{
    return limiter->redis;
}
