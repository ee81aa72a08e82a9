/* The minutes of the last hour: at the borders of minutes and hours, by threads
 * that race there, and by processes that are killed. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "child.h"
#include "metrics/last_hour.h"
#include "metrics/requests.h"
#include "metrics_apps.h"

static void
answer(fta_metrics *metrics, int status, const char *reason)
{
    fta_metrics_answer given = {.status = status};
    if (reason != NULL) {
        given.reason = (fta_text){reason, strlen(reason)};
    }
    fta_metrics_count_answer(metrics, &given);
}

static void
allow(fta_metrics *metrics, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        answer(metrics, 200, NULL);
    }
}

/* The requests that were allowed so many minutes ago. */
static uint64_t
allowed(const fta_metrics *metrics, size_t ago)
{
    fta_last_hour hour;
    fta_metrics_read_last_hour(metrics, &hour);
    return hour.requests[ago][FTA_OUTCOME_ALLOWED];
}

static uint64_t
all_allowed(const fta_metrics *metrics)
{
    fta_last_hour hour;
    uint64_t all = 0;
    fta_metrics_read_last_hour(metrics, &hour);
    for (size_t ago = 0; ago < FTA_HOUR_MINUTES; ago++) {
        all += hour.requests[ago][FTA_OUTCOME_ALLOWED];
    }
    return all;
}

/* -- One process ----------------------------------------------------------- */

static void
test_a_request_is_in_the_hour_as_in_the_counters(void)
{
    static const struct {
        int status;
        const char *reason;
    } answers[] = {
        {200, NULL},  {404, NULL},      {500, NULL},
        {401, NULL},  {401, "expired"}, {403, "role_insufficient"},
        {429, NULL},  {403, "own"},     {429, "rate_limit_exceeded"},
        {200, "own"}, {503, "own"},     {429, "concurrency_limit_exceeded"},
    };
    fta_last_hour hour;
    fta_metrics *metrics = open_app("answers", true);
    begin_ten_minutes();
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        answer(metrics, answers[i].status, answers[i].reason);
    }
    fta_metrics_read_last_hour(metrics, &hour);
    for (size_t word = 0; word < FTA_OUTCOME_COUNT; word++) {
        CHECK(hour.requests[0][word] ==
              fta_metrics_read(metrics, FTA_METRIC_OF_REQUESTS, 0, word));
        CHECK(hour.requests[0][word] > 0 && hour.requests[1][word] == 0);
    }
    uint64_t reasons = 0;
    for (size_t word = 0; word < FTA_REASON_COUNT; word++) {
        CHECK(hour.reasons[word] ==
              fta_metrics_read(metrics, FTA_METRIC_OF_DENIALS, 0, word));
        reasons += hour.reasons[word];
    }
    CHECK(reasons == 8);
    close_app(metrics);
}

static void
test_without_the_option_nothing_is_counted_in_the_hour(void)
{
    const fta_metrics_options options = {.prefix = {"prefix", 6}};
    fta_metrics *metrics;
    int unshared;
    CHECK(fta_metrics_open(&options, &metrics, &unshared) == FTA_OK);
    allow(metrics, 3);
    CHECK(all_allowed(metrics) == 0);
    CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_REQUESTS, 0,
                           FTA_OUTCOME_ALLOWED) == 3);
    fta_metrics_close(metrics);
}

static void
test_a_minute_grows_older_and_ends_after_an_hour(void)
{
    fta_metrics *metrics = open_app("minutes", true);
    begin_ten_minutes();
    allow(metrics, 7);
    for (size_t ago = 0; ago < FTA_HOUR_MINUTES; ago++) {
        CHECK(allowed(metrics, ago) == 7 && all_allowed(metrics) == 7);
        fta_clock_shift(0, MINUTE);
    }
    CHECK(all_allowed(metrics) == 0);
    close_app(metrics);
}

/* The middle of a minute, and 30 seconds to either side of it. */
static void
test_a_minute_ends_where_the_next_one_begins(void)
{
    fta_metrics *metrics = open_app("border", true);
    begin_ten_minutes();
    int64_t in_minute = fta_clock_coarse_us() % MINUTE;
    fta_clock_shift(0, MINUTE - in_minute - 10000000); /* 10 s before its end */
    allow(metrics, 2);
    CHECK(allowed(metrics, 0) == 2 && allowed(metrics, 1) == 0);
    fta_clock_shift(0, 10000000);
    CHECK(allowed(metrics, 0) == 0 && allowed(metrics, 1) == 2);
    allow(metrics, 5);
    CHECK(allowed(metrics, 0) == 5 && allowed(metrics, 1) == 2);
    close_app(metrics);
}

static void
test_no_step_of_the_wall_clock_moves_a_minute(void)
{
    fta_metrics *metrics = open_app("steps", true);
    begin_ten_minutes();
    static const int hours[] = {1, -1, -24, 24 * 365, -24 * 365};
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        fta_clock_shift(hours[i] * 60 * MINUTE, 0);
        allow(metrics, 1);
        CHECK(allowed(metrics, 0) == i + 1 && all_allowed(metrics) == i + 1);
    }
    close_app(metrics);
}

/* What a model counts in an array, over many hours. */
static void
test_random_minutes_are_as_a_model_has_them(void)
{
    enum { STEPS = 4000, LAST = STEPS * 3 + 200 };
    static uint64_t model[LAST];
    uint64_t random = random_seed("test_last_hour");
    fta_metrics *metrics = open_app("model", true);
    size_t minute = 0;
    begin_ten_minutes();
    for (int step = 0; step < STEPS && minute + 100 < LAST; step++) {
        size_t times = random_next(&random) % 4;
        allow(metrics, times);
        model[minute] += times;
        size_t ago = random_next(&random) % FTA_HOUR_MINUTES;
        CHECK(allowed(metrics, ago) ==
              (ago > minute ? 0 : model[minute - ago]));
        /* Mostly one minute, sometimes more than an hour. */
        size_t gone = random_next(&random) % 50 == 0 ? random_next(&random) % 90
                                                     : random_next(&random) % 2;
        minute += gone;
        fta_clock_shift(0, (int64_t)gone * MINUTE);
    }
    CHECK(minute > 500);
    close_app(metrics);
}

static void
test_the_hour_is_kept_from_its_last_request(void)
{
    fta_metrics *metrics = open_app("kept", true);
    begin_ten_minutes();
    fta_clock_shift(0, 600 * MINUTE); /* Nobody has read for ten hours. */
    allow(metrics, 7);
    fta_metrics_close(metrics);
    fta_clock_shift(0, 59 * MINUTE);
    metrics = open_app("kept", true);
    CHECK(allowed(metrics, 59) == 7);
    close_app(metrics);
}

static void
test_who_stops_sharing_goes_on_with_an_hour_of_its_own(void)
{
    fta_metrics *one = open_app("unshared", true),
                *other = open_app("unshared", true), *alone;
    begin_ten_minutes();
    allow(one, 1);
    CHECK(fta_metrics_replace(one, &alone) == FTA_OK);
    fta_metrics_keep_open(alone, one);
    allow(alone, 5);
    CHECK(all_allowed(alone) == 5 && all_allowed(other) == 1);
    fta_metrics_close(alone);
    close_app(other);
}

/* -- Many at once ---------------------------------------------------------- */

enum { THREADS = 4, TIMES = 20000, MINUTES = 40 };

static void *
allow_many(void *metrics)
{
    allow(metrics, TIMES);
    return NULL;
}

/* The minute changes while they count: each change is a race for the first
 * count of a minute, in cells that older minutes have left. */
static void
race(fta_metrics *metrics)
{
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        CHECK(pthread_create(&threads[t], NULL, allow_many, metrics) == 0);
    }
    for (int i = 0; i < MINUTES; i++) {
        fta_clock_shift(0, MINUTE);
        pause_us(300);
    }
    for (int t = 0; t < THREADS; t++) {
        CHECK(pthread_join(threads[t], NULL) == 0);
    }
}

static void
test_threads_that_race_for_a_new_minute_lose_no_request(void)
{
    fta_metrics *metrics = open_app("threads", true);
    begin_ten_minutes();
    for (int round = 0; round < 5; round++) {
        race(metrics);
        CHECK(all_allowed(metrics) == THREADS * TIMES);
        fta_clock_shift(0, (FTA_HOUR_MINUTES + 4) * MINUTE);
        CHECK(all_allowed(metrics) == 0);
    }
    close_app(metrics);
}

/* What killed processes have begun and done. It outlives them. */
enum { WORKERS = 6, ROUNDS = 30 };
typedef struct tally {
    atomic_ullong begun, done;
} tally;

static void
allow_until_killed(tally *of_child)
{
    fta_metrics *metrics = open_app("killed", true);
    for (;;) {
        atomic_fetch_add(&of_child->begun, 1);
        allow(metrics, 1);
        atomic_fetch_add(&of_child->done, 1);
    }
}

static void
kill_a_round(tally *tallies, uint64_t *random)
{
    pid_t children[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            allow_until_killed(&tallies[i]);
        }
    }
    pause_us(1000 + (long)(random_next(random) % 5000));
    for (int i = 0; i < WORKERS; i++) {
        child_end(children[i]);
    }
}

/* Nobody leaves more than one count between what was begun and what was done,
 * and nothing of the minutes before is lost. */
static void
test_processes_that_are_killed_and_restarted_lose_no_request(void)
{
    tally *tallies =
        mmap(NULL, sizeof(tally) * WORKERS * ROUNDS, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(tallies != MAP_FAILED);
    uint64_t random = random_seed("test_last_hour"), begun = 0, done = 0;
    begin_ten_minutes();
    for (int round = 0; round < ROUNDS; round++) {
        kill_a_round(&tallies[round * WORKERS], &random);
        fta_clock_shift(0, MINUTE);
    }
    for (int i = 0; i < WORKERS * ROUNDS; i++) {
        begun += atomic_load(&tallies[i].begun);
        done += atomic_load(&tallies[i].done);
    }
    fta_metrics *metrics = open_app("killed", true);
    uint64_t counted = all_allowed(metrics);
    CHECK(done <= counted && counted <= begun);
    CHECK(begun - done <= WORKERS * ROUNDS && done > 1000);
    (void)munmap(tallies, sizeof(tally) * WORKERS * ROUNDS);
    close_app(metrics);
}

int
main(void)
{
    alarm(300);
    make_shared_directory();
    test_a_request_is_in_the_hour_as_in_the_counters();
    test_without_the_option_nothing_is_counted_in_the_hour();
    test_a_minute_grows_older_and_ends_after_an_hour();
    test_a_minute_ends_where_the_next_one_begins();
    test_no_step_of_the_wall_clock_moves_a_minute();
    test_random_minutes_are_as_a_model_has_them();
    test_the_hour_is_kept_from_its_last_request();
    test_who_stops_sharing_goes_on_with_an_hour_of_its_own();
    test_threads_that_race_for_a_new_minute_lose_no_request();
    test_processes_that_are_killed_and_restarted_lose_no_request();
    remove_shared_directory();
    return check_report("test_last_hour");
}
