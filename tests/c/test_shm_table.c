#include "limit/shm/table.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"
#include "limit/strategy.h"

#define SECOND_US INT64_C(1000000)

/* Sanitizers slow everything down; what they look for needs no numbers. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS(n) ((n) / 10)
#else
#define ROUNDS(n) (n)
#endif

static fta_shm_table *
open_table(size_t bytes)
{
    fta_shm_table_options options = {.bytes = bytes};
    fta_shm_table *table = NULL;
    int error;
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    if (table == NULL) {
        exit(check_report("test_shm_table"));
    }
    return table;
}

static fta_hit
hit_on(const void *key, size_t length, uint32_t limit, int64_t period_us)
{
    return (fta_hit){.key = key,
                     .key_length = length,
                     .limit = limit,
                     .cost = 1,
                     .period_us = period_us};
}

static fta_hit
text_hit(const char *key, uint32_t limit, int64_t period_us)
{
    return hit_on(key, strlen(key), limit, period_us);
}

static void
hit_all(fta_shm_table *table, const fta_strategy *strategy, fta_action action,
        const fta_hit *hits, size_t n, fta_verdict *verdict)
{
    const fta_hits request = {strategy, action, hits, n, NULL};
    fta_shm_table_hit(table, &request, verdict);
}

static fta_verdict
ask(fta_shm_table *table, const fta_strategy *strategy, fta_action action,
    const fta_hit *hit)
{
    fta_verdict verdict;
    hit_all(table, strategy, action, hit, 1, &verdict);
    return verdict;
}

static bool
passes(fta_shm_table *table, const fta_strategy *strategy, const fta_hit *hit)
{
    return ask(table, strategy, FTA_COUNT, hit).allowed;
}

/* To a moment where the next second is not near. */
static void
start_of_window(const fta_hit *hit)
{
    int64_t now_us = fta_clock_monotonic_us();
    fta_clock_shift(0, fta_window_start(hit, now_us) + hit->period_us - now_us);
}

/* -- one thread ------------------------------------------------------------ */

static void
test_each_strategy_lets_exactly_the_limit_through(const fta_strategy *strategy)
{
    fta_shm_table *table = open_table(1 << 20);
    fta_hit hit = text_hit("key", 5, 100 * SECOND_US);
    fta_hit other = text_hit("other", 5, 100 * SECOND_US);
    start_of_window(&hit);

    fta_verdict verdict = ask(table, strategy, FTA_PEEK, &hit);
    CHECK(verdict.allowed && verdict.remaining == 5);
    CHECK(verdict.reset_after_us == 0);
    for (uint32_t left = 5; left-- > 0;) {
        verdict = ask(table, strategy, FTA_COUNT, &hit);
        CHECK(verdict.allowed && verdict.remaining == left);
        CHECK(verdict.limit == 5 && verdict.index == 0);
        CHECK(verdict.reset_after_us > 0 && verdict.retry_after_us == 0);
    }
    verdict = ask(table, strategy, FTA_COUNT, &hit);
    CHECK(!verdict.allowed && verdict.remaining == 0);
    CHECK(verdict.retry_after_us > 0);
    CHECK(verdict.retry_after_us <= verdict.reset_after_us);
    CHECK(verdict.retry_after_us <=
          hit.period_us * (strategy->keeps_previous ? 2 : 1));

    /* A limited hit, and a look, count nothing: the wait is what it was. */
    CHECK(ask(table, strategy, FTA_PEEK, &hit).retry_after_us <=
          verdict.retry_after_us);
    fta_clock_shift(0, verdict.retry_after_us);
    CHECK(passes(table, strategy, &hit));
    CHECK(passes(table, strategy, &other));

    (void)ask(table, strategy, FTA_RESET, &hit);
    verdict = ask(table, strategy, FTA_PEEK, &hit);
    CHECK(verdict.allowed && verdict.remaining == 5);
    CHECK(ask(table, strategy, FTA_PEEK, &other).remaining == 4);

    /* Costs. */
    fta_hit dear = hit;
    dear.cost = 3;
    verdict = ask(table, strategy, FTA_COUNT, &dear);
    CHECK(verdict.allowed && verdict.remaining == 2);
    CHECK(!passes(table, strategy, &dear));
    CHECK(passes(table, strategy, &hit));
    CHECK(passes(table, strategy, &hit));
    CHECK(!passes(table, strategy, &hit));

    fta_clock_shift(0, 1000 * SECOND_US);
    CHECK(ask(table, strategy, FTA_PEEK, &hit).remaining == 5);
    fta_shm_table_close(table);
    fta_clock_reset();
}

static void
test_a_window_is_a_period_long(void)
{
    fta_shm_table *table = open_table(1 << 20);
    fta_hit hit = text_hit("key", 100, 10 * SECOND_US);
    /* A fixed window is a period long, and starts with its first hit. */
    for (int i = 0; i < 5; i++) {
        fta_clock_shift(0, 13 * SECOND_US + 1234);
        fta_verdict verdict =
            ask(table, &fta_strategy_fixed_window, FTA_COUNT, &hit);
        CHECK(verdict.remaining == 99);
        CHECK(verdict.reset_after_us == hit.period_us);
    }
    /* A sliding one remembers the window before, and that one alone. */
    hit = text_hit("sliding", 100, 10 * SECOND_US);
    start_of_window(&hit);
    for (int i = 0; i < 40; i++) {
        CHECK(passes(table, &fta_strategy_sliding_window_counter, &hit));
    }
    fta_clock_shift(0, 15 * SECOND_US);
    uint32_t left =
        ask(table, &fta_strategy_sliding_window_counter, FTA_COUNT, &hit)
            .remaining;
    CHECK(left >= 79 && left <= 80); /* Half of 40, and this one. */
    fta_clock_shift(0, 10 * SECOND_US);
    left = ask(table, &fta_strategy_sliding_window_counter, FTA_COUNT, &hit)
               .remaining;
    CHECK(left == 98); /* Half of 1, rounded up, and this one. */
    fta_clock_shift(0, 20 * SECOND_US);
    left = ask(table, &fta_strategy_sliding_window_counter, FTA_PEEK, &hit)
               .remaining;
    CHECK(left == 100);
    fta_shm_table_close(table);
    fta_clock_reset();
}

/* An administrator, or NTP, moves the real clock; a test moves the other one
 * back. Neither may lock anyone out for long, nor give anyone a new quota. */
static void
test_a_wall_clock_that_is_set_changes_no_decision(void)
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        fta_shm_table *table = open_table(1 << 20);
        fta_hit hit = text_hit("key", 2, 100 * SECOND_US);
        start_of_window(&hit);
        CHECK(passes(table, fta_strategies[i], &hit));
        CHECK(passes(table, fta_strategies[i], &hit));
        static const int64_t steps[] = {3600, -7200, 86400 * 365, -86400};
        for (size_t k = 0; k < 4; k++) {
            fta_clock_shift(steps[k] * SECOND_US, 0);
            fta_verdict verdict =
                ask(table, fta_strategies[i], FTA_COUNT, &hit);
            CHECK(!verdict.allowed);
            CHECK(verdict.retry_after_us <= 2 * hit.period_us);
        }
        fta_clock_reset();
        fta_clock_shift(0, 86400 * 1000 * SECOND_US);
        CHECK(passes(table, fta_strategies[i], &hit));
        CHECK(passes(table, fta_strategies[i], &hit));
        fta_clock_reset();
        fta_verdict verdict = ask(table, fta_strategies[i], FTA_COUNT, &hit);
        CHECK(verdict.allowed);
        fta_shm_table_close(table);
    }
}

static void
test_several_limits_count_all_or_nothing(void)
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        fta_shm_table *table = open_table(1 << 20);
        fta_hit hits[3] = {
            text_hit("a", 10, 100 * SECOND_US),
            text_hit("b", 3, 1000 * SECOND_US),
            text_hit("c", 5, 50 * SECOND_US),
        };
        start_of_window(&hits[1]);
        fta_verdict verdict;
        for (uint32_t left = 3; left-- > 0;) {
            hit_all(table, fta_strategies[i], FTA_COUNT, hits, 3, &verdict);
            CHECK(verdict.allowed);
            CHECK(verdict.index == 1 && verdict.limit == 3);
            CHECK(verdict.remaining == left);
        }
        for (int k = 0; k < 20; k++) {
            hit_all(table, fta_strategies[i], FTA_COUNT, hits, 3, &verdict);
            CHECK(!verdict.allowed && verdict.index == 1);
        }
        /* Nothing limited was counted by the others. */
        CHECK(ask(table, fta_strategies[i], FTA_PEEK, &hits[0]).remaining == 7);
        CHECK(ask(table, fta_strategies[i], FTA_PEEK, &hits[2]).remaining == 2);
        /* When two limit, the longer wait is the answer. */
        hits[2].cost = 3;
        hit_all(table, fta_strategies[i], FTA_COUNT, hits, 3, &verdict);
        CHECK(!verdict.allowed && verdict.index == 1);
        hit_all(table, fta_strategies[i], FTA_RESET, hits, 3, &verdict);
        CHECK(ask(table, fta_strategies[i], FTA_PEEK, &hits[0]).remaining ==
              10);
        CHECK(ask(table, fta_strategies[i], FTA_PEEK, &hits[1]).remaining == 3);
        fta_shm_table_close(table);
    }
    fta_clock_reset();
}

static void
test_a_table_that_cannot_be_opened_is_an_error(void)
{
    fta_shm_table_options options = {.bytes = FTA_SHM_TABLE_MIN - 1};
    fta_shm_table *table;
    int error;
    CHECK(fta_shm_table_open(&options, &table, &error) ==
          FTA_SHM_BYTES_INVALID);
    options.bytes = FTA_SHM_TABLE_MAX + 1;
    CHECK(fta_shm_table_open(&options, &table, &error) ==
          FTA_SHM_BYTES_INVALID);
    options = (fta_shm_table_options){
        .bytes = FTA_SHM_TABLE_MIN, .shared = true, .directory = "/nowhere"};
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_SYSTEM);
    options.shared = false;
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = fta_shm_table_open(&options, &table, &error);
        if (!failing_alloc_stop()) {
            break;
        }
        CHECK(status == FTA_NO_MEMORY);
    }
    fta_shm_table_close(table);
    fta_shm_table_close(NULL);
}

/* -- a full table ---------------------------------------------------------- */

static void
test_a_million_keys_fit_into_64_bytes_each(void)
{
    const uint32_t keys = ROUNDS(1000000);
    fta_shm_table *table = open_table((size_t)keys * 64);
    fta_shm_table_usage usage;
    for (uint32_t i = 0; i < keys; i++) {
        fta_hit hit = hit_on(&i, sizeof i, 10, 1000 * SECOND_US);
        CHECK(passes(table, &fta_strategy_fixed_window, &hit));
    }
    fta_shm_table_usage_read(table, &usage);
    /* 64 bytes a key: not a handful of a million meets a full bucket. */
    CHECK(usage.evictions < 10);
    CHECK(usage.slots_used + usage.evictions == keys);
    for (uint32_t i = 0; i < keys; i += 1000) {
        fta_hit hit = hit_on(&i, sizeof i, 10, 1000 * SECOND_US);
        CHECK(
            ask(table, &fta_strategy_fixed_window, FTA_PEEK, &hit).remaining ==
                9 ||
            usage.evictions > 0);
    }
    fta_clock_shift(0, 1001 * SECOND_US + FTA_TICK_US);
    fta_shm_table_usage_read(table, &usage);
    CHECK(usage.slots_used == 0);
    uint64_t evictions = usage.evictions;
    for (uint32_t i = keys; i < keys + keys / 10; i++) {
        fta_hit hit = hit_on(&i, sizeof i, 10, 1000 * SECOND_US);
        CHECK(passes(table, &fta_strategy_fixed_window, &hit));
    }
    fta_shm_table_usage_read(table, &usage);
    CHECK(usage.evictions == evictions); /* Those whose time is over go. */
    fta_shm_table_close(table);
    fta_clock_reset();
}

/* Twenty times as many fresh keys as there are slots do not free a client
 * who is limited, nor one who has used most of the limit. */
static void
test_a_flood_of_keys_does_not_reset_a_limited_key(const fta_strategy *strategy)
{
    fta_shm_table *table = open_table(256 << 10);
    fta_hit abuser = text_hit("abuser", 50, 1000 * SECOND_US);
    fta_hit busy = text_hit("busy", 50, 1000 * SECOND_US);
    start_of_window(&abuser);
    while (passes(table, strategy, &abuser)) {
    }
    for (int i = 0; i < 40; i++) {
        CHECK(passes(table, strategy, &busy));
    }
    fta_shm_table_usage usage;
    fta_shm_table_usage_read(table, &usage);
    uint32_t flood = ROUNDS((uint32_t)usage.slots * 20);
    for (uint32_t i = 0; i < flood; i++) {
        fta_hit fresh = hit_on(&i, sizeof i, 50, 1000 * SECOND_US);
        CHECK(passes(table, strategy, &fresh));
    }
    fta_shm_table_usage_read(table, &usage);
    CHECK(usage.evictions > flood / 2);
    CHECK(usage.slots_used <= usage.slots);
    CHECK(!passes(table, strategy, &abuser));
    CHECK(ask(table, strategy, FTA_PEEK, &busy).remaining <= 20);
    fta_shm_table_close(table);
    fta_clock_reset();
}

/* -- many threads ---------------------------------------------------------- */

#define THREADS 16

typedef struct crowd {
    fta_shm_table *table;
    const fta_strategy *strategy;
    const fta_hit *hits;
    size_t hit_count;
    int tries;
    pthread_barrier_t barrier;
    atomic_int passed;
} crowd;

static void *
try_in_crowd(void *argument)
{
    crowd *c = argument;
    pthread_barrier_wait(&c->barrier);
    for (int i = 0; i < c->tries; i++) {
        fta_verdict verdict;
        hit_all(c->table, c->strategy, FTA_COUNT, c->hits, c->hit_count,
                &verdict);
        atomic_fetch_add(&c->passed, verdict.allowed);
    }
    return NULL;
}

static int
run_crowd(crowd *c)
{
    pthread_t threads[THREADS];
    atomic_store(&c->passed, 0);
    pthread_barrier_init(&c->barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, try_in_crowd, c) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&c->barrier);
    return atomic_load(&c->passed);
}

static void
test_exactly_the_limit_passes_with_many_threads(const fta_strategy *strategy)
{
    crowd c = {.table = open_table(FTA_SHM_TABLE_MIN),
               .strategy = strategy,
               .hit_count = 1,
               .tries = 10};
    for (int round = 0; round < ROUNDS(100); round++) {
        /* A key of this round's, in a table in which most are over. */
        fta_hit hit = hit_on(&round, sizeof round, 50, 1000 * SECOND_US);
        start_of_window(&hit);
        c.hits = &hit;
        CHECK(run_crowd(&c) == 50);
        CHECK(!passes(c.table, strategy, &hit));
    }
    fta_shm_table_close(c.table);
    fta_clock_reset();
}

/* The same limits for all: the tightest decides, exactly. */
static void
test_several_limits_are_exact_with_many_threads(void)
{
    crowd c = {.table = open_table(1 << 20),
               .strategy = &fta_strategy_fixed_window,
               .hit_count = 3,
               .tries = 10};
    for (int round = 0; round < ROUNDS(50); round++) {
        int keys[3][2];
        fta_hit hits[3];
        for (int k = 0; k < 3; k++) {
            keys[k][0] = round;
            keys[k][1] = k;
            hits[k] = hit_on(keys[k], sizeof keys[k], (uint32_t)(120 - 30 * k),
                             1000 * SECOND_US);
        }
        c.hits = hits;
        CHECK(run_crowd(&c) == 60);
        CHECK(ask(c.table, c.strategy, FTA_PEEK, &hits[0]).remaining == 60);
        CHECK(ask(c.table, c.strategy, FTA_PEEK, &hits[1]).remaining == 30);
    }
    fta_shm_table_close(c.table);
}

/* Everything at once in a table that is far too small: fresh keys, returning
 * ones, evictions, resets, looks, time. What is checked is that it ends, that
 * no limit is ever passed by a window's verdicts, and what TSan sees. */
static void *
make_trouble(void *argument)
{
    crowd *c = argument;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    for (int i = 0; i < c->tries; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        /* A key has one strategy, limit and period. */
        uint32_t which = (uint32_t)(random >> 8) % FTA_STRATEGY_COUNT;
        uint32_t keys[2] = {(uint32_t)(random % 1000) << 3 | which,
                            (uint32_t)(random >> 32) % 10 << 3 | 4 | which};
        fta_hit hits[2] = {hit_on(&keys[0], sizeof keys[0], 5, SECOND_US),
                           hit_on(&keys[1], sizeof keys[1], 100, SECOND_US)};
        fta_action action = random % 64 == 0   ? FTA_RESET
                            : random % 16 == 1 ? FTA_PEEK
                                               : FTA_COUNT;
        fta_verdict verdict;
        hit_all(c->table, fta_strategies[which], action, hits,
                1 + (random >> 16) % 2, &verdict);
        CHECK(verdict.remaining <= verdict.limit);
        CHECK(verdict.retry_after_us <= 2 * SECOND_US);
        if (random % 512 == 0) {
            fta_clock_shift(0, SECOND_US / 8);
        }
    }
    return NULL;
}

static void
test_resets_and_evictions_by_many_threads_leave_the_table_usable(void)
{
    crowd c = {.table = open_table(FTA_SHM_TABLE_MIN), .tries = ROUNDS(20000)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, make_trouble, &c) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    /* And it is as good as new. */
    fta_clock_shift(0, 10 * SECOND_US);
    fta_shm_table_usage usage;
    fta_shm_table_usage_read(c.table, &usage);
    CHECK(usage.slots_used == 0);
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        fta_hit hit = text_hit("after", 50, 1000 * SECOND_US);
        start_of_window(&hit);
        c.strategy = fta_strategies[i];
        c.hits = &hit;
        c.hit_count = 1;
        c.tries = 10;
        (void)ask(c.table, c.strategy, FTA_RESET, &hit);
        CHECK(run_crowd(&c) == 50);
    }
    fta_shm_table_close(c.table);
    fta_clock_reset();
}

/* -- many processes -------------------------------------------------------- */

#define PROCESSES 4

typedef struct shared {
    atomic_int go;
    atomic_int passed;
} shared;

static shared *
map_shared(void)
{
    void *memory = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        abort();
    }
    return memory;
}

static void
count_in_child(shared *s, fta_shm_table *table, const fta_hit *hit, int tries)
{
    while (!atomic_load(&s->go)) {
    }
    for (int i = 0; i < tries; i++) {
        if (passes(table, &fta_strategy_fixed_window, hit)) {
            atomic_fetch_add(&s->passed, 1);
        }
    }
    _exit(0);
}

static void
test_exactly_the_limit_passes_with_many_processes(void)
{
    fta_shm_table *table = open_table(FTA_SHM_TABLE_MIN);
    shared *s = map_shared();
    fflush(NULL);
    for (int round = 0; round < ROUNDS(60); round++) {
        fta_hit hit = hit_on(&round, sizeof round, 50, 1000 * SECOND_US);
        pid_t children[PROCESSES];
        atomic_store(&s->go, 0);
        atomic_store(&s->passed, 0);
        for (int i = 0; i < PROCESSES; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                count_in_child(s, table, &hit, 75);
            }
        }
        atomic_store(&s->go, 1);
        for (int i = 0; i < PROCESSES; i++) {
            CHECK(waitpid(children[i], NULL, 0) == children[i]);
        }
        CHECK(atomic_load(&s->passed) == 50);
    }
    munmap(s, sizeof *s);
    fta_shm_table_close(table);
}

/* A process counts, in a table with little room, until it is killed. */
static void
count_until_killed(fta_shm_table *table, uint64_t random)
{
    for (;;) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t which = (uint32_t)(random >> 8) % FTA_STRATEGY_COUNT;
        uint32_t keys[2] = {(uint32_t)(random % 333) << 3 | which,
                            (uint32_t)(random >> 32) % 3 << 3 | 4 | which};
        fta_hit hits[2] = {hit_on(&keys[0], sizeof keys[0], 5, SECOND_US),
                           hit_on(&keys[1], sizeof keys[1], 1000, SECOND_US)};
        fta_verdict verdict;
        hit_all(table, fta_strategies[which], FTA_COUNT, hits,
                1 + (random >> 16) % 2, &verdict);
        if (random % 1024 == 0) {
            fta_clock_shift(0, SECOND_US);
        }
    }
}

static void
test_a_killed_process_leaves_the_counters_correct(int kills)
{
    fta_shm_table *table = open_table(FTA_SHM_TABLE_MIN);
    fflush(NULL);
    for (int i = 0; i < kills; i++) {
        pid_t child = fork();
        if (child == 0) {
            count_until_killed(table, (uint64_t)i * 2654435761u + 1);
        }
        usleep((useconds_t)(200 + i * 37 % 1500));
        kill(child, SIGKILL);
        CHECK(waitpid(child, NULL, 0) == child);
        /* Whoever is left counts on, exactly. */
        uint32_t key = 100000 + (uint32_t)i;
        fta_hit hit = hit_on(&key, sizeof key, 3, 1000 * SECOND_US);
        for (int k = 0; k < 3; k++) {
            CHECK(passes(table, &fta_strategy_fixed_window, &hit));
        }
        CHECK(!passes(table, &fta_strategy_fixed_window, &hit));
        fta_clock_shift(0, 2000 * SECOND_US);
    }
    fta_shm_table_usage usage;
    fta_clock_shift(0, 2000 * SECOND_US);
    fta_shm_table_usage_read(table, &usage);
    CHECK(usage.slots_used == 0);
    fta_shm_table_close(table);
    fta_clock_reset();
}

/* -- processes that come and go -------------------------------------------- */

/* Each process lets a few requests in, and goes: it closes the table, or ends
 * without a word. However many there are, as many requests pass as there is
 * room. */
static void
test_counters_outlive_processes(const fta_strategy *strategy,
                                bool ends_suddenly)
{
    enum { WORKERS = 40, TRIES = 4, ROOM = 50 };
    char directory[] = "/tmp/fta-test-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    fta_shm_table_options options = {.bytes = 1 << 16,
                                     .shared = true,
                                     .app = {"app", 3},
                                     .prefix = {"prefix", 6},
                                     .directory = directory};
    fta_hit hit = text_hit("somebody", ROOM, 1000 * SECOND_US);
    start_of_window(&hit);
    int passed = 0;
    fflush(NULL);
    for (int i = 0; i < WORKERS; i++) {
        pid_t child = fork();
        if (child == 0) {
            fta_shm_table *table;
            int error, let_in = 0;
            if (fta_shm_table_open(&options, &table, &error) != FTA_OK) {
                _exit(100);
            }
            for (int k = 0; k < TRIES; k++) {
                let_in += passes(table, strategy, &hit);
            }
            if (!ends_suddenly || i % 2 == 0) {
                fta_shm_table_close(table);
            }
            _exit(let_in);
        }
        int how;
        CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how));
        passed += WEXITSTATUS(how);
    }
    CHECK(passed == ROOM);

    fta_shm_table *table;
    int error;
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    CHECK(!passes(table, strategy, &hit));
    /* The wall clock has no say in it; the time that passes has. */
    fta_clock_shift(-400 * 86400 * SECOND_US, 0);
    CHECK(!passes(table, strategy, &hit));
    fta_clock_shift(0, 2000 * SECOND_US);
    CHECK(passes(table, strategy, &hit));
    fta_shm_table_close(table);
    fta_clock_shift(0, 2010 * SECOND_US);
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    CHECK(ask(table, strategy, FTA_PEEK, &hit).remaining == ROOM);
    fta_shm_table_close(table);
    CHECK(rmdir(directory) == 0); /* Nothing is left behind. */
    fta_clock_reset();
}

static void
test_no_size_means_the_default_size(void)
{
    fta_shm_table_options options = {.shared = false};
    fta_shm_table *table;
    fta_shm_table_usage usage;
    int error;
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    fta_shm_table_usage_read(table, &usage);
    CHECK(usage.bytes > FTA_SHM_TABLE_DEFAULT - 8192);
    CHECK(usage.bytes <= FTA_SHM_TABLE_DEFAULT && !usage.has_other_size);
    fta_shm_table_close(table);
}

/* With an argument: how many processes to kill, for a longer run. */
int
main(int argc, char **argv)
{
    if (argc > 1) {
        test_a_killed_process_leaves_the_counters_correct(atoi(argv[1]));
        return check_report("test_shm_table");
    }
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        test_each_strategy_lets_exactly_the_limit_through(fta_strategies[i]);
        test_a_flood_of_keys_does_not_reset_a_limited_key(fta_strategies[i]);
        test_exactly_the_limit_passes_with_many_threads(fta_strategies[i]);
        test_counters_outlive_processes(fta_strategies[i], false);
        test_counters_outlive_processes(fta_strategies[i], true);
    }
    test_no_size_means_the_default_size();
    test_a_window_is_a_period_long();
    test_a_wall_clock_that_is_set_changes_no_decision();
    test_several_limits_count_all_or_nothing();
    test_a_table_that_cannot_be_opened_is_an_error();
    test_a_million_keys_fit_into_64_bytes_each();
    test_several_limits_are_exact_with_many_threads();
    test_resets_and_evictions_by_many_threads_leave_the_table_usable();
    test_exactly_the_limit_passes_with_many_processes();
    test_a_killed_process_leaves_the_counters_correct(ROUNDS(200));
    return check_report("test_shm_table");
}
