#include "limit/redis/leases.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/background.h"
#include "base/clock.h"
#include "limit/lease/table.h"
#include "limit/strategy.h"

/* How long a call of the background may take. */
#define OFFER_TIMEOUT_US 250000

struct fta_redis_leases {
    double part;
    fta_redis_counter *counter;             /* Borrowed. */
    fta_lease_table *table;                 /* Owned. */
    fta_background *offers;                 /* Owned. */
    _Atomic(const fta_strategy *) strategy; /* Borrowed: of the last hit. */
    _Atomic uint64_t losses; /* Of connections, that this process has seen. */
    _Atomic uint64_t served; /* Requests without a round trip. */
    _Atomic uint64_t asked;  /* Requests with one. */
    _Atomic uint64_t sent_back;
};

static fta_lease_melt
melt_of(const fta_hits *request, const fta_hit *hit)
{
    return request->strategy->melt_ns != NULL ? request->strategy->melt_ns(hit)
                                              : 0;
}

/* -- Offers ---------------------------------------------------------------- */

/* host: see fta_redis_counter_offer. */
static void
offer(fta_redis_leases *self, uint64_t host, fta_lease_offer *offers,
      size_t count, int64_t deadline)
{
    fta_redis_problem ignored;
    const fta_strategy *strategy = atomic_load(&self->strategy);
    if (strategy != NULL) {
        (void)fta_redis_counter_offer(self->counter, strategy, host, offers,
                                      count, deadline, &ignored);
    }
    for (size_t i = 0; i < count; i++) {
        if (offers[i].fate == FTA_LEASE_GONE) {
            atomic_fetch_add(&self->sent_back, offers[i].permits);
        }
    }
}

static void
take_turn(void *context)
{
    fta_redis_leases *self = context;
    fta_lease_offer offers[FTA_LEASE_OFFERS_MAX];
    if (fta_lease_table_losses(self->table) != atomic_load(&self->losses)) {
        return; /* Its connections are to be renewed, by the next request. */
    }
    size_t count = fta_lease_table_take_turn(self->table, offers);
    if (count > 0) {
        offer(self, fta_lease_table_host(self->table), offers, count,
              fta_clock_monotonic_us() + OFFER_TIMEOUT_US);
        fta_lease_table_settle(self->table, offers, count);
    }
}

static int64_t
pause_us(void *context)
{
    (void)context;
    return FTA_LEASE_PAUSE_US;
}

static bool
rests(void *context)
{
    return fta_lease_table_rests(((fta_redis_leases *)context)->table);
}

/* -- Life ------------------------------------------------------------------ */

/* Leases of one Redis are no other's: where it is belongs to the name. */
static fta_status
open_table(const fta_store_options *options, fta_redis_leases *self)
{
    char url[256];
    char prefix[FTA_PREFIX_MAX + sizeof url + 1];
    fta_redis_url_describe(fta_redis_counter_url(self->counter), url,
                           sizeof url);
    size_t length = options->prefix.length;
    if (length > 0) {
        memcpy(prefix, options->prefix.data, length);
    }
    prefix[length++] = '\0';
    memcpy(prefix + length, url, strlen(url));
    const fta_lease_table_options table = {
        .bytes = options->shm_bytes / 4,
        .shared = options->shared,
        .app = options->app,
        .prefix = {prefix, length + strlen(url)},
        .directory = options->directory,
    };
    return fta_lease_table_open(&table, &self->table);
}

fta_status
fta_redis_leases_open(const fta_store_options *options,
                      fta_redis_counter *counter, fta_redis_leases **out)
{
    *out = NULL;
    if (options->lease <= 0) {
        return FTA_OK;
    }
    fta_redis_leases *self = fta_calloc(1, sizeof *self);
    if (self == NULL) {
        return FTA_NO_MEMORY;
    }
    self->part = options->lease;
    self->counter = counter;
    const fta_background_work work = {take_turn, rests, pause_us, self};
    fta_status status = open_table(options, self);
    if (status == FTA_OK) {
        status = fta_background_new(&work, &self->offers);
    }
    if (status != FTA_OK) {
        fta_redis_leases_close(self);
        return status;
    }
    atomic_store(&self->losses, fta_lease_table_losses(self->table));
    *out = self;
    return FTA_OK;
}

void
fta_redis_leases_leave(fta_redis_leases *leases, int64_t deadline)
{
    fta_background_stop(leases->offers);
    if (fta_lease_table_is_last(leases->table)) {
        fta_lease_offer offers[FTA_LEASE_OFFERS_MAX];
        size_t count, slot = 0;
        while ((count = fta_lease_table_take_all(leases->table, &slot,
                                                 offers)) > 0 &&
               fta_clock_monotonic_us() < deadline) {
            offer(leases, 0, offers, count, deadline);
        }
    }
    fta_lease_table_leave(leases->table);
}

void
fta_redis_leases_close(fta_redis_leases *leases)
{
    if (leases != NULL) {
        fta_background_free(leases->offers);
        fta_lease_table_close(leases->table);
        fta_free(leases);
    }
}

/* -- One request ----------------------------------------------------------- */

bool
fta_redis_leases_apply(const fta_redis_leases *leases, const fta_hits *request)
{
    return leases != NULL && request->receipts == NULL &&
           (request->action == FTA_COUNT || request->action == FTA_PEEK);
}

bool
fta_redis_leases_have(fta_redis_leases *leases, const fta_hits *request,
                      size_t index)
{
    const fta_hit *hit = &request->hits[index];
    fta_verdict ignored;
    if (!fta_redis_leases_apply(leases, request)) {
        return false;
    }
    fta_lease_table_enter(leases->table);
    return fta_lease_table_look(leases->table, hit, melt_of(request, hit),
                                &ignored);
}

/* What leases have given a request so far. */
typedef struct taking {
    fta_lease_taken taken[FTA_HITS_MAX];
    fta_verdict verdicts[FTA_HITS_MAX];
    size_t rest[FTA_HITS_MAX]; /* The hits that leases have not enough for. */
    size_t rest_count;
} taking;

static void
put_back(fta_redis_leases *self, const fta_hits *request, const taking *given)
{
    for (size_t i = 0; i < request->count; i++) {
        if (given->taken[i].tag != 0) {
            fta_lease_table_put_back(self->table, given->taken[i],
                                     request->hits[i].cost);
        }
    }
}

/* Takes for each hit what leases have; peeks where the request does. */
static void
take(fta_redis_leases *self, const fta_hits *request, taking *given)
{
    given->rest_count = 0;
    fta_lease_table_enter(self->table);
    for (size_t i = 0; i < request->count; i++) {
        const fta_hit *hit = &request->hits[i];
        fta_lease_melt melt = melt_of(request, hit);
        given->taken[i].tag = 0;
        bool has =
            request->action == FTA_PEEK
                ? fta_lease_table_look(self->table, hit, melt,
                                       &given->verdicts[i])
                : fta_lease_table_take(self->table, hit, melt, &given->taken[i],
                                       &given->verdicts[i]);
        if (!has) {
            given->rest[given->rest_count++] = i;
        }
    }
}

/* The verdict of the limit that is closest. */
static void
answer(const fta_hits *request, fta_verdict *verdicts, fta_verdict *verdict)
{
    for (size_t i = 0; i < request->count; i++) {
        verdicts[i].index = i;
        if (i == 0 || fta_verdict_closer(&verdicts[i], verdict)) {
            *verdict = verdicts[i];
        }
    }
}

bool
fta_redis_leases_answer(fta_redis_leases *leases, const fta_hits *request,
                        fta_verdict *verdict)
{
    taking given;
    take(leases, request, &given);
    if (given.rest_count > 0) {
        put_back(leases, request, &given);
        return false;
    }
    answer(request, given.verdicts, verdict);
    if (request->action == FTA_COUNT) {
        atomic_fetch_add_explicit(&leases->served, 1, memory_order_relaxed);
    }
    return true;
}

/* Gives up connections that were opened before another process of this host
 * lost one. Returns the epoch that a call from now on is of. */
static uint32_t
begin_call(fta_redis_leases *self)
{
    uint64_t losses = fta_lease_table_losses(self->table);
    if (atomic_exchange(&self->losses, losses) != losses) {
        fta_redis_counter_renew(self->counter);
    }
    return fta_lease_table_epoch(self->table);
}

/* Tells the other processes what became of the connections during a call, which
 * was begun in that epoch. Returns the epoch of what it has brought: the new
 * one, if nobody else has begun another. A connection that it has opened was
 * open before Redis granted anything on it. */
static uint32_t
end_call(fta_redis_leases *self, fta_redis_client_history before,
         uint32_t epoch)
{
    fta_redis_client_history after = fta_redis_counter_history(self->counter);
    if (after.lost != before.lost) {
        /* This process has given its own up already. */
        uint64_t losses = fta_lease_table_add_loss(self->table);
        uint64_t known = losses - 1;
        (void)atomic_compare_exchange_strong(&self->losses, &known, losses);
    } else if (after.opened == before.opened) {
        return epoch;
    }
    uint32_t next = fta_lease_table_new_epoch(self->table);
    return next == epoch + 1 ? next : epoch;
}

/* Asks Redis about the hits that leases have not enough for. */
static fta_status
ask(fta_redis_leases *self, const fta_hits *request, taking *given,
    int64_t deadline, fta_redis_problem *problem)
{
    fta_hit hits[FTA_HITS_MAX];
    fta_verdict verdicts[FTA_HITS_MAX];
    fta_grant grants[FTA_HITS_MAX];
    fta_lease_question question = {
        .part = self->part,
        .host = fta_lease_table_host(self->table),
        .nonce = fta_lease_nonce(),
    };
    size_t n = given->rest_count;
    for (size_t i = 0; i < n; i++) {
        hits[i] = request->hits[given->rest[i]];
        fta_lease_demand demand = fta_lease_table_demand(self->table, &hits[i]);
        question.most[i] = question.nonce != 0 ? demand.most : 0;
        question.spent[i] = demand.spent;
    }
    const fta_hits asked = {request->strategy, request->action, hits, n, NULL};
    uint32_t epoch = begin_call(self);
    fta_redis_client_history before = fta_redis_counter_history(self->counter);
    int64_t asked_us = fta_clock_boottime_us();
    fta_status status = fta_redis_counter_lease(
        self->counter, &asked, &question, deadline, verdicts, grants, problem);
    epoch = end_call(self, before, epoch);
    if (status != FTA_OK) {
        return status;
    }
    bool has_more = false;
    for (size_t i = 0; i < n; i++) {
        const fta_lease_answer got = {grants[i], asked_us, epoch};
        fta_lease_table_receive(self->table, &hits[i],
                                melt_of(request, &hits[i]), &got, &verdicts[i]);
        given->verdicts[given->rest[i]] = verdicts[i];
        has_more = has_more || grants[i].permits > 0;
    }
    if (has_more && request->strategy->melt_ns == NULL) {
        fta_background_start(self->offers);
    }
    return FTA_OK;
}

fta_status
fta_redis_leases_hit(fta_redis_leases *leases, const fta_hits *request,
                     int64_t deadline, fta_verdict *verdict,
                     fta_redis_problem *problem)
{
    taking given;
    fta_status status = FTA_OK;
    atomic_store_explicit(&leases->strategy, request->strategy,
                          memory_order_relaxed);
    take(leases, request, &given);
    problem->text[0] = '\0';
    if (given.rest_count > 0) {
        atomic_fetch_add_explicit(&leases->asked, 1, memory_order_relaxed);
        status = ask(leases, request, &given, deadline, problem);
    }
    if (status == FTA_OK) {
        answer(request, given.verdicts, verdict);
    }
    if (status == FTA_OK && verdict->allowed) {
        return FTA_OK;
    }
    put_back(leases, request, &given);
    /* Another thread or process may have got the last permits meanwhile. */
    if (status == FTA_OK) {
        (void)fta_redis_leases_answer(leases, request, verdict);
    }
    return status;
}

void
fta_redis_leases_forget(fta_redis_leases *leases, const fta_hits *request)
{
    for (size_t i = 0; i < request->count; i++) {
        fta_lease_table_forget(leases->table, &request->hits[i]);
    }
}

void
fta_redis_leases_add_facts(fta_redis_leases *leases, fta_facts *facts)
{
    char part[32];
    fta_lease_table_usage usage;
    fta_lease_table_usage_read(leases->table, &usage);
    (void)snprintf(part, sizeof part, "%g", leases->part);
    fta_facts_add_text(facts, "lease", part);
    fta_facts_add_number(facts, "leases", usage.leases);
    fta_facts_add_number(facts, "leases_max", usage.slots);
    fta_facts_add_number(facts, "permits_leased", usage.permits);
    fta_facts_add_number(facts, "requests_from_leases",
                         atomic_load(&leases->served));
    fta_facts_add_number(facts, "requests_to_redis",
                         atomic_load(&leases->asked));
    fta_facts_add_number(facts, "permits_sent_back",
                         atomic_load(&leases->sent_back));
}
