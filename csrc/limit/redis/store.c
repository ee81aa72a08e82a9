#include "limit/redis/store.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "limit/redis/counter.h"
#include "limit/redis/deny_cache.h"

/* Nobody waits for a probe, so it may take longer than a request: a first
 * connection, a TLS handshake, a sentinel that has to be asked. */
#define PROBE_US 250000

struct fta_redis_store {
    fta_redis_counter *counter; /* Owned */
    fta_deny_cache *refusals;   /* Owned */
    fta_breaker *breaker;       /* Owned */
    int64_t timeout_us;
    atomic_bool stopped;
    /* Of this process and of those that it was forked from. */
    atomic_bool has_counted;
    atomic_bool failures_seen[FTA_STATUS_COUNT]; /* before it counted */
    _Atomic uint32_t first_failures;
};

/* Whether the failure is one of the store, and not of this request alone. */
static bool
is_of_the_store(fta_status status)
{
    switch (status) {
    case FTA_NO_MEMORY:
    case FTA_BAD_ARGUMENT:
    case FTA_CRYPTO:
    case FTA_REDIS_POOL_EMPTY:
    case FTA_REDIS_REFUSED:
    case FTA_REDIS_TRY_AGAIN:
    case FTA_REDIS_ASK:
        return false;
    default:
        return true;
    }
}

/* Remembers how a call or a probe went. Of failures that are not the store's,
 * one that Redis has given as its answer is remembered as well: when it is the
 * answer to every call, nothing is ever counted there. */
static void
note_result(fta_redis_store *store, fta_status status)
{
    if (status == FTA_OK) {
        if (!atomic_load(&store->has_counted)) {
            atomic_store(&store->has_counted, true);
        }
        return;
    }
    if (atomic_load(&store->has_counted) ||
        !(is_of_the_store(status) || status == FTA_REDIS_REFUSED)) {
        return;
    }
    if (!atomic_exchange(&store->failures_seen[status], true)) {
        atomic_fetch_add(&store->first_failures, 1);
    }
}

static fta_status
probe(void *context, fta_redis_problem *problem)
{
    fta_redis_store *store = context;
    int64_t allowed_us =
        store->timeout_us > PROBE_US ? store->timeout_us : PROBE_US;
    fta_status status = fta_redis_counter_probe(
        store->counter, fta_clock_monotonic_us() + allowed_us, problem);
    note_result(store, status);
    return status;
}

static fta_status
open_counter(fta_text url_text, fta_text prefix, fta_redis_counter **out,
             fta_redis_problem *problem)
{
    fta_redis_url *url;
    fta_redis_client *link;
    const char *wrong;
    if (prefix.length > FTA_PREFIX_MAX) {
        fta_redis_problem_set(problem, "the prefix is longer than 255 bytes");
        return FTA_BAD_ARGUMENT;
    }
    fta_status status =
        fta_redis_url_parse(url_text.data, url_text.length, &url, &wrong);
    if (status != FTA_OK) {
        if (wrong != NULL) {
            fta_redis_problem_set(problem, wrong);
        }
        return status;
    }
    status = fta_redis_client_new(url, &link, problem);
    if (status != FTA_OK) {
        fta_redis_url_free(url);
        return status;
    }
    status = fta_redis_counter_new(link, prefix.data, prefix.length, out);
    if (status != FTA_OK) {
        fta_redis_client_free(link);
    }
    return status;
}

fta_status
fta_redis_store_open(fta_text url, fta_text prefix, int timeout_ms,
                     fta_redis_store **out, fta_redis_problem *problem)
{
    *out = NULL;
    problem->text[0] = '\0';
    fta_redis_store *store = fta_calloc(1, sizeof(*store));
    if (store == NULL) {
        return FTA_NO_MEMORY;
    }
    store->timeout_us = (int64_t)timeout_ms * 1000;
    fta_status status = open_counter(url, prefix, &store->counter, problem);
    if (status == FTA_OK) {
        status = fta_deny_cache_new(&store->refusals);
    }
    if (status == FTA_OK) {
        status = fta_breaker_new(probe, store, &store->breaker);
    }
    if (status != FTA_OK) {
        fta_redis_store_free(store);
        return status;
    }
    *out = store;
    return FTA_OK;
}

void
fta_redis_store_free(fta_redis_store *store)
{
    if (store != NULL) {
        /* First of all, because its thread uses the others. */
        fta_breaker_free(store->breaker);
        fta_deny_cache_free(store->refusals);
        fta_redis_counter_free(store->counter);
        fta_free(store);
    }
}

void
fta_redis_store_stop(fta_redis_store *store)
{
    atomic_store(&store->stopped, true);
    fta_breaker_stop(store->breaker);
    fta_redis_counter_disconnect(store->counter);
}

/* Whether one of the hits is refused already; of several, the one that is
 * closest to refusal speaks. */
static bool
is_refused(fta_redis_store *store, const fta_hit *hits, size_t n,
           fta_verdict *verdict)
{
    int64_t now = fta_clock_monotonic_us();
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        fta_verdict this;
        if (fta_deny_cache_find(store->refusals, &hits[i], now, &this)) {
            this.index = i;
            if (!found || fta_verdict_closer(&this, verdict)) {
                *verdict = this;
            }
            found = true;
        }
    }
    return found;
}

fta_redis_course
fta_redis_store_look(fta_redis_store *store, fta_action action,
                     const fta_hit *hits, size_t n, fta_breaker_view *view,
                     fta_verdict *verdict)
{
    if (atomic_load(&store->stopped)) {
        return FTA_COURSE_AWAY;
    }
    if (action == FTA_COUNT && is_refused(store, hits, n, verdict)) {
        return FTA_COURSE_KNOWN;
    }
    *view = fta_breaker_look(store->breaker);
    /* A reset is an operator's: it finds out for itself, and says so. */
    return fta_breaker_is_open(*view) && action != FTA_RESET ? FTA_COURSE_AWAY
                                                             : FTA_COURSE_ASK;
}

fta_status
fta_redis_store_ask(fta_redis_store *store, fta_strategy strategy,
                    fta_action action, const fta_hit *hits, size_t n,
                    fta_breaker_view view, fta_verdict *verdict)
{
    fta_redis_problem problem;
    int64_t asked = fta_clock_monotonic_us();
    fta_status status =
        fta_redis_counter_hit(store->counter, strategy, action, hits, n,
                              asked + store->timeout_us, verdict, &problem);
    if (status == FTA_OK) {
        note_result(store, status);
        if (action == FTA_COUNT && !verdict->allowed) {
            fta_deny_cache_add(store->refusals, &hits[verdict->index], verdict,
                               asked);
        }
    } else if (is_of_the_store(status)) {
        fta_breaker_trip(store->breaker, view, status, &problem);
        note_result(store, status);
    } else {
        fta_breaker_note(store->breaker, status, &problem);
        note_result(store, status);
    }
    for (size_t i = 0; action == FTA_RESET && i < n; i++) {
        fta_deny_cache_remove(store->refusals, &hits[i]);
    }
    return status;
}

void
fta_redis_store_read(fta_redis_store *store, fta_redis_state *out)
{
    fta_redis_url_describe(fta_redis_counter_url(store->counter), out->url,
                           sizeof(out->url));
    out->cluster = fta_redis_counter_url(store->counter)->cluster;
    out->changes = fta_redis_store_changes(store);
    out->stopped = atomic_load(&store->stopped);
    out->has_counted = atomic_load(&store->has_counted);
    fta_breaker_last_failure(store->breaker, &out->failure, &out->problem);
}

fta_breaker_view
fta_redis_store_changes(fta_redis_store *store)
{
    return fta_breaker_look(store->breaker);
}

uint32_t
fta_redis_store_first_failures(fta_redis_store *store)
{
    return atomic_load(&store->first_failures);
}

fta_status
fta_redis_store_check(fta_redis_store *store, int timeout_ms,
                      fta_redis_problem *problem)
{
    int64_t deadline = fta_clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    fta_status status =
        fta_redis_counter_probe(store->counter, deadline, problem);
    if (status == FTA_OK) {
        status =
            fta_redis_counter_probe_reset(store->counter, deadline, problem);
    }
    note_result(store, status);
    if (status != FTA_OK) {
        fta_breaker_note(store->breaker, status, problem);
    }
    return status;
}

fta_status
fta_redis_store_call(fta_redis_store *store, int argc, const char *const *argv,
                     const size_t *lengths, int timeout_ms,
                     fta_redis_reply **out, fta_redis_problem *problem)
{
    int64_t deadline = fta_clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    return fta_redis_counter_call(store->counter, argc, argv, lengths, deadline,
                                  out, problem);
}
