#include "limit/redis/counter.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"
#include "fake_redis.h"
#include "limit/redis/script.h"
#include "limit/strategy.h"

#define SECOND ((int64_t)1000000)

static const fta_hit two_hits[] = {
    {.key = (const uint8_t *)"one",
     .key_length = 3,
     .limit = 50,
     .cost = 2,
     .period_us = 60 * SECOND},
    {.key = (const uint8_t *)"tw\0",
     .key_length = 3,
     .limit = 8,
     .cost = 1,
     .period_us = SECOND},
};

static fta_redis_counter *
new_counter(unsigned port, const char *prefix)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "redis://127.0.0.1:%u", port);
    fta_redis_url *url;
    fta_redis_client *client;
    fta_redis_problem problem;
    const char *wrong;
    fta_redis_counter *counter = NULL;
    fake_redis_require(
        fta_redis_url_parse(text, (size_t)length, &url, &wrong) == FTA_OK &&
        fta_redis_client_new(url, &client, &problem) == FTA_OK &&
        fta_redis_counter_new(client, prefix, strlen(prefix), &counter) ==
            FTA_OK);
    return counter;
}

static fta_status
count(fta_redis_counter *counter, size_t n, fta_verdict *verdict)
{
    fta_redis_problem problem;
    const fta_hits request = {&fta_strategy_gcra, FTA_COUNT, two_hits, n, NULL};
    return fta_redis_counter_hit(counter, &request,
                                 fta_clock_monotonic_us() + 60 * SECOND,
                                 verdict, &problem);
}

/* Knows the script only after it was sent. */
static bool
learns(fake_redis *self, const char *request, char *answer)
{
    bool *known = self->context;
    if (strstr(request, "\r\nEVAL\r\n") != NULL) {
        CHECK(strstr(request, fta_redis_script) != NULL);
        *known = true;
    } else {
        CHECK(strstr(request, "*13\r\n$7\r\nEVALSHA\r\n$40\r\n") == request);
    }
    CHECK(strstr(request, "\r\n$1\r\n2\r\n$12\r\n{fta:app}one\r\n"
                          "$12\r\n{fta:app}tw?\r\n$4\r\ngcra\r\n$1\r\nc\r\n"
                          "$2\r\n50\r\n$1\r\n2\r\n$8\r\n60000000\r\n"
                          "$1\r\n8\r\n$1\r\n1\r\n$7\r\n1000000\r\n") != NULL);
    strcpy(answer, *known ? "*8\r\n:1\r\n:40\r\n:6000000\r\n:0\r\n"
                            ":1\r\n:2\r\n:500000\r\n:0\r\n"
                          : "-NOSCRIPT No matching script.\r\n");
    return true;
}

static void
test_the_script_is_sent_once(void)
{
    bool known = false;
    fake_redis server;
    fake_redis_start(&server, learns, &known);
    fta_redis_counter *counter = new_counter(server.port, "app");
    fta_verdict verdict;
    for (int i = 0; i < 3; i++) {
        CHECK(count(counter, 2, &verdict) == FTA_OK);
        /* 2 of 8 is closer to its limit than 40 of 50. */
        CHECK(verdict.allowed && verdict.index == 1 && verdict.limit == 8);
        CHECK(verdict.remaining == 2 && verdict.reset_after_us == 500000);
    }
    CHECK(atomic_load(&server.requests) == 4);
    CHECK(count(counter, 0, &verdict) == FTA_BAD_ARGUMENT);
    CHECK(count(counter, FTA_HITS_MAX + 1, &verdict) == FTA_BAD_ARGUMENT);
    fta_redis_counter_free(counter);
    fake_redis_stop(&server);
}

/* What is asked to reserve, and to give the second hit back. */
static bool
reserves(fake_redis *self, const char *request, char *answer)
{
    (void)self;
    if (strstr(request, "\r\n$1\r\nt\r\n") != NULL) {
        strcpy(answer, "*10\r\n:1\r\n:40\r\n:6000000\r\n:0\r\n"
                       ":1\r\n:2\r\n:500000\r\n:0\r\n"
                       ":1790000000000001\r\n:1790000000000002\r\n");
    } else {
        CHECK(strstr(request, "*10\r\n$7\r\nEVALSHA\r\n") == request);
        CHECK(strstr(request, "\r\n$1\r\n1\r\n$12\r\n{fta:app}tw?\r\n"
                              "$4\r\ngcra\r\n$1\r\ng\r\n"
                              "$1\r\n8\r\n$1\r\n1\r\n$7\r\n1000000\r\n"
                              "$16\r\n1790000000000002\r\n") != NULL);
        strcpy(answer, "*4\r\n:1\r\n:3\r\n:400000\r\n:0\r\n");
    }
    return true;
}

static void
test_the_time_of_a_receipt_is_sent_to_give_it_back(void)
{
    fake_redis server;
    fake_redis_start(&server, reserves, NULL);
    fta_redis_counter *counter = new_counter(server.port, "app");
    fta_receipt receipts[2] = {{0, 0}, {0, 0}};
    fta_hits request = {&fta_strategy_gcra, FTA_COUNT, two_hits, 2, receipts};
    fta_verdict verdict;
    fta_redis_problem problem;
    int64_t deadline = fta_clock_monotonic_us() + 60 * SECOND;
    CHECK(fta_redis_counter_hit(counter, &request, deadline, &verdict,
                                &problem) == FTA_OK);
    CHECK(receipts[0].at_us == 1790000000000001);
    CHECK(receipts[1].at_us == 1790000000000002);
    request = (fta_hits){&fta_strategy_gcra, FTA_GIVE_BACK, &two_hits[1], 1,
                         &receipts[1]};
    CHECK(fta_redis_counter_hit(counter, &request, deadline, &verdict,
                                &problem) == FTA_OK);
    CHECK(verdict.remaining == 3);
    fta_redis_counter_free(counter);
    fake_redis_stop(&server);
}

static bool
says(fake_redis *self, const char *request, char *answer)
{
    (void)request;
    return strcpy(answer, self->context) != NULL;
}

static void
test_answers_that_cannot_be_true_are_malformed(void)
{
    static const struct {
        const char *answer;
        fta_status status;
    } cases[] = {
        {"*4\r\n:0\r\n:0\r\n:60000000\r\n:60000000\r\n", FTA_OK},
        {"*4\r\n:1\r\n:50\r\n:0\r\n:0\r\n", FTA_OK},
        {"*4\r\n:2\r\n:0\r\n:0\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:1\r\n:51\r\n:0\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:1\r\n:-1\r\n:0\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:1\r\n:0\r\n:-1\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:0\r\n:0\r\n:0\r\n:-1\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:0\r\n:0\r\n:999999999\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*4\r\n:0\r\n:0\r\n:0\r\n:9223372036854775807\r\n",
         FTA_REDIS_MALFORMED},
        {"*4\r\n:1\r\n:0\r\n:0\r\n+0\r\n", FTA_REDIS_MALFORMED},
        {"*3\r\n:1\r\n:0\r\n:0\r\n", FTA_REDIS_MALFORMED},
        {"*8\r\n:1\r\n:0\r\n:0\r\n:0\r\n:1\r\n:0\r\n:0\r\n:0\r\n",
         FTA_REDIS_MALFORMED},
        {":1\r\n", FTA_REDIS_MALFORMED},
        {"*-1\r\n", FTA_REDIS_MALFORMED},
        {"-WRONGTYPE x\r\n", FTA_REDIS_REFUSED},
        {"-NOSCRIPT x\r\n", FTA_REDIS_NO_SCRIPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fake_redis server;
        fake_redis_start(&server, says, (void *)(uintptr_t)cases[i].answer);
        fta_redis_counter *counter = new_counter(server.port, "");
        fta_verdict verdict;
        fta_status status = count(counter, 1, &verdict);
        if (status != cases[i].status) {
            fprintf(stderr, "%s: %s\n", cases[i].answer,
                    fta_status_name(status));
        }
        CHECK(status == cases[i].status);
        fta_redis_counter_free(counter);
        fake_redis_stop(&server);
    }
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    bool known = true;
    fake_redis server;
    fake_redis_start(&server, learns, &known);
    fta_redis_counter *counter = new_counter(server.port, "app");
    fta_verdict verdict;
    CHECK(count(counter, 2, &verdict) == FTA_OK);
    long n = 0;
    for (bool failed = true; failed; n++) {
        failing_alloc_start(n);
        fta_status status = count(counter, 2, &verdict);
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK(count(counter, 2, &verdict) == FTA_OK);
    }
    CHECK(n > 10);
    fta_redis_counter_free(counter);
    fake_redis_stop(&server);
}

static void
test_a_prefix_that_is_too_long_is_an_error(void)
{
    static char longest[FTA_PREFIX_MAX + 1];
    memset(longest, 'p', sizeof(longest));
    fta_redis_counter *counter = NULL;
    CHECK(fta_redis_counter_new(NULL, longest, sizeof(longest), &counter) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_redis_counter_new(NULL, longest, FTA_PREFIX_MAX, &counter) ==
          FTA_OK);
    fta_redis_counter_free(counter);
    CHECK(fta_redis_counter_new(NULL, NULL, 0, &counter) == FTA_OK);
    fta_redis_counter_free(counter);
}

static void
test_receipts_that_are_no_times_are_malformed(void)
{
    static const char *const cases[] = {
        "*4\r\n:1\r\n:7\r\n:0\r\n:0\r\n",
        "*5\r\n:1\r\n:7\r\n:0\r\n:0\r\n+x\r\n",
        "*6\r\n:1\r\n:7\r\n:0\r\n:0\r\n:1\r\n:2\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_redis server;
        fake_redis_start(&server, says, (void *)(uintptr_t)cases[i]);
        fta_redis_counter *counter = new_counter(server.port, "app");
        fta_receipt receipt;
        const fta_hits request = {&fta_strategy_gcra, FTA_COUNT, two_hits, 1,
                                  &receipt};
        fta_verdict verdict;
        fta_redis_problem problem;
        CHECK(fta_redis_counter_hit(counter, &request,
                                    fta_clock_monotonic_us() + 60 * SECOND,
                                    &verdict, &problem) == FTA_REDIS_MALFORMED);
        fta_redis_counter_free(counter);
        fake_redis_stop(&server);
    }
}

int
main(void)
{
    test_the_script_is_sent_once();
    test_the_time_of_a_receipt_is_sent_to_give_it_back();
    test_receipts_that_are_no_times_are_malformed();
    test_answers_that_cannot_be_true_are_malformed();
    test_a_failing_allocation_is_no_memory();
    test_a_prefix_that_is_too_long_is_an_error();
    return check_report("test_redis_counter");
}
