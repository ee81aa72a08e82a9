#include "limit/redis/store.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"
#include "fake_redis.h"

static const fta_hit hit = {.key = (const uint8_t *)"key",
                            .key_length = 3,
                            .limit = 50,
                            .cost = 1,
                            .period_us = 60000000};

static fta_redis_store *
new_store(unsigned port, int timeout_ms)
{
    char text[64];
    int length =
        snprintf(text, sizeof(text), "redis://:sesame@127.0.0.1:%u", port);
    fta_redis_store *store = NULL;
    fta_redis_problem problem;
    fake_redis_require(fta_redis_store_open((fta_text){text, (size_t)length},
                                            (fta_text){"app", 3}, timeout_ms,
                                            &store, &problem) == FTA_OK);
    return store;
}

/* The course, and where that is to ask, what came of it. */
static fta_redis_course
go(fta_redis_store *store, fta_action action, fta_status *status,
   fta_verdict *verdict)
{
    fta_breaker_view view;
    fta_redis_course course =
        fta_redis_store_look(store, action, &hit, 1, &view, verdict);
    *status = FTA_OK;
    if (course == FTA_COURSE_ASK) {
        *status = fta_redis_store_ask(store, FTA_FIXED_WINDOW, action, &hit, 1,
                                      view, verdict);
    }
    return course;
}

/* Answers the greeting, and to the rest what the context says. */
static bool
answers(fake_redis *self, const char *request, char *answer)
{
    const char *said = *(const char *_Atomic *)self->context;
    strcpy(answer, strstr(request, "AUTH") != NULL ? "+OK\r\n" : said);
    return true;
}

static const char allows[] = "*4\r\n:1\r\n:49\r\n:1000000\r\n:0\r\n";
static const char refuses[] = "*4\r\n:0\r\n:0\r\n:9000000\r\n:9000000\r\n";

static void
test_a_denial_is_answered_without_asking_redis(void)
{
    const char *_Atomic said = refuses;
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_redis_store *store = new_store(server.port, 1000);
    fta_status status;
    fta_verdict verdict;
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_ASK);
    CHECK(status == FTA_OK && !verdict.allowed);
    long requests = atomic_load(&server.requests);
    for (int i = 0; i < 10; i++) {
        CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_KNOWN);
        CHECK(!verdict.allowed && verdict.index == 0 && verdict.limit == 50);
        CHECK(verdict.retry_after_us > 8000000 &&
              verdict.retry_after_us <= 9000000);
    }
    CHECK(atomic_load(&server.requests) == requests);
    /* Who looks closely, or resets, does ask. */
    CHECK(go(store, FTA_PEEK, &status, &verdict) == FTA_COURSE_ASK);
    said = allows;
    CHECK(go(store, FTA_RESET, &status, &verdict) == FTA_COURSE_ASK);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_ASK);
    CHECK(status == FTA_OK && verdict.allowed);
    fta_redis_store_free(store);
    fake_redis_stop(&server);
}

static void
test_only_failures_of_redis_open_the_breaker(void)
{
    static const struct {
        const char *answer;
        fta_status status;
        bool outage;
    } cases[] = {
        {"-WRONGTYPE x\r\n", FTA_REDIS_REFUSED, false},
        {"-ERR x script: abc, on @user_script:1.\r\n", FTA_REDIS_REFUSED,
         false},
        {"-TRYAGAIN x\r\n", FTA_REDIS_TRY_AGAIN, false},
        {"-LOADING x\r\n", FTA_REDIS_LOADING, true},
        {"-READONLY x\r\n", FTA_REDIS_READ_ONLY, true},
        {"-OOM x\r\n", FTA_REDIS_FULL, true},
        {"-NOAUTH x\r\n", FTA_REDIS_DENIED, true},
        {"-CLUSTERDOWN x\r\n", FTA_REDIS_CLUSTER_DOWN, true},
        {"-MOVED 1 h:1\r\n", FTA_REDIS_MOVED, true},
        {"-ERR unknown command\r\n", FTA_REDIS_FAILED, true},
        {"nonsense\r\n", FTA_REDIS_MALFORMED, true},
        {"", FTA_REDIS_TIMEOUT, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *_Atomic said = cases[i].answer;
        fake_redis server;
        fake_redis_start(&server, answers, (void *)&said);
        fta_redis_store *store = new_store(server.port, 200);
        fta_status status;
        fta_verdict verdict;
        CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_ASK);
        CHECK(status == cases[i].status);
        CHECK(fta_breaker_is_open(fta_redis_store_changes(store)) ==
              cases[i].outage);
        CHECK(go(store, FTA_PEEK, &status, &verdict) ==
              (cases[i].outage ? FTA_COURSE_AWAY : FTA_COURSE_ASK));
        fta_redis_state state;
        fta_redis_store_read(store, &state);
        CHECK(state.failure == cases[i].status);
        CHECK(strstr(state.url, "sesame") == NULL && !state.stopped);
        fta_redis_store_free(store);
        fake_redis_stop(&server);
    }
}

/* Each way of failing is new once, until something succeeds. */
static void
test_a_redis_that_has_never_counted_is_reported(void)
{
    static const struct {
        const char *answer;
        uint32_t ways; /* of failing, seen after this answer */
    } steps[] = {
        {"-WRONGTYPE x\r\n", 1}, {"-WRONGTYPE x\r\n", 1},
        {"-TRYAGAIN x\r\n", 1}, /* Says nothing about Redis. */
        {"-NOPERM x\r\n", 2},    {"-WRONGTYPE x\r\n", 2},
    };
    const char *_Atomic said = "";
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_redis_store *store = new_store(server.port, 300);
    fta_redis_state state;
    fta_redis_problem problem;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        said = steps[i].answer;
        CHECK(fta_redis_store_check(store, 300, &problem) != FTA_OK);
        CHECK(fta_redis_store_first_failures(store) == steps[i].ways);
        fta_redis_store_read(store, &state);
        CHECK(!state.has_counted && state.failure != FTA_OK);
    }
    said = "*4\r\n:1\r\n:8388606\r\n:1000000\r\n:0\r\n";
    CHECK(fta_redis_store_check(store, 300, &problem) == FTA_OK);
    said = "-LOADING x\r\n";
    CHECK(fta_redis_store_check(store, 300, &problem) == FTA_REDIS_LOADING);
    CHECK(fta_redis_store_first_failures(store) == 2);
    fta_redis_store_read(store, &state);
    CHECK(state.has_counted);

    static const char *const words[] = {"PING"};
    static const size_t lengths[] = {4};
    fta_redis_reply *reply;
    said = "+PONG\r\n";
    CHECK(fta_redis_store_call(store, 1, words, lengths, 300, &reply,
                               &problem) == FTA_OK);
    CHECK(reply != NULL && strcmp(reply->text, "PONG") == 0);
    fta_redis_reply_free(reply);
    said = ""; /* It hangs. */
    CHECK(fta_redis_store_call(store, 1, words, lengths, 50, &reply,
                               &problem) == FTA_REDIS_TIMEOUT);
    CHECK(reply == NULL);
    fta_redis_store_free(store);
    fake_redis_stop(&server);
}

static void
test_a_redis_that_is_back_is_used_again(void)
{
    const char *_Atomic said = "-LOADING x\r\n";
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_redis_store *store = new_store(server.port, 1000);
    fta_status status;
    fta_verdict verdict;
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_ASK);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY);
    said = allows;
    int64_t start = fta_clock_monotonic_us();
    while (go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY &&
           fta_clock_monotonic_us() - start < 5000000) {
        usleep(1000);
    }
    CHECK(fta_clock_monotonic_us() - start < 2000000);
    CHECK(fta_redis_store_changes(store) == 2);
    fta_redis_store_stop(store);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY);
    fta_redis_store_free(store);
    fake_redis_stop(&server);
}

static void
test_arguments_that_are_not_valid_do_not_open_a_store(void)
{
    static char prefix[256];
    fta_redis_store *store;
    fta_redis_problem problem;
    fta_text app = {"app", 3};
    CHECK(fta_redis_store_open((fta_text){"redis://h:x", 11}, app, 50, &store,
                               &problem) == FTA_BAD_ARGUMENT);
    CHECK(store == NULL && strstr(problem.text, "port") != NULL);
    CHECK(fta_redis_store_open((fta_text){"redis://h", 9},
                               (fta_text){prefix, sizeof(prefix)}, 50, &store,
                               &problem) == FTA_BAD_ARGUMENT);
    CHECK(store == NULL && strstr(problem.text, "prefix") != NULL);
    static const char no_file[] = "rediss://h?ssl_ca_certs=/no/such/file";
    CHECK(fta_redis_store_open((fta_text){no_file, sizeof(no_file) - 1}, app,
                               50, &store, &problem) == FTA_REDIS_TLS);
    CHECK(store == NULL && strstr(problem.text, "ssl_ca_certs") != NULL);
    long n = 0;
    for (bool failed = true; failed; n++) {
        failing_alloc_start(n);
        fta_status status = fta_redis_store_open((fta_text){"redis://h", 9},
                                                 app, 50, &store, &problem);
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK((store == NULL) == failed);
        fta_redis_store_free(store);
    }
    CHECK(n == 7);
}

int
main(void)
{
    test_a_denial_is_answered_without_asking_redis();
    test_only_failures_of_redis_open_the_breaker();
    test_a_redis_that_has_never_counted_is_reported();
    test_a_redis_that_is_back_is_used_again();
    test_arguments_that_are_not_valid_do_not_open_a_store();
    return check_report("test_redis_store");
}
