/* The arithmetic of rate.c as a filter, for tests that hold another
 * implementation against it.
 *
 *     rate_oracle script        prints the script that runs in Redis
 *     rate_oracle f|s|g         for each line "now action n" and n times
 *                               "key limit cost period" (microseconds, keys
 *                               0 to 99) prints n times
 *                               "fits remaining reset retry" */
#include "limit/rate.h"
#include "limit/redis/counter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct state {
    fta_window window;
    fta_sliding sliding;
    int64_t tat_us;
} state;

static state states[100];

static void
look(char strategy, const state *s, const fta_hit *hit, int64_t now,
     fta_verdict *out)
{
    if (strategy == 'f') {
        fta_window_look(&s->window, hit, now, out);
    } else if (strategy == 's') {
        fta_sliding_look(&s->sliding, hit, now, out);
    } else {
        fta_gcra_look(s->tat_us, hit, now, out);
    }
}

static void
take(char strategy, state *s, const fta_hit *hit, int64_t now)
{
    if (strategy == 'f') {
        fta_window_take(&s->window, hit, now);
    } else if (strategy == 's') {
        fta_sliding_take(&s->sliding, hit);
    } else {
        s->tat_us = fta_gcra_take(s->tat_us, hit, now);
    }
}

/* A sliding state is looked at in the window of now. */
static void
roll(state *s, const fta_hit *hit, int64_t now)
{
    int64_t start = fta_sliding_start(hit, now);
    int64_t passed = (start - s->sliding.start_us) / hit->period_us;
    if (passed > 0) {
        s->sliding.previous = passed == 1 ? s->sliding.current : 0;
        s->sliding.current = 0;
        s->sliding.start_us = start;
    }
}

static int
run(char strategy)
{
    int64_t now;
    char action;
    size_t n;
    while (scanf("%" SCNd64 " %c %zu", &now, &action, &n) == 3) {
        fta_hit hits[FTA_HITS_MAX];
        size_t keys[FTA_HITS_MAX];
        fta_verdict verdicts[FTA_HITS_MAX];
        state before[100];
        bool fits = true;
        for (size_t i = 0; i < n; i++) {
            hits[i] = (fta_hit){0};
            if (scanf("%zu %" SCNu32 " %" SCNu32 " %" SCNd64, &keys[i],
                      &hits[i].limit, &hits[i].cost, &hits[i].period_us) != 4) {
                return 1;
            }
            state *s = &states[keys[i]];
            if (action == 'r') {
                *s = (state){0};
            }
            roll(s, &hits[i], now);
            look(strategy, s, &hits[i], now, &verdicts[i]);
            fits = fits && verdicts[i].allowed;
        }
        memcpy(before, states, sizeof(states));
        for (size_t i = 0; action == 'c' && fits && i < n; i++) {
            state *s = &states[keys[i]];
            fta_verdict again;
            look(strategy, s, &hits[i], now, &again);
            if (!again.allowed) {
                /* Two hits share a counter that has room for one. */
                verdicts[i] = again;
                memcpy(states, before, sizeof(states));
                break;
            }
            take(strategy, s, &hits[i], now);
            look(strategy, s, &hits[i], now, &again);
            verdicts[i].remaining = again.remaining;
            verdicts[i].reset_after_us = again.reset_after_us;
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
        fputs(fta_redis_counter_script(), stdout);
        return 0;
    }
    return argc == 2 && strlen(argv[1]) == 1 ? run(argv[1][0]) : 2;
}
