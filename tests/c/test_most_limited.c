/* The most limited subjects: compared with exact counts, over windows, by
 * threads, and by processes that are stopped and killed. */
#include <pthread.h>
#include <sys/mman.h>

#include "child.h"
#include "failing_alloc.h"
#include "metrics/metrics_internal.h"
#include "metrics/requests.h"
#include "metrics_apps.h"

static fta_uuid
uuid_of(size_t number)
{
    fta_uuid made = {{0}};
    memcpy(made.bytes, &number, sizeof number);
    made.bytes[15] = 1;
    return made;
}

static size_t
number_of(const fta_uuid *id)
{
    size_t number;
    memcpy(&number, id->bytes, sizeof number);
    const fta_uuid expected = uuid_of(number);
    CHECK(fta_uuid_equal(id, &expected));
    return number;
}

/* Users of one tenant, but for those that a test gives. */
static void
limit_user(fta_metrics *metrics, size_t number)
{
    const fta_uuid tenant = uuid_of(0), user = uuid_of(number);
    fta_metrics_count_limited(metrics, &tenant, &user);
}

static fta_most_limited
read_all(const fta_metrics *metrics)
{
    fta_most_limited read;
    CHECK(fta_metrics_read_most_limited(metrics, &read) == FTA_OK);
    return read;
}

/* 0: it is not among the most limited. */
static uint64_t
shown(const fta_metrics *metrics, size_t number)
{
    const fta_most_limited read = read_all(metrics);
    uint64_t count = 0;
    for (size_t i = 0; i < read.user_count; i++) {
        if (number_of(&read.users[i].user) == number) {
            CHECK(count == 0); /* It stands there once. */
            count = read.users[i].count;
        }
    }
    return count;
}

/* -- One process ----------------------------------------------------------- */

static void
test_up_to_so_many_subjects_are_counted_exactly(void)
{
    fta_metrics *metrics = open_app("exact", true);
    begin_ten_minutes();
    for (size_t user = 0; user < FTA_SUBJECTS; user++) {
        for (size_t i = 0; i <= user; i++) {
            limit_user(metrics, user);
        }
    }
    const fta_most_limited read = read_all(metrics);
    CHECK(read.user_count == FTA_MOST_LIMITED && read.tenant_count == 1);
    for (size_t i = 0; i < read.user_count; i++) {
        CHECK(number_of(&read.users[i].user) == FTA_SUBJECTS - 1 - i);
        CHECK(read.users[i].count == FTA_SUBJECTS - i);
    }
    CHECK(read.tenants[0].count == FTA_SUBJECTS * (FTA_SUBJECTS + 1) / 2);
    close_app(metrics);
}

static void
test_a_tenant_has_the_requests_of_all_its_users(void)
{
    fta_metrics *metrics = open_app("tenants", true);
    begin_ten_minutes();
    for (size_t i = 0; i < 60; i++) {
        const fta_uuid tenant = uuid_of(i % 3 == 0), user = uuid_of(i);
        fta_metrics_count_limited(metrics, &tenant, &user);
    }
    const fta_most_limited read = read_all(metrics);
    CHECK(read.tenant_count == 2 && read.user_count == FTA_MOST_LIMITED);
    CHECK(number_of(&read.tenants[0].tenant) == 0);
    CHECK(read.tenants[0].count == 40 && read.tenants[1].count == 20);
    close_app(metrics);
}

static void
test_answers_of_limits_count_and_no_others(void)
{
    const fta_uuid tenant = uuid_of(1), user = uuid_of(2);
    static const struct {
        int status;
        const char *reason;
        bool has_identity;
    } answers[] = {
        {429, "rate_limit_exceeded", true},
        {429, "concurrency_limit_exceeded", true},
        {429, "rate_limit_exceeded", false},
        {429, NULL, true},
        {200, "rate_limit_exceeded", true},
        {403, "role_insufficient", true},
        {200, NULL, true},
    };
    fta_metrics *metrics = open_app("answers", true);
    begin_ten_minutes();
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        fta_metrics_answer answer = {.status = answers[i].status};
        if (answers[i].reason != NULL) {
            answer.reason =
                (fta_text){answers[i].reason, strlen(answers[i].reason)};
        }
        if (answers[i].has_identity) {
            answer.tenant = &tenant;
            answer.user = &user;
        }
        fta_metrics_count_answer(metrics, &answer);
    }
    const fta_most_limited read = read_all(metrics);
    CHECK(read.user_count == 1 && read.tenant_count == 1);
    CHECK(read.users[0].count == 2 && read.tenants[0].count == 2);
    CHECK(fta_uuid_equal(&read.users[0].tenant, &tenant));
    CHECK(fta_uuid_equal(&read.users[0].user, &user));
    close_app(metrics);
}

static void
test_a_window_ends_after_fifty_to_sixty_minutes(void)
{
    fta_metrics *metrics = open_app("windows", true);
    begin_ten_minutes();
    limit_user(metrics, 1);
    fta_clock_shift(0, 9 * MINUTE); /* the end of the window */
    limit_user(metrics, 1);
    limit_user(metrics, 2);
    fta_clock_shift(0, 50 * MINUTE);
    CHECK(shown(metrics, 1) == 2 && shown(metrics, 2) == 1);
    limit_user(metrics, 1);
    CHECK(shown(metrics, 1) == 3);
    fta_clock_shift(0, MINUTE);
    CHECK(shown(metrics, 1) == 1 && shown(metrics, 2) == 0);
    limit_user(metrics, 2); /* In the table that was of the first window. */
    CHECK(shown(metrics, 1) == 1 && shown(metrics, 2) == 1);
    close_app(metrics);
}

/* -- Compared with exact counts -------------------------------------------- */

enum { USERS = 3000, REQUESTS = 40000 };

typedef struct exact {
    uint64_t counts[USERS];
    uint64_t all;
} exact;

static void
limit_and_note(fta_metrics *metrics, exact *counts, size_t user)
{
    limit_user(metrics, user);
    counts->counts[user]++;
    counts->all++;
}

/* What is shown is wrong by N / m at most, and whoever is not shown was not
 * limited more than the last one that is, but for that. */
static void
check_bound(const fta_metrics *metrics, const exact *counts)
{
    static bool is_shown[USERS];
    const fta_most_limited read = read_all(metrics);
    const uint64_t bound = counts->all / FTA_SUBJECTS;
    memset(is_shown, 0, sizeof is_shown);
    CHECK(read.user_count == FTA_MOST_LIMITED);
    uint64_t least = read.users[read.user_count - 1].count;
    for (size_t i = 0; i < read.user_count; i++) {
        size_t user = number_of(&read.users[i].user);
        CHECK(user < USERS && !is_shown[user]);
        CHECK(i == 0 || read.users[i].count <= read.users[i - 1].count);
        CHECK(read.users[i].count <= counts->counts[user] + bound);
        CHECK(counts->counts[user] <= read.users[i].count + bound);
        is_shown[user] = true;
    }
    for (size_t user = 0; user < USERS; user++) {
        CHECK(is_shown[user] || counts->counts[user] <= least + bound);
    }
    CHECK(read.tenant_count == 1 && read.tenants[0].count == counts->all);
}

/* Few have many and many have few; how much so differs. */
static size_t
random_user(uint64_t *random, int skew)
{
    uint64_t most = USERS;
    for (int i = 0; i < skew; i++) {
        most = 1 + random_next(random) % most;
    }
    return random_next(random) % most;
}

static void
test_random_subjects_are_counted_within_the_bound(void)
{
    uint64_t random = random_seed("test_most_limited");
    for (int round = 0; round < 8; round++) {
        static exact counts;
        const int skew = round % 4, windows = round < 4 ? 1 : 5;
        memset(&counts, 0, sizeof counts);
        fta_metrics *metrics = open_app("model", true);
        begin_ten_minutes();
        for (int window = 0; window < windows; window++) {
            for (int i = 0; i < REQUESTS / windows; i++) {
                limit_and_note(metrics, &counts, random_user(&random, skew));
            }
            check_bound(metrics, &counts);
            fta_clock_shift(0, 10 * MINUTE);
        }
        CHECK(counts.all == REQUESTS);
        close_app(metrics);
    }
}

/* One subject more than counters, in turns: each takes the counter of the one
 * that comes next. */
static void
test_the_worst_order_stays_within_the_bound(void)
{
    static exact counts;
    fta_metrics *metrics = open_app("worst", true);
    begin_ten_minutes();
    for (size_t i = 0; i < REQUESTS; i++) {
        limit_and_note(metrics, &counts, i % (FTA_SUBJECTS + 1));
        if (i % 10 == 0) {
            limit_and_note(metrics, &counts, USERS - 1);
        }
    }
    check_bound(metrics, &counts);
    CHECK(number_of(&read_all(metrics).users[0].user) == USERS - 1);
    close_app(metrics);
}

/* -- Full counters --------------------------------------------------------- */

#define MOST ((UINT64_C(1) << 24) - 1)

static void
fill_counter(fta_subject_table *table, size_t place)
{
    atomic_fetch_or(&table->counts[place], MOST);
}

static fta_subject_table *
table_of_users(fta_metrics *metrics)
{
    uint64_t window = fta_metrics_minute() / FTA_SUBJECT_WINDOW_MINUTES;
    return &metrics->memory->subjects.users[window % FTA_SUBJECT_WINDOWS];
}

static void
test_a_subject_with_a_full_counter_takes_another_one(void)
{
    fta_metrics *metrics = open_app("full", true);
    begin_ten_minutes();
    limit_user(metrics, 1);
    fill_counter(table_of_users(metrics), 0);
    CHECK(shown(metrics, 1) == MOST);
    for (int i = 0; i < 5; i++) {
        limit_user(metrics, 1);
    }
    CHECK(shown(metrics, 1) == MOST + 5);
    close_app(metrics);
}

static void
test_a_table_of_full_counters_counts_no_more(void)
{
    fta_metrics *metrics = open_app("full", true);
    begin_ten_minutes();
    for (size_t user = 0; user < FTA_SUBJECTS; user++) {
        limit_user(metrics, user);
        fill_counter(table_of_users(metrics), user);
    }
    limit_user(metrics, 1);
    limit_user(metrics, FTA_SUBJECTS);
    CHECK(shown(metrics, FTA_SUBJECTS) == 0);
    const fta_most_limited read = read_all(metrics);
    for (size_t i = 0; i < read.user_count; i++) {
        CHECK(read.users[i].count == MOST);
    }
    close_app(metrics);
}

/* -- Many at once ---------------------------------------------------------- */

enum { THREADS = 4, TIMES = 2000, SUBJECTS = 15, WORKERS = 5, ROUNDS = 20 };

static void *
limit_many(void *metrics)
{
    for (size_t i = 0; i < TIMES * SUBJECTS; i++) {
        limit_user(metrics, i % SUBJECTS);
    }
    return NULL;
}

static void
test_threads_lose_no_request(void)
{
    pthread_t threads[THREADS];
    fta_metrics *metrics = open_app("threads", true);
    begin_ten_minutes();
    for (int t = 0; t < THREADS; t++) {
        CHECK(pthread_create(&threads[t], NULL, limit_many, metrics) == 0);
    }
    fta_clock_shift(0, 10 * MINUTE); /* A window begins meanwhile. */
    for (int i = 0; i < 50; i++) {
        const fta_most_limited read = read_all(metrics);
        CHECK(read.user_count <= SUBJECTS && read.tenant_count <= 1);
        for (size_t k = 0; k < read.user_count; k++) {
            CHECK(number_of(&read.users[k].user) < SUBJECTS);
            CHECK(read.users[k].count <= THREADS * TIMES);
        }
    }
    for (int t = 0; t < THREADS; t++) {
        CHECK(pthread_join(threads[t], NULL) == 0);
    }
    for (size_t user = 0; user < SUBJECTS; user++) {
        CHECK(shown(metrics, user) == THREADS * TIMES);
    }
    CHECK(read_all(metrics).tenants[0].count == THREADS * TIMES * SUBJECTS);
    close_app(metrics);
}

typedef struct tally {
    atomic_ullong begun[SUBJECTS], done[SUBJECTS];
} tally;

static void
limit_until_killed(tally *of_child, uint64_t random)
{
    fta_metrics *metrics = open_app("killed", true);
    for (;;) {
        size_t user = random_next(&random) % SUBJECTS;
        atomic_fetch_add(&of_child->begun[user], 1);
        limit_user(metrics, user);
        atomic_fetch_add(&of_child->done[user], 1);
    }
}

/* One of them is stopped for a while. Nobody waits for it: the parent counts
 * on meanwhile. */
static void
kill_a_round(fta_metrics *metrics, tally *tallies, uint64_t *random)
{
    pid_t children[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        uint64_t seed = random_next(random) | 1;
        children[i] = fork();
        if (children[i] == 0) {
            limit_until_killed(&tallies[i], seed);
        }
    }
    pause_us(1000 + (long)(random_next(random) % 3000));
    CHECK(kill(children[0], SIGSTOP) == 0);
    CHECK(waitpid(children[0], NULL, WUNTRACED) == children[0]);
    for (size_t i = 0; i < 1000; i++) {
        limit_user(metrics, i % SUBJECTS);
    }
    CHECK(kill(children[0], SIGCONT) == 0);
    for (int i = 0; i < WORKERS; i++) {
        child_end(children[i]);
    }
}

/* A killed one may have left a name half written: the next request of that
 * subject completes it. */
static void
test_processes_that_are_stopped_and_killed_neither_block_nor_damage(void)
{
    tally *tallies =
        mmap(NULL, sizeof(tally) * WORKERS * ROUNDS, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(tallies != MAP_FAILED);
    uint64_t random = random_seed("test_most_limited");
    fta_metrics *metrics = open_app("killed", true);
    begin_ten_minutes();
    for (int round = 0; round < ROUNDS; round++) {
        kill_a_round(metrics, &tallies[round * WORKERS], &random);
        fta_clock_shift(0, round % 5 == 4 ? 10 * MINUTE : 0);
    }
    fta_clock_shift(0, -10 * MINUTE); /* Back to the window of the last one. */
    for (int i = 0; i < 4; i++) {
        for (size_t user = 0; user < SUBJECTS; user++) {
            limit_user(metrics, user);
        }
        fta_clock_shift(0, i < 3 ? -10 * MINUTE : 30 * MINUTE);
    }
    for (size_t user = 0; user < SUBJECTS; user++) {
        uint64_t begun = 4, done = 4, by_parent = 0;
        for (size_t i = user; i < 1000; i += SUBJECTS) {
            by_parent++;
        }
        for (int i = 0; i < WORKERS * ROUNDS; i++) {
            begun += atomic_load(&tallies[i].begun[user]);
            done += atomic_load(&tallies[i].done[user]);
        }
        uint64_t counted = shown(metrics, user) - by_parent * ROUNDS;
        CHECK(done <= counted && counted <= begun);
    }
    (void)munmap(tallies, sizeof(tally) * WORKERS * ROUNDS);
    close_app(metrics);
}

static void
test_a_reader_without_memory_says_so(void)
{
    fta_most_limited read;
    fta_metrics *metrics = open_app("memory", true);
    failing_alloc_start(0);
    CHECK(fta_metrics_read_most_limited(metrics, &read) == FTA_NO_MEMORY);
    CHECK(failing_alloc_stop());
    close_app(metrics);
}

int
main(void)
{
    alarm(300);
    make_shared_directory();
    test_up_to_so_many_subjects_are_counted_exactly();
    test_a_tenant_has_the_requests_of_all_its_users();
    test_answers_of_limits_count_and_no_others();
    test_a_window_ends_after_fifty_to_sixty_minutes();
    test_random_subjects_are_counted_within_the_bound();
    test_the_worst_order_stays_within_the_bound();
    test_a_subject_with_a_full_counter_takes_another_one();
    test_a_table_of_full_counters_counts_no_more();
    test_threads_lose_no_request();
    test_processes_that_are_stopped_and_killed_neither_block_nor_damage();
    test_a_reader_without_memory_says_so();
    remove_shared_directory();
    return check_report("test_most_limited");
}
