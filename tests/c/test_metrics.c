#include "metrics/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "child.h"
#include "failing_alloc.h"
#include "metrics/requests.h"
#include "metrics_apps.h"

static uint64_t
requests(const fta_metrics *metrics, size_t outcome)
{
    return fta_metrics_read(metrics, FTA_METRIC_OF_REQUESTS, 0, outcome);
}

static uint64_t
observed(const fta_metrics *metrics, fta_metric metric)
{
    fta_metrics_durations read;
    uint64_t all = 0;
    fta_metrics_read_durations(metrics, metric, &read);
    for (size_t i = 0; i < FTA_BUCKETS; i++) {
        all += read.buckets[i];
    }
    return all;
}

/* -- One process ----------------------------------------------------------- */

static void
test_a_counter_has_what_was_added(void)
{
    fta_metrics *metrics = open_app("counter", true);
    for (size_t word = 0; word < FTA_OUTCOME_COUNT; word++) {
        fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, word, word + 1);
    }
    for (size_t word = 0; word < FTA_OUTCOME_COUNT; word++) {
        CHECK(requests(metrics, word) == word + 1);
    }
    CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_DENIALS, 0, 0) == 0);
    fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, 0, UINT64_C(1) << 60);
    CHECK(requests(metrics, 0) == (UINT64_C(1) << 60) + 1);
    close_app(metrics);
}

/* A duration that is a bound belongs to it ("le": less or equal). */
static void
test_a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed(void)
{
    fta_metrics *metrics = open_app("histogram", true);
    const fta_metric metric = FTA_METRIC_OF_VERIFICATION;
    fta_metrics_durations read;
    uint64_t sum = 0;
    for (size_t i = 0; i < FTA_BUCKETS - 1; i++) {
        fta_metrics_observe(metrics, metric, fta_metric_bounds[i]);
        fta_metrics_observe(metrics, metric, fta_metric_bounds[i] + 1);
        sum += 2 * fta_metric_bounds[i] + 1;
    }
    fta_metrics_observe(metrics, metric, 0);
    fta_metrics_read_durations(metrics, metric, &read);
    CHECK(read.buckets[0] == 2 && read.buckets[FTA_BUCKETS - 1] == 1);
    for (size_t i = 1; i < FTA_BUCKETS - 1; i++) {
        CHECK(read.buckets[i] == 2);
        CHECK(fta_metric_bounds[i] > fta_metric_bounds[i - 1]);
    }
    CHECK(read.nanoseconds == sum);
    CHECK(observed(metrics, FTA_METRIC_OF_ROUND_TRIP) == 0);
    close_app(metrics);
}

static void
test_no_two_metrics_share_a_cell(void)
{
    fta_metrics *metrics = open_app("cells", true);
    uint64_t n = 0;
    for (fta_metric metric = 0; metric < FTA_METRIC_COUNT; metric++) {
        fta_metric_about about = fta_metric_read_about(metric);
        for (size_t place = 0; about.kind == FTA_METRIC_COUNTER &&
                               place < fta_metrics_places(metric);
             place++) {
            for (size_t word = 0; word < about.word_count; word++) {
                fta_metrics_add_named(metrics, metric, place, word);
                n++;
                CHECK(fta_metrics_read(metrics, metric, place, word) == 1);
            }
        }
    }
    CHECK(n > 700);
    CHECK(observed(metrics, FTA_METRIC_OF_VERIFICATION) == 0);
    CHECK(observed(metrics, FTA_METRIC_OF_ROUND_TRIP) == 0);
    close_app(metrics);
}

/* -- Names ----------------------------------------------------------------- */

static fta_metrics_place
name(fta_metrics *metrics, const char *rate, const char *per, const char *scope)
{
    const fta_text texts[FTA_GROUP_LABELS] = {
        {rate, strlen(rate)}, {per, strlen(per)}, {scope, strlen(scope)}};
    return fta_metrics_name(metrics, FTA_GROUP_LIMIT, texts);
}

static bool
is_named(const fta_metrics *metrics, fta_metrics_place place, const char *rate,
         const char *per, const char *scope)
{
    fta_metrics_name_text read;
    const fta_text expected[] = {
        {rate, strlen(rate)}, {per, strlen(per)}, {scope, strlen(scope)}};
    bool same = fta_metrics_read_name(metrics, FTA_GROUP_LIMIT, place, &read);
    for (size_t i = 0; i < FTA_GROUP_LABELS && same; i++) {
        same = fta_text_equal(read.texts[i], expected[i]);
    }
    return same;
}

static void
test_a_name_has_one_place_and_its_texts(void)
{
    fta_metrics *metrics = open_app("names", true);
    fta_metrics *other = open_app("names", true);
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    fta_metrics_place a = name(metrics, "1 per 1 day", "user", "view");
    fta_metrics_place b = name(metrics, "1 per 1 day", "user", "a\x1F\x1Fz");
    fta_metrics_place c = name(metrics, "1 per 1 day", "user", longest);
    CHECK(a != b && a != c && b != c);
    CHECK(name(other, "1 per 1 day", "user", "view") == a);
    CHECK(name(other, "1 per 1 day", "user", longest) == c);
    CHECK(is_named(other, a, "1 per 1 day", "user", "view"));
    CHECK(is_named(other, b, "1 per 1 day", "user", "a\x1F\x1Fz"));
    CHECK(is_named(other, c, "1 per 1 day", "user", longest));
    fta_metrics_name_text read;
    size_t named = 0;
    for (fta_metrics_place i = 0; i < 256; i++) {
        named += fta_metrics_read_name(metrics, FTA_GROUP_LIMIT, i, &read);
    }
    CHECK(named == 3);
    fta_metrics_close(other);
    close_app(metrics);
}

static void
test_names_beyond_the_room_are_counted_together(void)
{
    fta_metrics *metrics = open_app("many names", true);
    const size_t most = fta_metric_group_about(FTA_GROUP_LIMIT).names;
    bool seen[256] = {false};
    CHECK(most == 256);
    for (size_t i = 0; i < most + 50; i++) {
        char scope[32];
        (void)snprintf(scope, sizeof scope, "view %zu", i);
        fta_metrics_place place = name(metrics, "1/s", "user", scope);
        if (i < most) {
            CHECK(place < most && !seen[place]);
            seen[place] = true;
        } else {
            CHECK(place == most);
        }
        fta_metrics_add_named(metrics, FTA_METRIC_OF_DECISIONS, place,
                              FTA_VERDICT_LIMITED);
        CHECK(name(metrics, "1/s", "user", scope) == place);
    }
    CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_DECISIONS, most,
                           FTA_VERDICT_LIMITED) == 50);
    CHECK(is_named(metrics, most, "other", "other", "other"));
    close_app(metrics);
}

/* -- Requests -------------------------------------------------------------- */

static void
test_a_request_is_counted_by_its_answer(void)
{
    static const struct {
        int status;
        const char *reason;
        size_t outcome;
        size_t counted_as; /* FTA_REASON_COUNT: no reason. */
    } cases[] = {
        {200, NULL, FTA_OUTCOME_ALLOWED, FTA_REASON_COUNT},
        {302, NULL, FTA_OUTCOME_ALLOWED, FTA_REASON_COUNT},
        {404, NULL, FTA_OUTCOME_ALLOWED, FTA_REASON_COUNT},
        {500, NULL, FTA_OUTCOME_FAILED, FTA_REASON_COUNT},
        {503, NULL, FTA_OUTCOME_FAILED, FTA_REASON_COUNT},
        {401, NULL, FTA_OUTCOME_DENIED, FTA_REASON_ANSWERED_BY_APP},
        {403, NULL, FTA_OUTCOME_DENIED, FTA_REASON_ANSWERED_BY_APP},
        {429, NULL, FTA_OUTCOME_LIMITED, FTA_REASON_ANSWERED_BY_APP},
        {401, "expired", FTA_OUTCOME_DENIED, FTA_REASON_EXPIRED},
        {403, "role_insufficient", FTA_OUTCOME_DENIED,
         FTA_REASON_ROLE_INSUFFICIENT},
        {503, "keys_unavailable", FTA_OUTCOME_DENIED,
         FTA_REASON_KEYS_UNAVAILABLE},
        {429, "rate_limit_exceeded", FTA_OUTCOME_LIMITED,
         FTA_REASON_RATE_LIMIT_EXCEEDED},
        {429, "concurrency_limit_exceeded", FTA_OUTCOME_LIMITED,
         FTA_REASON_CONCURRENCY_LIMIT_EXCEEDED},
        {403, "plan_too_small", FTA_OUTCOME_DENIED, FTA_REASON_OTHER},
        {403, "", FTA_OUTCOME_DENIED, FTA_REASON_OTHER},
        {403, "EXPIRED", FTA_OUTCOME_DENIED, FTA_REASON_OTHER},
        {403, "expire", FTA_OUTCOME_DENIED, FTA_REASON_OTHER},
        {403, "expiredx", FTA_OUTCOME_DENIED, FTA_REASON_OTHER},
        /* An error handler of the app has answered something else. */
        {200, "expired", FTA_OUTCOME_ALLOWED, FTA_REASON_COUNT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fta_metrics *metrics = open_app("answers", true);
        fta_metrics_answer answer = {.status = cases[i].status};
        if (cases[i].reason != NULL) {
            answer.reason =
                (fta_text){cases[i].reason, strlen(cases[i].reason)};
        }
        fta_metrics_count_answer(metrics, &answer);
        for (size_t word = 0; word < FTA_OUTCOME_COUNT; word++) {
            CHECK(requests(metrics, word) == (word == cases[i].outcome));
        }
        for (size_t word = 0; word < FTA_REASON_COUNT; word++) {
            CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_DENIALS, 0, word) ==
                  (word == cases[i].counted_as));
        }
        close_app(metrics);
    }
}

static void
test_only_tenants_that_are_listed_have_a_series(void)
{
    enum { LISTED = FTA_METRICS_TENANTS };
    fta_uuid ids[2 * LISTED];
    for (size_t i = 0; i < 2 * LISTED; i++) {
        memset(&ids[i], (int)(i * 37), sizeof ids[i]);
    }
    const fta_metrics_options options = {.app = {"tenants", 7},
                                         .prefix = {"prefix", 6},
                                         .shared = true,
                                         .directory = shared_directory,
                                         .tenants = ids,
                                         .tenant_count = LISTED};
    fta_metrics *metrics;
    int unshared;
    CHECK(fta_metrics_open(&options, &metrics, &unshared) == FTA_OK);
    for (size_t i = 0; i < 2 * LISTED; i++) {
        const fta_metrics_answer answer = {.status = 200, .tenant = &ids[i]};
        fta_metrics_count_answer(metrics, &answer);
    }
    fta_metrics_count_answer(metrics, &(fta_metrics_answer){.status = 200});
    size_t series = 0;
    const size_t other = fta_metrics_places(FTA_METRIC_OF_TENANT_REQUESTS) - 1;
    for (size_t place = 0; place <= other; place++) {
        uint64_t counted = fta_metrics_read(
            metrics, FTA_METRIC_OF_TENANT_REQUESTS, place, FTA_OUTCOME_ALLOWED);
        series += counted != 0;
        CHECK(counted <= 1 || place == other);
    }
    CHECK(series == LISTED + 1);
    CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_TENANT_REQUESTS, other,
                           FTA_OUTCOME_ALLOWED) == LISTED);
    CHECK(requests(metrics, FTA_OUTCOME_ALLOWED) == 2 * LISTED + 1);
    close_app(metrics);
}

static uint64_t
decided(const fta_metrics *metrics, const char *rate, const char *scope,
        size_t verdict)
{
    fta_metrics_name_text read;
    for (size_t i = 0; i < 256; i++) {
        if (fta_metrics_read_name(metrics, FTA_GROUP_LIMIT, i, &read) &&
            is_named(metrics, i, rate, "user", scope)) {
            return fta_metrics_read(metrics, FTA_METRIC_OF_DECISIONS, i,
                                    verdict);
        }
    }
    return UINT64_MAX;
}

static void
test_a_decision_is_counted_for_the_limits_that_it_is_of(void)
{
    fta_metrics *metrics = open_app("decisions", true);
    const fta_limit minute = {{50, 60}, 1, FTA_PER_USER, {"view", 4}};
    const fta_limit hour = {{90, 3600}, 1, FTA_PER_USER, {"view", 4}};
    const fta_limit *const limits[] = {&minute, &hour};
    fta_limiter_request request = {FTA_COUNT, limits, 2, NULL};
    fta_limiter_answer answer = {.verdict = {.allowed = true},
                                 .store = "redis"};
    fta_metrics_count_decision(metrics, &request, &answer);
    answer = (fta_limiter_answer){.verdict = {.index = 1}, .store = "memory"};
    fta_metrics_count_decision(metrics, &request, &answer);
    answer.store = NULL;
    fta_metrics_count_decision(metrics, &request, &answer);
    request.action = FTA_PEEK;
    fta_metrics_count_decision(metrics, &request, &answer);
    request = (fta_limiter_request){FTA_COUNT, limits, 0, NULL};
    fta_metrics_count_decision(metrics, &request, &answer);

    const char *of_minute = "50 per 1 minute", *of_hour = "90 per 1 hour";
    CHECK(decided(metrics, of_minute, "view", FTA_VERDICT_ALLOWED) == 1);
    CHECK(decided(metrics, of_hour, "view", FTA_VERDICT_ALLOWED) == 1);
    CHECK(decided(metrics, of_minute, "view", FTA_VERDICT_LIMITED) == 0);
    CHECK(decided(metrics, of_hour, "view", FTA_VERDICT_LIMITED) == 2);
    for (size_t store = 0; store < FTA_STORE_COUNT; store++) {
        CHECK(fta_metrics_read(metrics, FTA_METRIC_OF_CHECKS, 0, store) == 1);
    }
    close_app(metrics);
}

/* -- Processes ------------------------------------------------------------- */

static void *
count_many(void *argument)
{
    fta_metrics *metrics = argument;
    for (int i = 0; i < 20000; i++) {
        fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, FTA_OUTCOME_ALLOWED,
                        1);
        fta_metrics_observe(metrics, FTA_METRIC_OF_VERIFICATION, 3000);
    }
    return NULL;
}

static void
test_threads_of_processes_lose_no_count(void)
{
    enum { CHILDREN = 4, THREADS = 3 };
    fta_metrics *metrics = open_app("threads", true);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            pthread_t threads[THREADS];
            /* Half of them find the segment by themselves. */
            fta_metrics *own = i % 2 == 0 ? metrics : open_app("threads", true);
            for (int t = 0; t < THREADS; t++) {
                CHECK(pthread_create(&threads[t], NULL, count_many, own) == 0);
            }
            for (int t = 0; t < THREADS; t++) {
                CHECK(pthread_join(threads[t], NULL) == 0);
            }
            child_leave(atomic_load(&checks_failed) == 0);
        }
    }
    uint64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = requests(metrics, FTA_OUTCOME_ALLOWED);
        CHECK(now >= before); /* A reader never sees less than before. */
        before = now;
    }
    for (int i = 0; i < CHILDREN; i++) {
        CHECK(child_was_good(children[i]));
    }
    CHECK(requests(metrics, FTA_OUTCOME_ALLOWED) == CHILDREN * THREADS * 20000);
    CHECK(observed(metrics, FTA_METRIC_OF_VERIFICATION) ==
          CHILDREN * THREADS * 20000);
    close_app(metrics);
}

/* What the children of the next test have begun and done. It outlives them. */
enum { WORKERS = 6, KINDS = 4, NAMES = 12 };
typedef struct tally {
    atomic_ullong begun[KINDS][NAMES];
    atomic_ullong done[KINDS][NAMES];
} tally;

static void
count_one(fta_metrics *metrics, size_t kind, size_t which)
{
    char scope[16];
    switch (kind) {
    case 0:
        fta_metrics_add(metrics, FTA_METRIC_OF_DENIALS, which, 1);
        break;
    case 1:
        fta_metrics_observe(metrics, FTA_METRIC_OF_ROUND_TRIP,
                            fta_metric_bounds[which]);
        break;
    case 2:
        (void)snprintf(scope, sizeof scope, "random %zu", which);
        fta_metrics_add_named(metrics, FTA_METRIC_OF_DECISIONS,
                              name(metrics, "7/s", "user", scope), 0);
        break;
    default:
        fta_metrics_add(metrics, FTA_METRIC_OF_SESSIONS,
                        which % FTA_SESSION_COUNT, 1);
    }
}

static void
work(tally *of_child, uint64_t seed, int operations)
{
    fta_metrics *metrics = open_app("random", true);
    for (int i = 0; i < operations; i++) {
        size_t kind = random_next(&seed) % KINDS,
               which = random_next(&seed) % NAMES;
        atomic_fetch_add(&of_child->begun[kind][which], 1);
        count_one(metrics, kind, which);
        atomic_fetch_add(&of_child->done[kind][which], 1);
    }
}

static uint64_t
counted(const fta_metrics *metrics, size_t kind, size_t which)
{
    char scope[16];
    fta_metrics_durations read;
    switch (kind) {
    case 0:
        return fta_metrics_read(metrics, FTA_METRIC_OF_DENIALS, 0, which);
    case 1:
        fta_metrics_read_durations(metrics, FTA_METRIC_OF_ROUND_TRIP, &read);
        return read.buckets[which];
    default:
        (void)snprintf(scope, sizeof scope, "random %zu", which);
        return decided(metrics, "7/s", scope, FTA_VERDICT_ALLOWED);
    }
}

/* Each value is at least what was done and at most what was begun, and nobody
 * leaves more than one count between the two. */
static void
test_random_workers_that_are_killed_and_restarted_count_exactly(void)
{
    enum { ROUNDS = 40 };
    tally *tallies =
        mmap(NULL, sizeof(tally) * WORKERS * ROUNDS, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(tallies != MAP_FAILED);
    uint64_t random = random_seed("test_metrics");
    long killed = 0, left_between = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[WORKERS];
        bool is_killed[WORKERS];
        for (int i = 0; i < WORKERS; i++) {
            uint64_t seed = random_next(&random) | 1;
            is_killed[i] = random_next(&random) % 2 == 0;
            int operations = is_killed[i] ? INT32_MAX : 500;
            children[i] = fork();
            if (children[i] == 0) {
                work(&tallies[round * WORKERS + i], seed, operations);
                child_leave(true);
            }
        }
        pause_us(1000 + (long)(random_next(&random) % 4000));
        for (int i = 0; i < WORKERS; i++) {
            if (is_killed[i]) {
                CHECK(kill(children[i], SIGKILL) == 0);
                killed++;
            }
            CHECK(child_was_good(children[i]));
        }
    }
    fta_metrics *metrics = open_app("random", true);
    uint64_t all = 0;
    for (size_t kind = 0; kind < KINDS - 1; kind++) {
        for (size_t which = 0; which < NAMES; which++) {
            uint64_t begun = 0, done = 0;
            for (int i = 0; i < WORKERS * ROUNDS; i++) {
                begun += atomic_load(&tallies[i].begun[kind][which]);
                done += atomic_load(&tallies[i].done[kind][which]);
            }
            uint64_t value = counted(metrics, kind, which);
            value = done == 0 && value == UINT64_MAX ? 0 : value;
            CHECK(done <= value && value <= begun);
            left_between += (long)(begun - done);
            all += value;
        }
    }
    CHECK(left_between <= killed && killed > 0 && all > 1000);
    (void)munmap(tallies, sizeof(tally) * WORKERS * ROUNDS);
    close_app(metrics);
}

static void
test_counters_outlive_all_processes_for_an_hour(void)
{
    fta_metrics *metrics = open_app("restart", true);
    fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, 0, 7);
    fta_metrics_close(metrics);
    fta_clock_shift(0, INT64_C(3500) * 1000000);
    metrics = open_app("restart", true);
    CHECK(requests(metrics, 0) == 7);
    fta_metrics_close(metrics);
    fta_clock_shift(0, INT64_C(3700) * 1000000);
    metrics = open_app("restart", true);
    CHECK(requests(metrics, 0) == 0);
    close_app(metrics);
}

static void
say_that_redis_is_away(void *metrics)
{
    fta_metrics_say(metrics, FTA_METRIC_OF_REDIS_AWAY, true);
}

static void
test_what_a_process_says_ends_with_it(void)
{
    fta_metrics *metrics = open_app("processes", true);
    const fta_metric metric = FTA_METRIC_OF_REDIS_AWAY;
    CHECK(fta_metrics_read_processes(metrics, metric) == 0);
    fta_metrics_say(metrics, metric, false);
    CHECK(fta_metrics_read_processes(metrics, metric) == 0);
    fta_metrics_say(metrics, metric, true);
    fta_metrics_say(metrics, metric, true);
    CHECK(fta_metrics_read_processes(metrics, metric) == 1);
    CHECK(fta_metrics_read_processes(metrics, FTA_METRIC_OF_PROCESSES) == 0);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = child_start(say_that_redis_is_away, metrics);
    }
    CHECK(fta_metrics_read_processes(metrics, metric) == 4);
    for (int i = 0; i < 3; i++) {
        child_end(children[i]);
        CHECK(fta_metrics_read_processes(metrics, metric) == 3 - i);
    }
    fta_metrics_say(metrics, metric, false);
    CHECK(fta_metrics_read_processes(metrics, metric) == 0);
    close_app(metrics);
}

static void
test_an_age_is_that_of_the_latest_event(void)
{
    fta_metrics *metrics = open_app("ages", true);
    const fta_text texts[FTA_GROUP_LABELS] = {{"https://a", 9}};
    fta_metrics_place place =
        fta_metrics_name(metrics, FTA_GROUP_SOURCE, texts);
    CHECK(fta_metrics_read_time(metrics, FTA_METRIC_OF_KEY_AGE, place) == -1);
    fta_metrics_touch(metrics, FTA_METRIC_OF_KEY_AGE, place);
    fta_clock_shift(0, 5000000);
    int64_t age = fta_metrics_read_time(metrics, FTA_METRIC_OF_KEY_AGE, place);
    CHECK(age >= 5000000);
    fta_metrics_touch(metrics, FTA_METRIC_OF_KEY_AGE, place);
    CHECK(fta_metrics_read_time(metrics, FTA_METRIC_OF_KEY_AGE, place) < age);
    close_app(metrics);
}

/* -- Memory ---------------------------------------------------------------- */

static void
test_apps_count_apart(void)
{
    fta_metrics *one = open_app("one", true), *other = open_app("two", true);
    fta_metrics_add(one, FTA_METRIC_OF_REQUESTS, 0, 1);
    CHECK(requests(one, 0) == 1 && requests(other, 0) == 0);
    close_app(one);
    close_app(other);
}

static void
test_counters_that_are_not_shared_are_those_of_a_process_and_its_children(void)
{
    fta_metrics *one = open_app("alone", false),
                *other = open_app("alone", false);
    CHECK(fta_metrics_path(one) == NULL);
    pid_t child = fork();
    if (child == 0) {
        fta_metrics_add(one, FTA_METRIC_OF_REQUESTS, 0, 2);
        child_leave(true);
    }
    CHECK(child_was_good(child));
    CHECK(requests(one, 0) == 2 && requests(other, 0) == 0);
    fta_metrics_say(one, FTA_METRIC_OF_PROCESSES, true);
    CHECK(fta_metrics_read_processes(one, FTA_METRIC_OF_PROCESSES) == 1);
    fta_metrics_close(one);
    fta_metrics_close(other);
}

static void
test_who_stops_sharing_begins_anew(void)
{
    fta_metrics *one = open_app("unshared", true),
                *other = open_app("unshared", true), *alone;
    fta_metrics_add(one, FTA_METRIC_OF_REQUESTS, 0, 1);
    CHECK(fta_metrics_replace(one, &alone) == FTA_OK);
    fta_metrics_keep_open(alone, one);
    CHECK(fta_metrics_path(alone) == NULL && requests(alone, 0) == 0);
    fta_metrics_add(alone, FTA_METRIC_OF_REQUESTS, 0, 5);
    fta_metrics_say(alone, FTA_METRIC_OF_PROCESSES, true);
    /* By a thread that has found it before. */
    fta_metrics_add(one, FTA_METRIC_OF_REQUESTS, 0, 1);
    CHECK(requests(other, 0) == 2 && requests(alone, 0) == 5);
    fta_metrics_close(alone);
    close_app(other);
}

static void
test_without_shared_memory_the_reason_is_told(void)
{
    const fta_metrics_options options = {.app = {"", 0},
                                         .prefix = {"p", 1},
                                         .shared = true,
                                         .directory = "/dev/null/none"};
    fta_metrics *metrics;
    int unshared;
    CHECK(fta_metrics_open(&options, &metrics, &unshared) == FTA_OK);
    CHECK(unshared != 0 && fta_metrics_path(metrics) == NULL);
    fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, 0, 1);
    CHECK(requests(metrics, 0) == 1);
    fta_metrics_close(metrics);
}

static void
test_each_allocation_may_fail(void)
{
    for (int shared = 0; shared < 2; shared++) {
        for (long n = 0;; n++) {
            const fta_metrics_options options = {.app = {"memory", 6},
                                                 .prefix = {"prefix", 6},
                                                 .shared = shared != 0,
                                                 .directory = shared_directory};
            fta_metrics *metrics = NULL;
            int unshared;
            failing_alloc_start(n);
            fta_status status = fta_metrics_open(&options, &metrics, &unshared);
            bool failed = failing_alloc_stop();
            CHECK((status == FTA_OK) == (metrics != NULL));
            fta_metrics_close(metrics);
            if (!failed) {
                break;
            }
            CHECK(status == FTA_NO_MEMORY);
        }
    }
    close_app(open_app("memory", true));
}

int
main(void)
{
    alarm(300);
    make_shared_directory();
    test_a_counter_has_what_was_added();
    test_a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed();
    test_no_two_metrics_share_a_cell();
    test_a_name_has_one_place_and_its_texts();
    test_names_beyond_the_room_are_counted_together();
    test_a_request_is_counted_by_its_answer();
    test_only_tenants_that_are_listed_have_a_series();
    test_a_decision_is_counted_for_the_limits_that_it_is_of();
    test_threads_of_processes_lose_no_count();
    test_random_workers_that_are_killed_and_restarted_count_exactly();
    test_counters_outlive_all_processes_for_an_hour();
    test_what_a_process_says_ends_with_it();
    test_an_age_is_that_of_the_latest_event();
    test_apps_count_apart();
    test_counters_that_are_not_shared_are_those_of_a_process_and_its_children();
    test_who_stops_sharing_begins_anew();
    test_without_shared_memory_the_reason_is_told();
    test_each_allocation_may_fail();
    remove_shared_directory();
    return check_report("test_metrics");
}
