/* redis_counter ROUNDS HOST PORT: microseconds of one hit in Redis, and of a
 * bare hiredis EVALSHA of the same script with the same arguments. */
#include <hiredis.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "limit/redis/counter.h"
#include "limit/redis/script.h"
#include "limit/strategy.h"
#include "redis/client.h"
#include "redis/url.h"
#include "timing.h"

enum { CALLS = 200 };

static const char key[] = "bench.user.550e8400-e29b-41d4-a716-446655440000";

static fta_redis_counter *
connect_counter(const char *host, const char *port)
{
    char text[256];
    int length = snprintf(text, sizeof text, "redis://%s:%s/0", host, port);
    fta_redis_url *url = NULL;
    fta_redis_client *client = NULL;
    fta_redis_counter *counter = NULL;
    fta_redis_problem problem;
    const char *wrong;
    require(fta_redis_url_parse(text, (size_t)length, &url, &wrong) == FTA_OK &&
                fta_redis_client_new(url, &client, &problem) == FTA_OK &&
                fta_redis_counter_new(client, "bench", 5, &counter) == FTA_OK,
            "the counter can be made");
    return counter;
}

static double
time_counter(fta_redis_counter *counter)
{
    const fta_hit hit = {.key = (const uint8_t *)key,
                         .key_length = sizeof key - 1,
                         .limit = FTA_RATE_LIMIT_MAX,
                         .cost = 1,
                         .period_us = 1000000};
    const fta_hits request = {&fta_strategy_fixed_window, FTA_COUNT, &hit, 1};
    fta_redis_problem problem;
    fta_verdict verdict;
    int good = 1;
    double start = wall_seconds();
    for (int i = 0; i < CALLS; i++) {
        int64_t deadline = fta_clock_monotonic_us() + 1000000;
        good &= fta_redis_counter_hit(counter, &request, deadline, &verdict,
                                      &problem) == FTA_OK &&
                verdict.allowed;
    }
    double seconds = wall_seconds() - start;
    require(good, "every hit is allowed");
    return seconds / CALLS * 1e6;
}

static double
time_bare(redisContext *redis, const char *hash)
{
    char limit[16];
    int length = snprintf(limit, sizeof limit, "%u", FTA_RATE_LIMIT_MAX);
    char full_key[sizeof key + 16];
    int key_length = snprintf(full_key, sizeof full_key, "{fta:bench}%s", key);
    const char *words[] = {"EVALSHA", hash,  "1", full_key, "fixed-window",
                           "c",       limit, "1", "1000000"};
    const size_t lengths[] = {
        7, 40, 1, (size_t)key_length, 12, 1, (size_t)length, 1, 7};
    int good = 1;
    double start = wall_seconds();
    for (int i = 0; i < CALLS; i++) {
        redisReply *reply = redisCommandArgv(redis, 9, (const char **)words,
                                             (const size_t *)lengths);
        good &= reply != NULL && reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
    }
    double seconds = wall_seconds() - start;
    require(good, "every EVALSHA is answered");
    return seconds / CALLS * 1e6;
}

int
main(int argc, char **argv)
{
    require(argc == 4, "the arguments are ROUNDS HOST PORT");
    int rounds = atoi(argv[1]);
    fta_redis_counter *counter = connect_counter(argv[2], argv[3]);
    redisContext *redis = redisConnect(argv[2], atoi(argv[3]));
    require(redis != NULL && redis->err == 0, "hiredis is connected");
    redisReply *loaded =
        redisCommand(redis, "SCRIPT LOAD %s", fta_redis_script);
    require(loaded != NULL && loaded->type == REDIS_REPLY_STRING,
            "Redis has the script");
    for (int round = 0; round < rounds; round++) {
        print_figure("bare hiredis EVALSHA", time_bare(redis, loaded->str));
        print_figure("redis_counter", time_counter(counter));
    }
    freeReplyObject(loaded);
    redisFree(redis);
    fta_redis_counter_free(counter);
    return 0;
}
