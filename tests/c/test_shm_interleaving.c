/* The table's code, stopped between any two of its accesses to shared memory.
 * Actors (actors.h) hit one table. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <stdbool.h>

static void stop_here(void);

/* The code under test, compiled here so that the scheduler gets in. The linker
 * then takes nothing of these files from the archive of the core. */
#define FTA_BETWEEN_ACCESSES() stop_here()
#include "limit/shm/table.c"
#include "limit/shm/table_hit.c"
#include "limit/shm/table_open.c"

#include <stdio.h>
#include <unistd.h>

#define ACTOR_FIELDS                                                           \
    fta_hit hits[2];                                                           \
    size_t hit_count;                                                          \
    fta_receipt receipts[2];                                                   \
    fta_verdict verdict;
#include "schedules.h"

static fta_shm_table *table;
static const fta_strategy *strategy;

/* -- what they do
 * ---------------------------------------------------------------- */

#define PERIOD_US (INT64_C(1000) * 1000000)

static fta_hit
hit_on(const char *key, uint32_t limit)
{
    return (fta_hit){.key = (const uint8_t *)key,
                     .key_length = strlen(key),
                     .limit = limit,
                     .cost = 1,
                     .period_us = PERIOD_US};
}

static void
hit_all(fta_action action, const fta_hit *hits, size_t n, fta_verdict *verdict)
{
    const fta_hits request = {strategy, action, hits, n, NULL};
    fta_shm_table_hit(table, &request, verdict);
}

static void
act_hit(actor *self)
{
    hit_all(FTA_COUNT, self->hits, self->hit_count, &self->verdict);
}

static void
act_reset(actor *self)
{
    hit_all(FTA_RESET, self->hits, self->hit_count, &self->verdict);
}

static void
give_back(actor *self)
{
    const fta_hits request = {strategy, FTA_GIVE_BACK, self->hits,
                              self->hit_count, self->receipts};
    fta_verdict verdict;
    fta_shm_table_hit(table, &request, &verdict);
}

static void
reserve(actor *self)
{
    const fta_hits request = {strategy, FTA_COUNT, self->hits, self->hit_count,
                              self->receipts};
    fta_shm_table_hit(table, &request, &self->verdict);
}

/* Counts, and takes it back again: in the end nothing has passed. */
static void
act_hit_and_give_back(actor *self)
{
    reserve(self);
    if (self->verdict.allowed) {
        give_back(self);
        self->verdict.allowed = false;
    }
}

static void
act_give_back(actor *self)
{
    give_back(self);
    self->verdict.allowed = false;
}

static void
act_reset_and_hit(actor *self)
{
    hit_all(FTA_RESET, self->hits, self->hit_count, &self->verdict);
    hit_all(FTA_COUNT, self->hits, self->hit_count, &self->verdict);
}

static void
act_pass_time(actor *self)
{
    (void)self;
    stop_here();
    fta_clock_shift(0, 2000000);
}

static void
add_hit(const char *key, uint32_t limit)
{
    actor *a = add_actor(act_hit);
    a->hits[0] = hit_on(key, limit);
    a->hit_count = 1;
}

/* Counts without being scheduled; the survivor of a test. */
static bool
hit_now(const char *key, uint32_t limit)
{
    fta_hit hit = hit_on(key, limit);
    fta_verdict verdict;
    hit_all(FTA_COUNT, &hit, 1, &verdict);
    return verdict.allowed;
}

/* The table's only bucket: everybody is in everybody's way. */
static fta_shm_bucket *
only_bucket(void)
{
    return &table->buckets[0];
}

static void
start_over(const fta_strategy *which)
{
    strategy = which;
    actor_count = 0;
    table->bucket_count = 1;
    memset((void *)only_bucket(), 0, sizeof(fta_shm_bucket));
    atomic_store(&table->header->evictions, 0);
    fta_clock_reset();
}

static void
fill_bucket(uint32_t limit, int hits_each)
{
    for (int i = 0; i < (int)FTA_SLOTS_PER_BUCKET; i++) {
        char key[16];
        snprintf(key, sizeof key, "old%d", i);
        for (int k = 0; k < hits_each; k++) {
            CHECK(hit_now(key, limit));
        }
    }
}

static size_t
admitted(const char *key)
{
    size_t count = 0;
    for (size_t i = 0; i < actor_count; i++) {
        if (actors[i].act == act_hit && actors[i].done &&
            actors[i].verdict.allowed &&
            strcmp((const char *)actors[i].hits[0].key, key) == 0) {
            count++;
        }
    }
    return count;
}

static size_t
killed_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < actor_count; i++) {
        count += actors[i].killed;
    }
    return count;
}

/* What must hold whatever happened: no key has two slots, no slot is lost and
 * nobody is waited for. */
static void
check_bucket(void)
{
    for (size_t i = 0; i < FTA_SLOTS_PER_BUCKET; i++) {
        uint64_t tag = fta_entry_tag(only_bucket()->slots[i].entry);
        for (size_t k = 0; k < i && tag != 0; k++) {
            CHECK(fta_entry_tag(only_bucket()->slots[k].entry) != tag);
        }
    }
    /* The next insertion completes that of a killed actor, whose slot is kept
     * for him for a second. */
    strategy = &fta_strategy_fixed_window;
    fta_clock_shift(0, 3 * PERIOD_US);
    CHECK(hit_now("next", 1));
    fta_clock_shift(0, 3 * PERIOD_US);
    uint64_t evictions = atomic_load(&table->header->evictions);
    for (int i = 0; i < (int)FTA_SLOTS_PER_BUCKET; i++) {
        char key[16];
        snprintf(key, sizeof key, "new%d", i);
        CHECK(hit_now(key, 1));
        CHECK(!hit_now(key, 1));
    }
    CHECK(atomic_load(&table->header->evictions) == evictions);
    fta_clock_shift(0, -6 * PERIOD_US);
}

/* Of what actors and the survivor tried, exactly limit passed; each killed one
 * may have counted without having been able to say so. */
static void
check_exactly(const char *key, uint32_t limit)
{
    size_t passed = admitted(key);
    for (uint32_t i = 0; i <= limit; i++) {
        passed += hit_now(key, limit);
    }
    CHECK(passed <= limit);
    CHECK(passed + killed_count() >= limit);
}

/* -- scenarios
 * ------------------------------------------------------------------ */

typedef void scenario(void);

/* Three for one key that nobody knows, with room for two. */
static void
one_fresh_key(void)
{
    add_hit("a", 2);
    add_hit("a", 2);
    add_hit("a", 2);
}

static void
check_one_fresh_key(void)
{
    check_exactly("a", 2);
    CHECK(atomic_load(&table->header->evictions) == 0);
}

/* Three at the end of the largest limit, with room for two; a fourth takes one
 * and gives it back. */
static void
end_of_the_largest_limit(void)
{
    fta_hit hit = hit_on("a", FTA_RATE_LIMIT_MAX);
    fta_verdict verdict;
    hit.cost = FTA_RATE_LIMIT_MAX - 2;
    hit_all(FTA_COUNT, &hit, 1, &verdict);
    CHECK(verdict.allowed && verdict.remaining == 2);
    for (int i = 0; i < 4; i++) {
        add_hit("a", FTA_RATE_LIMIT_MAX);
    }
    actors[1].act = act_hit_and_give_back;
}

static void
check_end_of_the_largest_limit(void)
{
    size_t passed = admitted("a");
    for (int i = 0; i < 3; i++) {
        passed += hit_now("a", FTA_RATE_LIMIT_MAX);
    }
    CHECK(passed <= 2);
    CHECK(passed + killed_count() >= 2);
}

/* Whose slot is the first that a key tries. */
static const char *
owner_of_first_slot(const char *key)
{
    static char owner[16];
    fta_hit hit = hit_on(key, 1);
    size_t at = first_slot(place_of(table, &hit).tag);
    uint64_t tag = fta_entry_tag(only_bucket()->slots[at].entry);
    for (int i = 0; i < (int)FTA_SLOTS_PER_BUCKET; i++) {
        snprintf(owner, sizeof owner, "old%d", i);
        hit = hit_on(owner, 2);
        if (place_of(table, &hit).tag == tag) {
            break;
        }
    }
    return owner;
}

/* Every slot's time is over; two newcomers and the owner of a slot that comes
 * back race for them. */
static void
expired_slots(void)
{
    fill_bucket(2, 1);
    fta_clock_shift(0, 2 * PERIOD_US);
    const char *owner = owner_of_first_slot("a");
    add_hit("a", 1);
    add_hit(owner, 2);
    add_hit("a", 1);
    add_hit(owner, 2);
}

static void
check_expired_slots(void)
{
    CHECK(atomic_load(&table->header->evictions) == 0);
    check_exactly("a", 1);
    check_exactly((const char *)actors[1].hits[0].key, 2);
    CHECK(atomic_load(&table->header->evictions) == 0);
}

/* Every slot is in use: newcomers push out, but never one another's count. */
static void
full_bucket(void)
{
    fill_bucket(8, 1);
    add_hit("a", 1);
    add_hit("b", 1);
    add_hit("a", 1);
}

static void
check_full_bucket(void)
{
    check_exactly("a", 1);
    check_exactly("b", 1);
}

/* The window changes while they count: what has passed in the old one counts
 * in the new one. */
static void
window_change(void)
{
    strategy = &fta_strategy_sliding_window_counter;
    int64_t now_us = fta_clock_monotonic_us();
    fta_hit hit = hit_on("a", 2);
    fta_clock_shift(0, fta_window_start(&hit, now_us) + PERIOD_US - now_us -
                           1000000);
    add_hit("a", 2);
    add_hit("a", 2);
    add_actor(act_pass_time);
    add_hit("a", 2);
}

static void
check_window_change(void)
{
    strategy = &fta_strategy_sliding_window_counter;
    check_exactly("a", 2);
}

/* Two limits each, all or nothing; the second has room for one. */
static void
two_limits(void)
{
    for (int i = 0; i < 3; i++) {
        actor *a = add_actor(act_hit);
        a->hits[0] = hit_on("wide", 5);
        a->hits[1] = hit_on("tight", 1);
        a->hit_count = 2;
    }
}

static void
check_two_limits(void)
{
    size_t passed = admitted("wide");
    CHECK(passed <= 1);
    CHECK(passed + killed_count() >= 1);
    /* What was limited was not counted by the wide limit either. */
    fta_hit wide = hit_on("wide", 5);
    fta_verdict verdict;
    hit_all(FTA_PEEK, &wide, 1, &verdict);
    CHECK(verdict.remaining <= 5 - passed);
    CHECK(verdict.remaining + passed + killed_count() >= 5);
}

/* What was counted for the first limit is given back when the second, which
 * had as much left, has been used up by somebody else. */
static void
lost_race(void)
{
    actor *a = add_actor(act_hit);
    a->hits[0] = hit_on("mine", 1);
    a->hits[1] = hit_on("ours", 1);
    a->hit_count = 2;
    add_hit("ours", 1);
}

static void
check_lost_race(void)
{
    size_t passed = admitted("mine");
    CHECK(passed + admitted("ours") <= 1);
    CHECK(passed + admitted("ours") + killed_count() >= 1);
    CHECK(hit_now("mine", 1) == (passed == 0) || killed_count() > 0);
}

/* A reset brings an old word back, which a helper may still be waiting for. */
static void
reset_in_between(void)
{
    fill_bucket(2, 1);
    for (int i = 0; i < (int)FTA_SLOTS_PER_BUCKET; i++) {
        char key[16];
        snprintf(key, sizeof key, "old%d", i);
        fta_hit hit = hit_on(key, 2);
        fta_verdict verdict;
        hit_all(FTA_RESET, &hit, 1, &verdict);
    }
    add_hit("a", 1);
    add_hit(owner_of_first_slot("a"), 2);
    add_hit("a", 1);
    add_hit((const char *)actors[1].hits[0].key, 2);
    actors[3].act = act_reset;
}

static void
check_reset_in_between(void)
{
    check_exactly("a", 1);
    (void)hit_now((const char *)actors[1].hits[0].key, 2); /* Returns. */
}

/* Two that give back what they take, and two that keep it, with room for two:
 * nobody gives back what another one has taken. */
static void
given_back(void)
{
    for (int i = 0; i < 4; i++) {
        add_hit("a", 2);
    }
    actors[0].act = actors[2].act = act_hit_and_give_back;
}

static void
check_given_back(void)
{
    if (strategy == &fta_strategy_gcra) {
        /* The time between a hit and its return stays taken. It is long where
         * the machine is busy, and short beside the interval of a hit. */
        fta_clock_shift(0, 10 * INT64_C(1000000));
    }
    check_exactly("a", 2);
    CHECK(atomic_load(&table->header->evictions) == 0);
}

/* What was taken before a reset is given back while others reset, and count
 * anew: their count stays. */
static void
given_back_after_a_reset(void)
{
    add_hit("a", 1);
    actors[0].act = act_give_back;
    reserve(&actors[0]);
    CHECK(actors[0].verdict.allowed);
    add_hit("a", 1);
    actors[1].act = act_reset_and_hit;
    add_hit("b", 1);
    add_hit("c", 1);
}

static void
check_given_back_after_a_reset(void)
{
    if (actors[1].done && !actors[1].killed) {
        CHECK(actors[1].verdict.allowed);
        CHECK(!hit_now("a", 1));
    }
    check_exactly("b", 1);
}

static const struct {
    const char *name;
    const fta_strategy *strategy;
    scenario *set_up;
    scenario *check;
} scenarios[] = {
    {"one fresh key", &fta_strategy_fixed_window, one_fresh_key,
     check_one_fresh_key},
    {"one fresh key, sliding", &fta_strategy_sliding_window_counter,
     one_fresh_key, check_one_fresh_key},
    {"one fresh key, gcra", &fta_strategy_gcra, one_fresh_key,
     check_one_fresh_key},
    {"expired slots", &fta_strategy_fixed_window, expired_slots,
     check_expired_slots},
    {"full bucket", &fta_strategy_fixed_window, full_bucket, check_full_bucket},
    {"window change", &fta_strategy_sliding_window_counter, window_change,
     check_window_change},
    {"two limits", &fta_strategy_fixed_window, two_limits, check_two_limits},
    {"lost race", &fta_strategy_fixed_window, lost_race, check_lost_race},
    {"given back", &fta_strategy_fixed_window, given_back, check_given_back},
    {"given back, sliding", &fta_strategy_sliding_window_counter, given_back,
     check_given_back},
    {"given back, gcra", &fta_strategy_gcra, given_back, check_given_back},
    {"given back after a reset", &fta_strategy_fixed_window,
     given_back_after_a_reset, check_given_back_after_a_reset},
    {"given back after a reset, sliding", &fta_strategy_sliding_window_counter,
     given_back_after_a_reset, check_given_back_after_a_reset},
    {"given back after a reset, gcra", &fta_strategy_gcra,
     given_back_after_a_reset, check_given_back_after_a_reset},
    {"end of the largest limit", &fta_strategy_fixed_window,
     end_of_the_largest_limit, check_end_of_the_largest_limit},
    {"end of the largest limit, sliding", &fta_strategy_sliding_window_counter,
     end_of_the_largest_limit, check_end_of_the_largest_limit},
    {"reset in between", &fta_strategy_fixed_window, reset_in_between,
     check_reset_in_between},
};

#define SCENARIO_COUNT (sizeof scenarios / sizeof *scenarios)
#define RESET_IN_BETWEEN (SCENARIO_COUNT - 1)

static void
set_up(size_t i)
{
    start_over(scenarios[i].strategy);
    scenarios[i].set_up();
}

static void
verify(size_t i, const char *how, uint64_t which)
{
    long failed_before = atomic_load(&checks_failed);
    scenarios[i].check();
    check_bucket();
    if (atomic_load(&checks_failed) != failed_before) {
        fprintf(stderr, "    in \"%s\", %s %llu\n", scenarios[i].name, how,
                (unsigned long long)which);
    }
}

/* Every way to interrupt the first actor, run another for so many steps and
 * return to the first, who takes one more step, or none, before all others come
 * to their end. Then he goes on, or is killed. */
static void
run_systematically(size_t i, int depth)
{
    uint64_t which = 0;
    for (int a = 0; a < depth; a++) {
        for (int b = 0; b < depth; b++, which++) {
            set_up(i);
            run_steps(&actors[0], a);
            run_steps(&actors[1], b);
            run_steps(&actors[0], (int)(which % 2));
            for (size_t k = 1; k < actor_count; k++) {
                finish(&actors[k]);
            }
            if (which % 3 == 0) {
                actors[0].killed = !actors[0].done;
            }
            finish(&actors[0]);
            verify(i, "interruption", which);
        }
    }
}

/* One inserter sees the owner of his slot come back and is about to call the
 * insertion off; meanwhile the slot is free again, and another one, who helps,
 * is about to complete it. Whoever of them comes first: the key moves in once,
 * and the owner, if he counts, loses nothing. */
static void
run_late_calling_off(void)
{
    uint64_t which = 0;
    for (int a = 0; a < SCHEDULES(48); a++) {
        for (int b = 0; b < 5; b++) {
            for (int c = 0; c < 2 * SCHEDULES(48); c++, which++) {
                start_over(&fta_strategy_fixed_window);
                reset_in_between();
                run_steps(&actors[0], a);
                finish(&actors[1]); /* The owner comes back, */
                run_steps(&actors[0], b);
                finish(&actors[3]); /* is reset, */
                run_steps(&actors[2], c / 2);
                finish(&actors[0]);
                const char *owner = (const char *)actors[1].hits[0].key;
                bool counted = c % 2 == 0;
                CHECK(!counted || hit_now(owner, 1)); /* and comes again. */
                finish(&actors[2]);
                CHECK(!counted || !hit_now(owner, 1));
                CHECK(admitted("a") == 1);
                check_exactly("a", 1);
                verify(RESET_IN_BETWEEN, "calling off", which);
            }
        }
    }
}

int
main(void)
{
    alarm(300); /* Whoever spins outside of an actor is ended. */
    int error;
    fta_shm_table_options options = {.bytes = FTA_SHM_TABLE_MIN};
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    actors_begin();
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        for (uint64_t seed = 0; seed < SCHEDULES(1500); seed++) {
            set_up(i);
            run_randomly(seed, false);
            verify(i, "schedule", seed);
            set_up(i);
            run_by_priority(seed);
            verify(i, "priorities", seed);
            set_up(i);
            run_randomly(seed, true);
            verify(i, "schedule with kills", seed);
        }
        run_systematically(i, SCHEDULES(60));
    }
    run_late_calling_off();
    fta_clock_reset();
    actors_end();
    fta_shm_table_close(table);
    return check_report("test_shm_interleaving");
}
