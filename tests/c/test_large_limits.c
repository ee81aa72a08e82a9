/* Every limit up to the largest, over every period up to the longest: the
 * strategies against the same rules in 128 bits, and the shared table. */
#include "limit/shm/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "counter_model.h"

#define SECOND_US INT64_C(1000000)
#define TOP FTA_RATE_LIMIT_MAX

__extension__ typedef __int128 wide;

static const uint32_t limits[] = {
    1,
    2,
    1023,
    1024,
    (1 << 23) - 1,
    1 << 23,
    (1 << 24) - 1,
    1 << 24,
    (1 << 30) - 1,
    1 << 30,
    TOP - 1,
    TOP,
};

static const int64_t periods[] = {
    1,
    2,
    3,
    59,
    60,
    61,
    3600,
    86400,
    30 * 86400,
    30 * 86400 + 1,
    FTA_RATE_PERIOD_MAX - 1,
    FTA_RATE_PERIOD_MAX,
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static uint64_t random_state = 88172645463325252u;

static int64_t
random_below(int64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)bound);
}

/* -- The rules, as they are documented ------------------------------------- */

/* All times are in nanoseconds. */
typedef struct model {
    wide end, start;      /* fixed window */
    wide count, previous; /* of the window that start says */
    wide arrival;         /* gcra */
} model;

typedef struct answer {
    bool allowed;
    wide remaining, reset, retry;
} answer;

#define NS INT64_C(1000)

static wide
divided_up(wide a, wide b)
{
    return (a + b - 1) / b;
}

static wide
multiple_until(wide time, wide unit)
{
    wide rest = time % unit;
    return time - rest - (rest < 0 ? unit : 0);
}

/* The finest time of fixed windows: the least divisor of two seconds of which
 * two seconds have no more than 2^31 / 2^(bits of the limit). */
static wide
grain_of(uint32_t limit)
{
    int64_t room = INT64_C(1) << 31, grain = 1;
    for (; limit > 0; limit /= 2) {
        room /= 2;
    }
    while (2 * SECOND_US % grain != 0 || 2 * SECOND_US / grain > room ||
           (grain < SECOND_US && SECOND_US % grain != 0)) {
        grain++;
    }
    return (wide)grain * NS;
}

static answer
decide(wide used, const fta_hit *hit, wide reset, wide retry)
{
    wide remaining = used < hit->limit ? hit->limit - used : 0;
    bool allowed = hit->cost <= remaining;
    return (answer){allowed, remaining, reset, allowed ? 0 : retry};
}

static answer
look_fixed(const model *m, const fta_hit *hit, wide now)
{
    bool open = m->count > 0 && now < m->end;
    wide left = open ? m->end - now : 0;
    return decide(open ? m->count : 0, hit, left, left);
}

static void
count_fixed(model *m, const fta_hit *hit, wide now, wide grain)
{
    if (m->count == 0 || now >= m->end) {
        wide length =
            multiple_until((wide)hit->period_us * NS + grain - 1, grain);
        m->start = multiple_until(now, grain);
        m->end = m->start + length;
        m->count = 0;
    }
    m->count += hit->cost;
}

static void
advance_sliding(model *m, const fta_hit *hit, wide now)
{
    wide period = (wide)hit->period_us * NS;
    wide start = multiple_until(now, period);
    if (start != m->start) {
        m->previous = start == m->start + period ? m->count : 0;
        m->count = 0;
        m->start = start;
    }
}

/* Whole milliseconds: when the previous count, weighed by what is left of the
 * window, leaves room. */
static wide
time_until_room(wide count, wide room, wide period, wide end)
{
    wide ms = 1000 * NS;
    return count <= room ? end - period
                         : end - room * (period / ms) / count * ms;
}

static answer
look_sliding(const model *m, const fta_hit *hit, wide now)
{
    wide period = (wide)hit->period_us * NS, end = m->start + period;
    wide now_ms = multiple_until(now, 1000 * NS);
    wide carried = divided_up(m->previous * (end - now_ms), period);
    wide reset = m->count > 0 ? end + period : m->previous > 0 ? end : now_ms;
    wide room = hit->limit - hit->cost;
    wide retry =
        m->count <= room
            ? time_until_room(m->previous, room - m->count, period, end)
            : time_until_room(m->count, room, period, end + period);
    return decide(carried + m->count, hit, reset - now_ms, retry - now);
}

static wide
interval_of(const fta_hit *hit)
{
    wide unit = hit->period_us <= 30 * 86400 * SECOND_US ? 1 : NS;
    return divided_up((wide)hit->period_us * NS / unit, hit->limit) * unit;
}

static answer
look_gcra(const model *m, const fta_hit *hit, wide now)
{
    wide interval = interval_of(hit);
    wide ahead = m->arrival > now ? m->arrival - now : 0;
    return decide(divided_up(ahead, interval), hit, ahead,
                  ahead - (hit->limit - hit->cost) * interval);
}

static answer
look_at_model(const fta_strategy *s, model *m, const fta_hit *hit, wide now)
{
    if (s == &fta_strategy_gcra) {
        return look_gcra(m, hit, now);
    }
    if (s == &fta_strategy_fixed_window) {
        return look_fixed(m, hit, now);
    }
    advance_sliding(m, hit, now);
    return look_sliding(m, hit, now);
}

static void
count_in_model(const fta_strategy *s, model *m, const fta_hit *hit, wide now,
               wide grain)
{
    if (s == &fta_strategy_gcra) {
        m->arrival = (m->arrival > now ? m->arrival : now) +
                     interval_of(hit) * hit->cost;
    } else if (s == &fta_strategy_fixed_window) {
        count_fixed(m, hit, now, grain);
    } else {
        m->count += hit->cost;
    }
}

/* -- The strategies against them ------------------------------------------- */

static bool
is_same(const fta_verdict *verdict, const answer *a)
{
    return verdict->allowed == a->allowed &&
           verdict->remaining == a->remaining &&
           verdict->reset_after_us == divided_up(a->reset, NS) &&
           verdict->retry_after_us == divided_up(a->retry, NS);
}

static uint32_t
random_cost(uint32_t limit)
{
    switch (random_below(6)) {
    case 0:
        return limit;
    case 1:
        return limit > 1 ? limit - 1 : 1;
    case 2:
        return limit / 2 + 1;
    case 3:
        return 1 + (uint32_t)random_below(limit);
    default:
        return 1;
    }
}

static int64_t
random_step(int64_t period_us)
{
    switch (random_below(6)) {
    case 0:
        return random_below(2);
    case 1:
        return period_us - 1 + random_below(3);
    case 2:
        return random_below(2 * period_us + 2);
    case 3:
        return random_below(period_us / 3);
    default:
        return 0;
    }
}

/* What a store does with a counter: see fta_counter. */
static void
keep(const fta_strategy *s, fta_counter *counter)
{
    CHECK(counter->value > 0 && counter->value <= INT32_MAX);
    if (!s->keeps_previous) {
        counter->end_us = fta_tick_from(counter->end_us) * FTA_TICK_US;
    }
}

/* Returns how many hits were allowed. */
static long
walk(const fta_strategy *s, uint32_t limit, int64_t period_us, int64_t now_us)
{
    fta_hit hit = {.limit = limit, .cost = 1, .period_us = period_us};
    fta_counter counter = {.value = 0};
    model m = {.start = -1, .arrival = (wide)now_us * NS};
    wide grain = grain_of(limit);
    long allowed = 0;
    for (int i = 0; i < 50; i++) {
        now_us += random_step(period_us);
        hit.cost = random_cost(limit);
        wide now = (wide)now_us * NS;
        answer expected = look_at_model(s, &m, &hit, now);
        fta_verdict verdict = counter_model_look(s, &counter, &hit, now_us);
        CHECK(is_same(&verdict, &expected));
        if (!counter_model_count(s, &counter, &hit, now_us).allowed) {
            CHECK(!expected.allowed);
            /* Not sooner, and not later, than it says: see test_strategy.c. */
            hit.cost = 1;
            continue;
        }
        allowed++;
        CHECK(expected.allowed);
        keep(s, &counter);
        count_in_model(s, &m, &hit, now, grain);
    }
    return allowed;
}

static void
test_every_decision_is_the_one_of_128_bits(const fta_strategy *s)
{
    static const int64_t starts[] = {0, -7 * SECOND_US + 3, 1234567890123456,
                                     INT64_C(4000000000) * SECOND_US + 999999};
    long allowed = 0, walks = 0;
    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        for (size_t p = 0; p < COUNT_OF(periods); p++) {
            for (size_t i = 0; i < COUNT_OF(starts); i++, walks++) {
                allowed +=
                    walk(s, limits[l], periods[p] * SECOND_US, starts[i]);
            }
        }
    }
    CHECK(allowed > 10 * walks && allowed < 45 * walks);
}

/* Whatever time a window starts at: it is no shorter than the period, and no
 * longer but where a limit of 2^30 and more leaves no bit for an odd second. */
static void
test_a_fixed_window_is_a_period_long(void)
{
    const fta_strategy *s = &fta_strategy_fixed_window;
    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        int64_t grain_us = (int64_t)(grain_of(limits[l]) / NS);
        CHECK(limits[l] >= 1024 || grain_us == 1);
        CHECK(limits[l] > 8388607 || grain_us <= 8000);
        for (size_t p = 0; p < COUNT_OF(periods); p++) {
            int64_t period_us = periods[p] * SECOND_US;
            int64_t odd_us =
                limits[l] >= 1 << 30 && periods[p] % 2 != 0 ? SECOND_US : 0;
            fta_hit hit = {
                .limit = limits[l], .cost = limits[l], .period_us = period_us};
            for (int i = 0; i < 200; i++) {
                int64_t now_us = random_below(INT64_C(1) << 50);
                fta_counter counter = {.value = 0};
                fta_verdict first =
                    counter_model_count(s, &counter, &hit, now_us);
                int64_t end_us = now_us + first.reset_after_us;
                int64_t start_us = end_us - period_us - odd_us;
                CHECK(start_us <= now_us && now_us - start_us < grain_us);
                CHECK(
                    !counter_model_look(s, &counter, &hit, end_us - 1).allowed);
                CHECK(counter_model_count(s, &counter, &hit, end_us).allowed);
                CHECK(counter_model_look(s, &counter, &hit, end_us)
                          .reset_after_us == period_us + odd_us);
            }
        }
    }
}

/* -- The shared table ------------------------------------------------------ */

static fta_shm_table *
open_table(void)
{
    fta_shm_table_options options = {.bytes = FTA_SHM_TABLE_MIN};
    fta_shm_table *table = NULL;
    int error;
    CHECK(fta_shm_table_open(&options, &table, &error) == FTA_OK);
    if (table == NULL) {
        exit(check_report("test_large_limits"));
    }
    return table;
}

static fta_hit
hit_on(const char *key, uint32_t limit, int64_t period_us)
{
    return (fta_hit){.key = (const uint8_t *)key,
                     .key_length = strlen(key),
                     .limit = limit,
                     .cost = 1,
                     .period_us = period_us};
}

static fta_verdict
ask(fta_shm_table *table, const fta_strategy *strategy, fta_action action,
    const fta_hit *hit, uint32_t cost, fta_receipt *receipt)
{
    fta_hit one = *hit;
    one.cost = cost;
    const fta_hits request = {strategy, action, &one, 1, receipt};
    fta_verdict verdict;
    fta_shm_table_hit(table, &request, &verdict);
    return verdict;
}

/* Beyond a window, so that a test of seconds meets no end of one. */
static void
start_of_window(const fta_hit *hit)
{
    int64_t now_us = fta_clock_monotonic_us();
    fta_clock_shift(0, fta_window_start(hit, now_us) + hit->period_us - now_us);
}

static void
test_the_table_counts_to_each_limit(const fta_strategy *s)
{
    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        for (size_t p = 0; p < COUNT_OF(periods); p++) {
            uint32_t limit = limits[l];
            fta_hit hit = hit_on("key", limit, periods[p] * SECOND_US);
            fta_shm_table *table = open_table();
            start_of_window(&hit);
            /* A table remembers the ends of the last seven years. */
            int windows = periods[p] > 365 * 86400 ? 1 : 3;
            for (int window = 0; window < windows; window++) {
                fta_receipt receipt;
                fta_verdict verdict =
                    ask(table, s, FTA_COUNT, &hit, limit, &receipt);
                CHECK(verdict.allowed && verdict.remaining == 0);
                /* Within microseconds, gcra may have room for one again. */
                verdict = ask(table, s, FTA_PEEK, &hit, limit, NULL);
                CHECK(!verdict.allowed || s == &fta_strategy_gcra);
                CHECK(verdict.reset_after_us <= 2 * hit.period_us + SECOND_US);
                ask(table, s, FTA_GIVE_BACK, &hit, limit, &receipt);
                verdict = ask(table, s, FTA_PEEK, &hit, limit, NULL);
                CHECK(verdict.remaining == limit || s == &fta_strategy_gcra);
                if (limit > 1) {
                    verdict = ask(table, s, FTA_COUNT, &hit, limit / 2, NULL);
                    CHECK(verdict.allowed);
                    CHECK(!ask(table, s, FTA_COUNT, &hit, limit, NULL).allowed);
                }
                /* Longer than any counter lives. */
                fta_clock_shift(0, (s->keeps_previous ? 2 : 1) * hit.period_us +
                                       3 * FTA_TICK_US);
                fta_shm_table_usage usage;
                fta_shm_table_usage_read(table, &usage);
                CHECK(usage.slots_used == 0);
            }
            fta_shm_table_close(table);
            fta_clock_reset();
        }
    }
}

/* Windows of a second, of a limit that leaves ticks of two seconds: each has
 * its own count, and the one before counts for what is left of it. */
static void
test_sliding_windows_that_are_shorter_than_a_tick_are_kept_apart(void)
{
    const fta_strategy *s = &fta_strategy_sliding_window_counter;
    fta_hit hit = hit_on("key", TOP, SECOND_US);
    fta_shm_table *table = open_table();
    for (int i = 0; i < 6; i++) {
        start_of_window(&hit);
        /* Of the window before, 1,000,000 have been counted, and they weigh
         * less the later it is. */
        fta_verdict verdict = ask(table, s, FTA_PEEK, &hit, 1, NULL);
        uint32_t carried = i == 0 ? 0 : 1000000;
        CHECK(TOP - verdict.remaining <= carried);
        CHECK(i == 0 || verdict.remaining < TOP);
        CHECK(ask(table, s, FTA_COUNT, &hit, 1000000, NULL).allowed);
    }
    start_of_window(&hit);
    fta_clock_shift(0, SECOND_US);
    CHECK(ask(table, s, FTA_PEEK, &hit, 1, NULL).remaining == TOP);
    fta_shm_table_close(table);
    fta_clock_reset();
}

/* However long ago a counter has ended, it is over: up to 7 years. */
static void
test_a_counter_that_has_ended_stays_over(const fta_strategy *s)
{
    static const int64_t days[] = {1, 48, 49, 365, 2000, 2500};
    for (size_t p = 0; p < COUNT_OF(periods); p++) {
        for (size_t i = 0; i < COUNT_OF(days); i++) {
            fta_hit hit = hit_on("key", TOP, periods[p] * SECOND_US);
            fta_shm_table *table = open_table();
            fta_verdict verdict = ask(table, s, FTA_COUNT, &hit, TOP, NULL);
            CHECK(verdict.allowed);
            fta_clock_shift(0, verdict.reset_after_us +
                                   days[i] * 86400 * SECOND_US);
            CHECK(ask(table, s, FTA_PEEK, &hit, 1, NULL).remaining == TOP);
            CHECK(ask(table, s, FTA_COUNT, &hit, TOP, NULL).allowed);
            fta_shm_table_close(table);
            fta_clock_reset();
        }
    }
}

/* -- Many threads and processes -------------------------------------------- */

enum { CROWD = 8, TRIES = 20, ROOM = 50 };

typedef struct crowd {
    fta_shm_table *table;
    const fta_strategy *strategy;
    fta_hit hit;
    uint32_t cost;
    atomic_int *passed;
    pthread_barrier_t *barrier;
} crowd;

static void *
try_in_crowd(void *argument)
{
    crowd *c = argument;
    pthread_barrier_wait(c->barrier);
    for (int i = 0; i < TRIES; i++) {
        atomic_fetch_add(c->passed, ask(c->table, c->strategy, FTA_COUNT,
                                        &c->hit, c->cost, NULL)
                                        .allowed);
    }
    return NULL;
}

/* 160 try at once, near the end of the limit, where there is room for 50: as
 * many pass. With gcra each one is so dear that time pays for none. */
static void
test_exactly_the_largest_limit_passes(const fta_strategy *s, bool by_processes)
{
    struct {
        pthread_barrier_t barrier;
        atomic_int passed;
    } *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t between;
    if (shared == MAP_FAILED) {
        abort();
    }
    pthread_barrierattr_init(&between);
    pthread_barrierattr_setpshared(&between, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &between, CROWD);
    fflush(NULL);
    for (int round = 0; round < 20; round++) {
        crowd c = {.table = open_table(),
                   .strategy = s,
                   .hit = hit_on("key", TOP, 86400 * SECOND_US),
                   .cost = s == &fta_strategy_gcra ? TOP / 100 : 1,
                   .passed = &shared->passed,
                   .barrier = &shared->barrier};
        start_of_window(&c.hit);
        CHECK(ask(c.table, s, FTA_COUNT, &c.hit, TOP - ROOM * c.cost, NULL)
                  .allowed);
        atomic_store(&shared->passed, 0);
        pid_t children[CROWD];
        pthread_t threads[CROWD];
        for (int i = 0; i < CROWD; i++) {
            if (by_processes && (children[i] = fork()) == 0) {
                try_in_crowd(&c);
                _exit(0);
            }
            CHECK(by_processes ||
                  pthread_create(&threads[i], NULL, try_in_crowd, &c) == 0);
        }
        for (int i = 0; i < CROWD; i++) {
            CHECK(by_processes ? waitpid(children[i], NULL, 0) == children[i]
                               : pthread_join(threads[i], NULL) == 0);
        }
        CHECK(atomic_load(&shared->passed) == ROOM);
        CHECK(!ask(c.table, s, FTA_COUNT, &c.hit, c.cost, NULL).allowed);
        fta_shm_table_close(c.table);
        fta_clock_reset();
    }
    pthread_barrier_destroy(&shared->barrier);
    pthread_barrierattr_destroy(&between);
    munmap(shared, sizeof *shared);
}

int
main(void)
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        test_every_decision_is_the_one_of_128_bits(fta_strategies[i]);
        test_the_table_counts_to_each_limit(fta_strategies[i]);
        test_a_counter_that_has_ended_stays_over(fta_strategies[i]);
        test_exactly_the_largest_limit_passes(fta_strategies[i], false);
        test_exactly_the_largest_limit_passes(fta_strategies[i], true);
    }
    test_a_fixed_window_is_a_period_long();
    test_sliding_windows_that_are_shorter_than_a_tick_are_kept_apart();
    return check_report("test_large_limits");
}
