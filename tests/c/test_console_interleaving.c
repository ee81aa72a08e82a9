/* The last hour and the most limited subjects, counted by processes that are
 * stopped between any two of their accesses to shared memory, also for longer
 * than an hour. Each actor (actors.h) is a process. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <stdbool.h>

static void stop_here(void);

/* The code under test, compiled here so that the scheduler gets in, with few
 * counters, so that an actor takes few steps. */
#define FTA_BETWEEN_ACCESSES() stop_here()
#define FTA_SUBJECTS 16u
#include "metrics/last_hour.c"
#include "metrics/metrics.c"
#include "metrics/most_limited.c"

#include <stdio.h>
#include <unistd.h>

#define USERS 3

#define ACTOR_FIELDS                                                           \
    size_t times;                                                              \
    uint64_t begun[USERS];                                                     \
    uint64_t counted[USERS];
#include "schedules.h"

#define SEEDS SCHEDULES(2000)
#define MINUTE (INT64_C(60) * 1000000)
#define HOURS_LATER (16 * 60 * MINUTE) /* The same slot and the same table. */

static fta_metrics *metrics;

/* -- Actors ---------------------------------------------------------------- */

static fta_uuid
uuid_of(size_t number)
{
    fta_uuid made = {{1, 2, 3}};
    made.bytes[4] = (uint8_t)number;
    made.bytes[15] = 7;
    return made;
}

static void
limit_user(size_t number)
{
    const fta_uuid tenant = uuid_of(100), user = uuid_of(number);
    fta_metrics_count_limited(metrics, &tenant, &user);
}

static void
act_limited(actor *self)
{
    for (size_t i = 0; i < self->times; i++) {
        self->begun[i % USERS]++;
        limit_user(i % USERS);
        self->counted[i % USERS]++;
    }
}

static void
act_denied(actor *self)
{
    static const size_t reason = FTA_REASON_EXPIRED;
    for (size_t i = 0; i < self->times; i++) {
        self->begun[0]++;
        fta_metrics_count_in_hour(metrics, FTA_OUTCOME_DENIED, &reason);
        self->counted[0]++;
    }
}

static actor *
add_with(void (*act)(actor *), size_t times)
{
    actor *made = add_actor(act);
    made->times = times;
    return made;
}

/* -- What is shown --------------------------------------------------------- */

/* It finds whole subjects that were counted, and no others. */
static void
read_users(uint64_t shown[USERS])
{
    const fta_uuid tenant = uuid_of(100);
    fta_most_limited read;
    memset(shown, 0, USERS * sizeof *shown);
    CHECK(fta_metrics_read_most_limited(metrics, &read) == FTA_OK);
    for (size_t i = 0; i < read.user_count; i++) {
        size_t number = read.users[i].user.bytes[4];
        const fta_uuid expected = uuid_of(number);
        CHECK(number < USERS && shown[number] == 0);
        CHECK(fta_uuid_equal(&read.users[i].user, &expected));
        CHECK(fta_uuid_equal(&read.users[i].tenant, &tenant));
        shown[number] = read.users[i].count;
    }
    CHECK(read.tenant_count <= 1);
}

static uint64_t
denied(void)
{
    fta_last_hour hour;
    uint64_t all = 0;
    fta_metrics_read_last_hour(metrics, &hour);
    for (size_t ago = 0; ago < FTA_HOUR_MINUTES; ago++) {
        all += hour.requests[ago][FTA_OUTCOME_DENIED];
    }
    return all;
}

static uint64_t
expired(void)
{
    fta_last_hour hour;
    fta_metrics_read_last_hour(metrics, &hour);
    return hour.reasons[FTA_REASON_EXPIRED];
}

/* An hour without a count, in the middle of the first minute of a window. */
static void
start_over(void)
{
    int64_t now = fta_clock_coarse_us(), ten = 10 * MINUTE;
    fta_clock_shift(0, 70 * MINUTE + ten - now % ten + MINUTE / 2);
    actor_count = 0;
    CHECK(denied() == 0 && expired() == 0);
}

static void
run(uint64_t seed, bool with_kills)
{
    if (seed % 2 == 0 || with_kills) {
        run_randomly(seed, with_kills);
    } else {
        run_by_priority(seed);
    }
}

static uint64_t
sum_counted(size_t from, size_t user)
{
    uint64_t all = 0;
    for (size_t i = from; i < actor_count; i++) {
        all += actors[i].counted[user];
    }
    return all;
}

/* -- Minutes --------------------------------------------------------------- */

static void
test_all_requests_of_a_new_minute_are_counted(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_with(act_denied, 3);
        }
        run(seed, false);
        CHECK(denied() == 12 && expired() == 12);
    }
}

static void
test_a_killed_process_has_counted_or_has_not(void)
{
    uint64_t between = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_with(act_denied, 20);
        }
        run(seed, true);
        uint64_t done = sum_counted(0, 0), begun = 0;
        for (size_t i = 0; i < actor_count; i++) {
            begun += actors[i].begun[0];
        }
        CHECK(done <= denied() && denied() <= begun);
        CHECK(done <= expired() && expired() <= denied());
        between += begun - done;
    }
    CHECK(between > 0); /* It came about. */
}

/* One that sleeps for hours between two accesses, and then goes on, adds
 * nothing to the minute that its slot has now. */
static void
test_who_sleeps_for_hours_counts_in_no_later_minute(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 2; i++) {
            run_steps(add_with(act_denied, 1),
                      1 + (int)(seed + (uint64_t)i) % 4);
        }
        fta_clock_shift(0, HOURS_LATER);
        for (int i = 0; i < 2; i++) {
            finish(add_with(act_denied, 2));
        }
        run(seed, false);
        CHECK(denied() == 4 && expired() == 4);
    }
}

/* -- Subjects -------------------------------------------------------------- */

static void
test_all_limited_requests_of_a_new_window_are_counted(void)
{
    uint64_t shown[USERS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_with(act_limited, USERS);
        }
        run(seed, false);
        read_users(shown);
        for (size_t user = 0; user < USERS; user++) {
            CHECK(shown[user] == 4);
        }
    }
}

/* Somebody reads after each few steps of the others. */
static void
test_a_reader_sees_whole_subjects_or_none(void)
{
    uint64_t shown[USERS], seen = 0;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        start_over();
        for (int i = 0; i < 3; i++) {
            add_with(act_limited, USERS);
        }
        uint64_t random = seed;
        for (int turn = 0; turn < 100; turn++) {
            run_steps(&actors[next_random(&random) % 3],
                      (int)(next_random(&random) % 12));
            read_users(shown);
            for (size_t user = 0; user < USERS; user++) {
                CHECK(shown[user] <= 3);
                seen += shown[user] > 0;
            }
        }
        run(seed, false);
    }
    CHECK(seen > 0);
}

static void
test_a_subject_outlives_the_process_that_is_killed_while_it_counts(void)
{
    uint64_t shown[USERS], between = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_with(act_limited, 2 * USERS);
        }
        run(seed, true);
        read_users(shown);
        /* It waits for no killed process, and completes their names. */
        finish(add_with(act_limited, USERS));
        read_users(shown);
        for (size_t user = 0; user < USERS; user++) {
            uint64_t begun = 0, done = sum_counted(0, user);
            for (size_t i = 0; i < actor_count; i++) {
                begun += actors[i].begun[user];
            }
            CHECK(done <= shown[user] && shown[user] <= begun);
            between += begun - done;
        }
    }
    CHECK(between > 0);
}

/* As for minutes: what it counts is of no subject that is shown, whatever it
 * was about to do: to empty the table, to count, or to write a name. */
static void
test_who_sleeps_for_hours_counts_for_no_subject_of_a_later_window(void)
{
    uint64_t shown[USERS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        uint64_t random = seed + 1;
        (void)next_random(&random);
        for (int i = 0; i < 2; i++) {
            run_steps(add_with(act_limited, 1),
                      1 + (int)(next_random(&random) % 220));
        }
        /* 60 minutes, or many hours: the same tables. */
        fta_clock_shift(0, seed % 2 == 0 ? 60 * MINUTE : HOURS_LATER);
        for (int i = 0; i < 2; i++) {
            add_with(act_limited, USERS);
        }
        run(seed, false);
        finish(add_with(act_limited, USERS)); /* It completes the names. */
        read_users(shown);
        for (size_t user = 0; user < USERS; user++) {
            CHECK(shown[user] == 3);
        }
    }
}

/* -- The control ----------------------------------------------------------- */

/* Looks at a cell and adds to it, with nothing in between that sees others. */
static void
act_without_a_swap(actor *self)
{
    fta_metric_cell *cell = &metrics->memory->hour.reasons[0][0];
    uint64_t known = atomic_load(cell);
    stop_here();
    atomic_store(cell, known + 1);
    self->counted[0]++;
}

static void
test_control_the_schedules_find_a_race(void)
{
    bool raced = false;
    for (uint64_t seed = 0; seed < SEEDS && !raced; seed++) {
        start_over();
        atomic_store(&metrics->memory->hour.reasons[0][0], 0);
        for (int i = 0; i < 3; i++) {
            add_actor(act_without_a_swap);
        }
        run(seed, false);
        raced = atomic_load(&metrics->memory->hour.reasons[0][0]) < 3;
    }
    CHECK(raced);
}

int
main(void)
{
    const fta_metrics_options options = {.prefix = {"p", 1}, .console = true};
    int unshared;
    alarm(300); /* Whoever spins outside of an actor is ended. */
    actors_begin();
    CHECK(fta_metrics_open(&options, &metrics, &unshared) == FTA_OK);
    test_all_requests_of_a_new_minute_are_counted();
    test_a_killed_process_has_counted_or_has_not();
    test_who_sleeps_for_hours_counts_in_no_later_minute();
    test_all_limited_requests_of_a_new_window_are_counted();
    test_a_reader_sees_whole_subjects_or_none();
    test_a_subject_outlives_the_process_that_is_killed_while_it_counts();
    test_who_sleeps_for_hours_counts_for_no_subject_of_a_later_window();
    test_control_the_schedules_find_a_race();
    fta_metrics_close(metrics);
    actors_end();
    return check_report("test_console_interleaving");
}
