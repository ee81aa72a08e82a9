/* The table of leases, stopped between any two of its accesses to shared
 * memory. Each actor (actors.h) is a process; one that is never resumed is a
 * process that was killed there. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <stdbool.h>

static void stop_here(void);

/* The code under test, compiled here so that the scheduler gets in. */
#define FTA_BETWEEN_ACCESSES() stop_here()
#include "limit/lease/table.c"
#include "limit/lease/table_receive.c"

#undef US_PER_SECOND

#include "limit/lease/table_offer.c"

#define ACTOR_FIELDS                                                           \
    uint32_t window;                                                           \
    uint32_t permits;                                                          \
    int rounds;
#include "schedules.h"

#define WINDOWS 3

static fta_lease_table *table;
static const fta_hit hit = {.key = (const uint8_t *)"key",
                            .key_length = 3,
                            .limit = 1000,
                            .cost = 1,
                            .period_us = 86400000000};

/* What the store was told that it is spent. */
static uint32_t told;

/* Of each window. A window is known by the lease that a permit is from. */
static uint32_t granted[WINDOWS + 1], spent[WINDOWS + 1], offered[WINDOWS + 1];

static uint32_t
window_of(fta_lease_taken taken)
{
    return (uint32_t)atomic_load(
        &table->slots[taken.slot].words[FTA_LEASE_WINDOW]);
}

static void
receive(uint32_t window, uint32_t permits)
{
    fta_verdict verdict = {.limit = hit.limit, .remaining = 0};
    const fta_lease_answer answer = {
        .grant = {permits, window, window, 86400000000},
        .asked_us = fta_clock_boottime_us(),
        .epoch = fta_lease_table_epoch(table),
    };
    granted[window] += permits;
    fta_lease_table_receive(table, &hit, 0, &answer, &verdict);
}

static void
act_receive(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        receive(self->window, self->permits);
    }
}

static void
act_take(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        fta_lease_taken taken;
        fta_verdict verdict;
        if (fta_lease_table_take(table, &hit, 0, &taken, &verdict)) {
            spent[0]++; /* Of whichever window. */
        }
    }
}

static void
act_ask(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        told += fta_lease_table_demand(table, &hit).spent;
    }
}

/* A request that another limit refuses. */
static void
act_take_and_put_back(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        fta_lease_taken taken;
        fta_verdict verdict;
        if (fta_lease_table_take(table, &hit, 0, &taken, &verdict)) {
            fta_lease_table_put_back(table, taken, hit.cost);
        }
    }
}

static void
act_offer(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        fta_lease_offer offers[FTA_LEASE_OFFERS_MAX];
        size_t slot = 0;
        size_t count = fta_lease_table_take_all(table, &slot, offers);
        for (size_t k = 0; k < count; k++) {
            CHECK(offers[k].key_length == 3);
            CHECK(memcmp(offers[k].key, "key", 3) == 0);
            CHECK(offers[k].nonce == (uint64_t)offers[k].window);
            offers[k].fate = i % 2 == 0 ? FTA_LEASE_GONE : FTA_LEASE_KEPT;
            if (i % 2 == 0) {
                offered[offers[k].window] += offers[k].permits;
            }
        }
        fta_lease_table_settle(table, offers, count);
    }
}

/* The control: takes with nothing that notices who else does. */
static void
act_take_carelessly(actor *self)
{
    uint64_t hash = fta_lease_hash_of(table, &hit);
    fta_lease_slot *slot =
        &table
             ->slots[fta_lease_set_of(table, hash) + fta_lease_way_of(hash, 0)];
    for (int i = 0; i < self->rounds; i++) {
        fta_lease_view view;
        if (fta_lease_view_read(slot, &view) && view.lease.left > 0) {
            fta_lease_store(&slot->permits, view.permits - 1);
            spent[0]++;
        }
    }
}

static void
start_over(void)
{
    for (size_t i = 0; i < FTA_LEASE_WAYS * table->set_count; i++) {
        atomic_store(&table->slots[i].permits, 0);
        atomic_store(&table->slots[i].is_listed, 0);
    }
    for (size_t i = 0; i < FTA_LEASE_LISTED_MAX; i++) {
        atomic_store(&table->header->listed[i].slot, 0);
    }
    memset(granted, 0, sizeof granted);
    memset(spent, 0, sizeof spent);
    memset(offered, 0, sizeof offered);
    actor_count = 0;
}

static void
add(void (*act)(actor *self), int rounds, uint32_t window, uint32_t permits)
{
    actor *a = add_actor(act);
    a->rounds = rounds;
    a->window = window;
    a->permits = permits;
}

static uint32_t
sum(const uint32_t *of)
{
    uint32_t all = 0;
    for (int i = 0; i <= WINDOWS; i++) {
        all += of[i];
    }
    return all;
}

static void
run(uint64_t seed)
{
    switch (seed % 3) {
    case 0:
        run_randomly(seed, false);
        break;
    case 1:
        run_by_priority(seed);
        break;
    default:
        run_randomly(seed, true);
    }
}

static uint32_t
left(void)
{
    fta_lease_table_usage usage = {0};
    for (size_t i = 0; i < FTA_LEASE_WAYS * table->set_count; i++) {
        fta_lease_view view;
        if (fta_lease_view_read(&table->slots[i], &view)) {
            usage.permits += view.lease.left;
        }
    }
    return (uint32_t)usage.permits;
}

#define SEEDS SCHEDULES(6000)

/* Each permit is spent once, or offered once, or there, or lost. */
static void
test_no_permit_is_there_twice(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start_over();
        receive(1, 5);
        add(act_take, 4, 0, 0);
        add(act_take_and_put_back, 3, 0, 0);
        add(act_receive, 2, 1, 3);
        add(act_offer, 3, 0, 0);
        add(act_receive, 2, 2, 2);
        run(seed);
        CHECK(sum(spent) + sum(offered) + left() <= sum(granted));
        for (size_t i = 0; i < actor_count; i++) {
            finish(&actors[i]);
        }
    }
}

/* With nothing that would be lost, none is. */
static void
test_no_permit_is_lost_to_those_who_take(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start_over();
        receive(1, 5);
        add(act_take, 3, 0, 0);
        add(act_take_and_put_back, 3, 0, 0);
        add(act_receive, 2, 1, 3);
        if (seed % 2 == 0) {
            run_randomly(seed, false);
        } else {
            run_by_priority(seed);
        }
        CHECK(sum(spent) + left() == sum(granted));
    }
}

/* The store is told of each permit once, of one that is put back after that by
 * one less later. */
static void
test_each_permit_that_is_spent_is_told_of_once(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start_over();
        told = 0;
        receive(1, 5);
        add(act_take, 4, 0, 0);
        add(act_take_and_put_back, 2, 0, 0);
        add(act_receive, 2, 1, 3);
        add(act_ask, 3, 0, 0);
        add(act_ask, 3, 0, 0);
        if (seed % 2 == 0) {
            run_randomly(seed, false);
        } else {
            run_by_priority(seed);
        }
        fta_lease_taken taken;
        fta_verdict verdict;
        CHECK(fta_lease_table_take(table, &hit, 0, &taken, &verdict));
        fta_lease_table_put_back(table, taken, hit.cost);
        uint64_t received = atomic_load(&table->slots[taken.slot].received);
        CHECK((uint32_t)(received - left()) + told == sum(spent));
        CHECK(fta_lease_table_demand(table, &hit).spent + told >= sum(spent));
        CHECK(fta_lease_table_demand(table, &hit).spent == 0);
    }
}

/* Once the answer of a window is taken in, none of an earlier one is left. */
static void
test_a_new_window_leaves_nothing_of_the_old(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start_over();
        receive(1, 5);
        add(act_receive, 1, 1, 3);
        add(act_receive, 1, 2, 0);
        add(act_take_and_put_back, 2, 0, 0);
        run(seed);
        if (actors[1].done) {
            fta_lease_taken taken;
            fta_verdict verdict;
            receive(2, 0);
            bool has = fta_lease_table_take(table, &hit, 0, &taken, &verdict);
            CHECK(!has || window_of(taken) == 2);
        }
    }
}

static void
test_control_careless_takers_are_found(void)
{
    long found = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start_over();
        receive(1, 5);
        add(act_take_carelessly, 2, 0, 0);
        add(act_take, 3, 0, 0);
        run(seed);
        found += sum(spent) + left() > sum(granted);
    }
    CHECK(found > 0);
}

int
main(void)
{
    const fta_lease_table_options options = {.bytes = 65536,
                                             .prefix = {"test", 4}};
    if (fta_lease_table_open(&options, &table) != FTA_OK) {
        return 1;
    }
    actors_begin();
    test_no_permit_is_there_twice();
    test_no_permit_is_lost_to_those_who_take();
    test_each_permit_that_is_spent_is_told_of_once();
    test_a_new_window_leaves_nothing_of_the_old();
    test_control_careless_takers_are_found();
    actors_end();
    fta_lease_table_close(table);
    return check_report("test_lease_interleaving");
}
