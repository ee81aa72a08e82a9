#include "limit/strategy.h"

#include <string.h>

const fta_strategy *const fta_strategies[FTA_STRATEGY_COUNT] = {
#define X(name) &fta_strategy_##name,
    FTA_STRATEGY_LIST(X)
#undef X
};

void
fta_strategy_names(fta_text out[FTA_STRATEGY_COUNT])
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        const char *name = fta_strategies[i]->name;
        out[i] = (fta_text){name, strlen(name)};
    }
}

void
fta_verdict_of_use(fta_verdict *verdict, const fta_hit *hit, int64_t used,
                   int64_t reset_after_us, int64_t retry_after_us)
{
    verdict->limit = hit->limit;
    verdict->remaining = used < hit->limit ? hit->limit - (uint32_t)used : 0;
    verdict->allowed = hit->cost <= verdict->remaining;
    verdict->reset_after_us = reset_after_us;
    verdict->retry_after_us = verdict->allowed ? 0 : retry_after_us;
}

bool
fta_counter_subtract(fta_counter *counter, const fta_counter *counted,
                     const fta_hit *hit)
{
    if (counter->end_us != counted->end_us || counter->value < hit->cost) {
        return false; /* Another window, or reset since. */
    }
    counter->value -= hit->cost;
    return true;
}

int64_t
fta_window_start(const fta_hit *hit, int64_t now_us)
{
    int64_t rest_us = now_us % hit->period_us;
    return now_us - rest_us - (rest_us < 0 ? hit->period_us : 0);
}
