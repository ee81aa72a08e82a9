/* A store of one counter, for tests of the strategies: what a store does before
 * it asks a strategy. */
#ifndef FTA_TESTS_COUNTER_MODEL_H
#define FTA_TESTS_COUNTER_MODEL_H

#include "limit/strategy.h"

/* Brings the counter of a strategy that keeps_previous into the window of
 * now. */
static inline void
counter_model_advance(const fta_strategy *strategy, fta_counter *counter,
                      const fta_hit *hit, int64_t now_us)
{
    if (!strategy->keeps_previous) {
        return;
    }
    int64_t start_us = fta_window_start(hit, now_us);
    int64_t end_us = fta_counter_end(hit, start_us);
    if (end_us != counter->end_us) {
        counter->previous =
            end_us == counter->end_us + hit->period_us ? counter->value : 0;
        counter->value = 0;
        counter->end_us = end_us;
    }
}

static inline fta_verdict
counter_model_look(const fta_strategy *strategy, fta_counter *counter,
                   const fta_hit *hit, int64_t now_us)
{
    fta_verdict verdict = {.index = 0};
    counter_model_advance(strategy, counter, hit, now_us);
    strategy->look(counter, hit, now_us, &verdict);
    return verdict;
}

static inline fta_verdict
counter_model_count(const fta_strategy *strategy, fta_counter *counter,
                    const fta_hit *hit, int64_t now_us)
{
    fta_verdict verdict = {.index = 0};
    counter_model_advance(strategy, counter, hit, now_us);
    (void)strategy->count(counter, hit, now_us, &verdict);
    return verdict;
}

#endif
