/* Redis as a store: counters of many hosts, which may be away. */
#include "limit/redis/store.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "limit/redis/breaker.h"
#include "limit/redis/deny_cache.h"
#include "limit/redis/leases.h"

/* No request waits for a probe, so it may take longer than a request: a first
 * connection, a TLS handshake, a sentinel that has to be asked. */
#define PROBE_US 250000

/* For what the last process of a host sends back when it ends. */
#define LEAVE_US 250000

typedef struct redis_store {
    fta_store store;
    fta_redis_counter *counter; /* Owned */
    fta_deny_cache *denied;     /* Owned */
    fta_breaker *breaker;       /* Owned */
    fta_redis_leases *leases;   /* Owned; NULL: without leases */
    int64_t timeout_us;
    atomic_bool stopped;
    /* Of this process and of those that it was forked from. */
    atomic_bool has_counted;
    atomic_bool failures_seen[FTA_STATUS_COUNT]; /* before it counted */
    _Atomic uint32_t first_failures;
} redis_store;

static redis_store *
self_of(fta_store *store)
{
    return (redis_store *)store;
}

/* -- Failures -------------------------------------------------------------- */

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
note_result(redis_store *self, fta_status status)
{
    if (status == FTA_OK) {
        if (!atomic_load(&self->has_counted)) {
            atomic_store(&self->has_counted, true);
        }
        return;
    }
    if (atomic_load(&self->has_counted) ||
        !(is_of_the_store(status) || status == FTA_REDIS_REFUSED)) {
        return;
    }
    if (!atomic_exchange(&self->failures_seen[status], true)) {
        atomic_fetch_add(&self->first_failures, 1);
    }
}

static fta_status
probe(void *context, fta_redis_problem *problem)
{
    redis_store *self = context;
    int64_t allowed_us =
        self->timeout_us > PROBE_US ? self->timeout_us : PROBE_US;
    fta_status status = fta_redis_counter_probe(
        self->counter, fta_clock_monotonic_us() + allowed_us, problem);
    note_result(self, status);
    return status;
}

/* -- Life ------------------------------------------------------------------ */

static void
close_store(fta_store *store)
{
    redis_store *self = self_of(store);
    /* First of all, because their threads use the others. */
    fta_redis_leases_close(self->leases);
    fta_breaker_free(self->breaker);
    fta_deny_cache_free(self->denied);
    fta_redis_counter_free(self->counter);
    fta_free(self);
}

static fta_status
open_counter(const fta_store_options *options, fta_redis_counter **out,
             fta_redis_problem *problem)
{
    fta_redis_url *url;
    fta_redis_client *client;
    const char *wrong;
    fta_status status = fta_redis_url_parse(options->url.data,
                                            options->url.length, &url, &wrong);
    if (status != FTA_OK) {
        if (wrong != NULL) {
            fta_redis_problem_set(problem, wrong);
        }
        return status;
    }
    status = fta_redis_client_new(url, &client, problem);
    if (status != FTA_OK) {
        fta_redis_url_free(url);
        return status;
    }
    status = fta_redis_counter_new(client, options->prefix.data,
                                   options->prefix.length, out);
    if (status != FTA_OK) {
        fta_redis_client_free(client);
    }
    return status;
}

/* Every URL is one of Redis: what is wrong with it, open_store says. */
static bool
takes(fta_text url)
{
    (void)url;
    return true;
}

static fta_status
open_store(const fta_store_options *options, fta_store **out,
           fta_store_problem *problem)
{
    *out = NULL;
    redis_store *self = fta_calloc(1, sizeof(*self));
    if (self == NULL) {
        return FTA_NO_MEMORY;
    }
    self->store.type = &fta_store_redis;
    self->timeout_us = (int64_t)options->timeout_ms * 1000;
    fta_redis_problem of_url = {""};
    fta_status status = open_counter(options, &self->counter, &of_url);
    if (of_url.text[0] != '\0') {
        problem->option = "redis_url";
        (void)snprintf(problem->text, sizeof problem->text,
                       "cannot be used: %s", of_url.text);
    }
    if (status == FTA_OK) {
        status = fta_deny_cache_new(&self->denied);
    }
    if (status == FTA_OK) {
        status = fta_breaker_new(probe, self, &self->breaker);
    }
    if (status == FTA_OK) {
        fta_breaker_watch(self->breaker, options->watcher.changed,
                          options->watcher.context);
        status = fta_redis_leases_open(options, self->counter, &self->leases);
    }
    if (status != FTA_OK) {
        close_store(&self->store);
        return status;
    }
    *out = &self->store;
    return FTA_OK;
}

static void
leave(fta_store *store)
{
    redis_store *self = self_of(store);
    atomic_store(&self->stopped, true);
    if (self->leases != NULL) {
        fta_redis_leases_leave(self->leases,
                               fta_clock_monotonic_us() + LEAVE_US);
    }
    fta_breaker_stop(self->breaker);
    fta_redis_counter_disconnect(self->counter);
}

/* -- One request ----------------------------------------------------------- */

/* Whether one of the hits is known to be limited; of several, the closest
 * answers. Not one that leases have enough for: another thread or process of
 * this host has got them since. */
static bool
is_known(redis_store *self, const fta_hits *request, fta_verdict *verdict)
{
    int64_t now = fta_clock_monotonic_us();
    bool found = false;
    for (size_t i = 0; i < request->count; i++) {
        fta_verdict this;
        if (fta_deny_cache_find(self->denied, &request->hits[i], now, &this) &&
            !fta_redis_leases_have(self->leases, request, i)) {
            this.index = i;
            if (!found || fta_verdict_closer(&this, verdict)) {
                *verdict = this;
            }
            found = true;
        }
    }
    return found;
}

/* Whether a limited hit is answered again from memory. Not one of a limit whose
 * hits may be given back, on whatever host: there may be room again at once. */
static bool
is_answered_from_memory(const fta_hits *request)
{
    return request->action == FTA_COUNT && request->receipts == NULL;
}

static fta_plan
plan(fta_store *store, const fta_hits *request, fta_verdict *verdict)
{
    redis_store *self = self_of(store);
    if (atomic_load(&self->stopped)) {
        return (fta_plan){.course = FTA_COURSE_AWAY};
    }
    if (is_answered_from_memory(request) && is_known(self, request, verdict)) {
        return (fta_plan){.course = FTA_COURSE_KNOWN};
    }
    /* Also while Redis is away: what is leased was counted there. */
    if (fta_redis_leases_apply(self->leases, request) &&
        fta_redis_leases_answer(self->leases, request, verdict)) {
        return (fta_plan){.course = FTA_COURSE_KNOWN};
    }
    fta_breaker_view view = fta_breaker_look(self->breaker);
    /* A reset is an operator's: it asks also while Redis is away. */
    bool away = fta_breaker_is_open(view) && request->action != FTA_RESET;
    return (fta_plan){away ? FTA_COURSE_AWAY : FTA_COURSE_WAIT, view};
}

static fta_status
hit(fta_store *store, const fta_hits *request, fta_plan plan,
    fta_verdict *verdict)
{
    redis_store *self = self_of(store);
    fta_redis_problem problem;
    int64_t asked = fta_clock_monotonic_us();
    int64_t deadline = asked + self->timeout_us;
    fta_status status =
        request->action == FTA_COUNT &&
                fta_redis_leases_apply(self->leases, request)
            ? fta_redis_leases_hit(self->leases, request, deadline, verdict,
                                   &problem)
            : fta_redis_counter_hit(self->counter, request, deadline, verdict,
                                    &problem);
    if (request->action == FTA_RESET && self->leases != NULL) {
        fta_redis_leases_forget(self->leases, request);
    }
    if (status == FTA_OK) {
        if (is_answered_from_memory(request) && !verdict->allowed) {
            fta_deny_cache_add(self->denied, &request->hits[verdict->index],
                               verdict, asked);
        }
    } else if (is_of_the_store(status)) {
        fta_breaker_trip(self->breaker, plan.seen, status, &problem);
    } else {
        fta_breaker_note(self->breaker, status, &problem);
    }
    note_result(self, status);
    bool makes_room =
        request->action == FTA_RESET || request->action == FTA_GIVE_BACK;
    for (size_t i = 0; makes_room && i < request->count; i++) {
        fta_deny_cache_remove(self->denied, &request->hits[i]);
    }
    return status;
}

/* -- For people ------------------------------------------------------------ */

static bool
is_away(fta_store *store)
{
    redis_store *self = self_of(store);
    return atomic_load(&self->stopped) ||
           fta_breaker_is_open(fta_breaker_look(self->breaker));
}

static void
add_events(fta_store *store, fta_store_events *events)
{
    redis_store *self = self_of(store);
    events->changes += fta_breaker_look(self->breaker);
    events->first_failures += atomic_load(&self->first_failures);
}

static void
add_facts(fta_store *store, fta_facts *facts)
{
    redis_store *self = self_of(store);
    const fta_redis_url *url = fta_redis_counter_url(self->counter);
    char text[256];
    fta_status failure;
    fta_redis_problem problem;
    fta_redis_url_describe(url, text, sizeof text);
    fta_breaker_view changes = fta_breaker_look(self->breaker);
    fta_breaker_last_failure(self->breaker, &failure, &problem);
    fta_facts_add_text(facts, "redis_url", text);
    fta_facts_add_boolean(facts, "cluster", url->cluster);
    fta_facts_add_boolean(facts, "redis_has_counted",
                          atomic_load(&self->has_counted));
    fta_facts_add_text(facts, "breaker",
                       fta_breaker_is_open(changes) ? "open" : "closed");
    fta_facts_add_number(facts, "changes", changes);
    fta_facts_add_text(facts, "failure",
                       failure == FTA_OK ? "" : fta_status_text(failure));
    fta_facts_add_text(facts, "failure_detail", problem.text);
    if (self->leases != NULL) {
        fta_redis_leases_add_facts(self->leases, facts);
    }
}

fta_status
fta_redis_store_check(fta_store *store, int timeout_ms,
                      fta_redis_problem *problem)
{
    redis_store *self = self_of(store);
    int64_t deadline = fta_clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    fta_status status =
        fta_redis_counter_probe(self->counter, deadline, problem);
    if (status == FTA_OK) {
        status =
            fta_redis_counter_probe_reset(self->counter, deadline, problem);
    }
    note_result(self, status);
    if (status != FTA_OK) {
        fta_breaker_note(self->breaker, status, problem);
    }
    return status;
}

fta_status
fta_redis_store_call(fta_store *store, const fta_redis_command *command,
                     int timeout_ms, fta_redis_reply **out,
                     fta_redis_problem *problem)
{
    int64_t deadline = fta_clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    return fta_redis_counter_call(self_of(store)->counter, command, deadline,
                                  out, problem);
}

const fta_store_type fta_store_redis = {
    .name = "redis",
    .takes = takes,
    .open = open_store,
    .plan = plan,
    .hit = hit,
    .is_away = is_away,
    .add_events = add_events,
    .add_facts = add_facts,
    .leave = leave,
    .close = close_store,
};
