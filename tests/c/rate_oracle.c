/* The strategies as a filter, for tests that hold another implementation
 * against them.
 *
 *     rate_oracle script        prints the script that runs in Redis
 *     rate_oracle STRATEGY      for each line "now action n" and n times
 *                               "key limit cost period" (microseconds, keys
 *                               0 to 99) prints n times
 *                               "fits remaining reset retry"
 *
 * The actions are those of the script. After the hits of g come n times of
 * receipts, and what t has counted has the receipt of its now. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "counter_model.h"
#include "limit/redis/script.h"

static fta_counter counters[100];
static int64_t resets[100]; /* When each was reset; 0: never. */

static int
run(const fta_strategy *strategy)
{
    int64_t now;
    char action;
    setvbuf(stdout, NULL, _IOLBF,
            0); /* Each answer may decide the next line. */
    size_t n;
    while (scanf("%" SCNd64 " %c %zu", &now, &action, &n) == 3) {
        fta_hit hits[FTA_HITS_MAX];
        size_t keys[FTA_HITS_MAX];
        fta_verdict verdicts[FTA_HITS_MAX];
        fta_counter before[100];
        bool fits = true;
        for (size_t i = 0; i < n; i++) {
            hits[i] = (fta_hit){0};
            if (scanf("%zu %" SCNu32 " %" SCNu32 " %" SCNd64, &keys[i],
                      &hits[i].limit, &hits[i].cost, &hits[i].period_us) != 4) {
                return 1;
            }
        }
        for (size_t i = 0; i < n; i++) {
            fta_counter *counter = &counters[keys[i]];
            int64_t at = 0;
            if (action == 'r') {
                *counter = (fta_counter){0};
                resets[keys[i]] = now;
            }
            if (action == 'g' && scanf("%" SCNd64, &at) != 1) {
                return 1;
            }
            if (action == 'g' && at > resets[keys[i]]) {
                counter_model_advance(strategy, counter, &hits[i], now);
                fta_receipt receipt = {.at_us = at};
                (void)strategy->take_back(counter, &receipt, &hits[i], now);
            }
            verdicts[i] = counter_model_look(strategy, counter, &hits[i], now);
            fits = fits && verdicts[i].allowed;
        }
        memcpy(before, counters, sizeof(counters));
        bool counts = action == 'c' || action == 't';
        for (size_t i = 0; counts && fits && i < n; i++) {
            verdicts[i] = counter_model_count(strategy, &counters[keys[i]],
                                              &hits[i], now);
            if (!verdicts[i].allowed) {
                /* Two hits share a counter that has room for one. */
                memcpy(counters, before, sizeof(counters));
                break;
            }
        }
        for (size_t i = 0; i < n; i++) {
            printf("%d %" PRIu32 " %" PRId64 " %" PRId64 "%c",
                   verdicts[i].allowed, verdicts[i].remaining,
                   verdicts[i].reset_after_us, verdicts[i].retry_after_us,
                   i + 1 < n ? ' ' : '\n');
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "script") == 0) {
        fputs(fta_redis_script, stdout);
        return 0;
    }
    for (size_t i = 0; argc == 2 && i < FTA_STRATEGY_COUNT; i++) {
        if (strcmp(fta_strategies[i]->name, argv[1]) == 0) {
            return run(fta_strategies[i]);
        }
    }
    return 2;
}
