#include "limit/redis/store.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"
#include "fake_redis.h"
#include "limit/strategy.h"

static const fta_hit hit = {.key = (const uint8_t *)"key",
                            .key_length = 3,
                            .limit = 50,
                            .cost = 1,
                            .period_us = 60000000};

static fta_store *
new_store(unsigned port, int timeout_ms)
{
    char text[64];
    int length =
        snprintf(text, sizeof(text), "redis://:sesame@127.0.0.1:%u", port);
    const fta_store_options options = {.url = {text, (size_t)length},
                                       .prefix = {"app", 3},
                                       .timeout_ms = timeout_ms};
    fta_store *store = NULL;
    fta_store_problem problem;
    fake_redis_require(fta_store_redis.open(&options, &store, &problem) ==
                       FTA_OK);
    return store;
}

/* The course, and where that is to wait, what came of it. */
static fta_course
go(fta_store *store, fta_action action, fta_status *status,
   fta_verdict *verdict)
{
    const fta_hits request = {&fta_strategy_fixed_window, action, &hit, 1,
                              NULL};
    fta_plan plan = store->type->plan(store, &request, verdict);
    *status = FTA_OK;
    if (plan.course == FTA_COURSE_WAIT) {
        *status = store->type->hit(store, &request, plan, verdict);
    }
    return plan.course;
}

static fta_store_events
events_of(fta_store *store)
{
    fta_store_events events = {.evictions = 0};
    store->type->add_events(store, &events);
    return events;
}

static fta_fact
fact_of(fta_store *store, const char *name)
{
    static fta_facts facts;
    facts.count = facts.text_used = 0;
    store->type->add_facts(store, &facts);
    for (size_t i = 0; i < facts.count; i++) {
        if (strcmp(facts.facts[i].name, name) == 0) {
            return facts.facts[i];
        }
    }
    CHECK(false);
    return (fta_fact){.text = ""};
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
static const char limits[] = "*4\r\n:0\r\n:0\r\n:9000000\r\n:9000000\r\n";

static void
test_a_hit_that_redis_limited_is_known(void)
{
    const char *_Atomic said = limits;
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_store *store = new_store(server.port, 60000);
    fta_status status;
    fta_verdict verdict;
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(status == FTA_OK && !verdict.allowed);
    long requests = atomic_load(&server.requests);
    for (int i = 0; i < 10; i++) {
        CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_KNOWN);
        CHECK(!verdict.allowed && verdict.index == 0 && verdict.limit == 50);
        CHECK(verdict.retry_after_us > 0 && verdict.retry_after_us <= 9000000);
    }
    CHECK(atomic_load(&server.requests) == requests);
    /* Who looks closely, or resets, does ask. */
    CHECK(go(store, FTA_PEEK, &status, &verdict) == FTA_COURSE_WAIT);
    said = allows;
    CHECK(go(store, FTA_RESET, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(status == FTA_OK && verdict.allowed);
    store->type->close(store);
    fake_redis_stop(&server);
}

/* There may be room again at once, because hits of others are given back on
 * other hosts. */
static void
test_a_reservation_that_redis_limited_is_asked_for_again(void)
{
    const char *_Atomic said =
        "*5\r\n:0\r\n:0\r\n:9000000\r\n:9000000\r\n:7\r\n";
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_store *store = new_store(server.port, 60000);
    fta_receipt receipt = {.at_us = 0};
    const fta_hits request = {&fta_strategy_fixed_window, FTA_COUNT, &hit, 1,
                              &receipt};
    const fta_hits back = {&fta_strategy_fixed_window, FTA_GIVE_BACK, &hit, 1,
                           &receipt};
    fta_status status;
    fta_verdict verdict;
    for (int i = 0; i < 3; i++) {
        fta_plan plan = store->type->plan(store, &request, &verdict);
        CHECK(plan.course == FTA_COURSE_WAIT);
        CHECK(store->type->hit(store, &request, plan, &verdict) == FTA_OK);
        CHECK(!verdict.allowed && receipt.at_us == 7);
    }
    /* What is given back makes room for those who count only. */
    said = limits;
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_KNOWN);
    said = allows;
    fta_plan plan = store->type->plan(store, &back, &verdict);
    CHECK(store->type->hit(store, &back, plan, &verdict) == FTA_OK);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(status == FTA_OK && verdict.allowed);
    store->type->close(store);
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
        fta_store *store = new_store(server.port, 1000);
        fta_status status;
        fta_verdict verdict;
        CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
        CHECK(status == cases[i].status);
        CHECK(events_of(store).changes % 2 == cases[i].outage);
        CHECK(go(store, FTA_PEEK, &status, &verdict) ==
              (cases[i].outage ? FTA_COURSE_AWAY : FTA_COURSE_WAIT));
        CHECK(store->type->is_away(store) == cases[i].outage);
        CHECK(strcmp(fact_of(store, "failure").text,
                     fta_status_text(cases[i].status)) == 0);
        CHECK(strstr(fact_of(store, "redis_url").text, "sesame") == NULL);
        store->type->close(store);
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
    fta_store *store = new_store(server.port, 60000);
    fta_redis_problem problem;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        said = steps[i].answer;
        CHECK(fta_redis_store_check(store, 60000, &problem) != FTA_OK);
        CHECK(events_of(store).first_failures == steps[i].ways);
        CHECK(fact_of(store, "redis_has_counted").number == 0);
        CHECK(fact_of(store, "failure").text[0] != '\0');
    }
    said = "*4\r\n:1\r\n:8388606\r\n:1000000\r\n:0\r\n";
    CHECK(fta_redis_store_check(store, 60000, &problem) == FTA_OK);
    said = "-LOADING x\r\n";
    CHECK(fta_redis_store_check(store, 60000, &problem) == FTA_REDIS_LOADING);
    CHECK(events_of(store).first_failures == 2);
    CHECK(fact_of(store, "redis_has_counted").number == 1);

    static const char *const words[] = {"PING"};
    static const size_t lengths[] = {4};
    const fta_redis_command ping = {1, words, lengths};
    fta_redis_reply *reply;
    said = "+PONG\r\n";
    CHECK(fta_redis_store_call(store, &ping, 60000, &reply, &problem) ==
          FTA_OK);
    CHECK(reply != NULL && strcmp(reply->text, "PONG") == 0);
    fta_redis_reply_free(reply);
    said = ""; /* It hangs. */
    CHECK(fta_redis_store_call(store, &ping, 50, &reply, &problem) ==
          FTA_REDIS_TIMEOUT);
    CHECK(reply == NULL);
    store->type->close(store);
    fake_redis_stop(&server);
}

static void
test_a_redis_that_is_back_is_used_again(void)
{
    const char *_Atomic said = "-LOADING x\r\n";
    fake_redis server;
    fake_redis_start(&server, answers, (void *)&said);
    fta_store *store = new_store(server.port, 60000);
    fta_status status;
    fta_verdict verdict;
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_WAIT);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY);
    said = allows;
    int64_t start = fta_clock_monotonic_us();
    while (go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY &&
           fta_clock_monotonic_us() - start < 60000000) {
        usleep(1000);
    }
    CHECK(events_of(store).changes == 2);
    store->type->leave(store);
    CHECK(go(store, FTA_COUNT, &status, &verdict) == FTA_COURSE_AWAY);
    store->type->close(store);
    fake_redis_stop(&server);
}

static fta_status
open_at(const char *url, size_t prefix_length, fta_store **store,
        fta_store_problem *problem)
{
    static const char prefix[256];
    const fta_store_options options = {.url = {url, strlen(url)},
                                       .prefix = {prefix, prefix_length},
                                       .timeout_ms = 50};
    *problem = (fta_store_problem){.option = NULL};
    return fta_store_redis.open(&options, store, problem);
}

static void
test_arguments_that_are_not_valid_do_not_open_a_store(void)
{
    fta_store *store;
    fta_store_problem problem;
    CHECK(open_at("redis://h:x", 3, &store, &problem) == FTA_BAD_ARGUMENT);
    CHECK(store == NULL && strstr(problem.text, "port") != NULL);
    CHECK(strcmp(problem.option, "redis_url") == 0);
    CHECK(open_at("redis://h", 256, &store, &problem) == FTA_BAD_ARGUMENT);
    CHECK(store == NULL && problem.option == NULL);
    CHECK(open_at("rediss://h?ssl_ca_certs=/no/such/file", 3, &store,
                  &problem) == FTA_REDIS_TLS);
    CHECK(store == NULL && strstr(problem.text, "ssl_ca_certs") != NULL);
    long n = 0;
    for (bool failed = true; failed; n++) {
        failing_alloc_start(n);
        fta_status status = open_at("redis://h", 3, &store, &problem);
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK((store == NULL) == failed);
        if (store != NULL) {
            store->type->close(store);
        }
    }
    CHECK(n == 8);
}

int
main(void)
{
    test_a_hit_that_redis_limited_is_known();
    test_a_reservation_that_redis_limited_is_asked_for_again();
    test_only_failures_of_redis_open_the_breaker();
    test_a_redis_that_has_never_counted_is_reported();
    test_a_redis_that_is_back_is_used_again();
    test_arguments_that_are_not_valid_do_not_open_a_store();
    return check_report("test_redis_store");
}
