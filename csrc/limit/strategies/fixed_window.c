/* Fixed window: it starts with its first hit and lasts one period. The value is
 * the count. */
#include "limit/strategy.h"

static void
look(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
     fta_verdict *verdict)
{
    bool open = counter->value > 0 && now_us < counter->end_us;
    int64_t left_us = open ? counter->end_us - now_us : 0;
    fta_verdict_of_use(verdict, hit, open ? counter->value : 0, left_us,
                       left_us);
}

static bool
count(fta_counter *counter, const fta_hit *hit, int64_t now_us,
      fta_verdict *verdict)
{
    look(counter, hit, now_us, verdict);
    if (!verdict->allowed) {
        return false;
    }
    if (counter->value == 0 || now_us >= counter->end_us) {
        counter->end_us = now_us + hit->period_us;
        counter->value = 0;
    }
    counter->value += hit->cost;
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = counter->end_us - now_us;
    return true;
}

static bool
take_back(fta_counter *counter, const fta_receipt *receipt, const fta_hit *hit,
          int64_t now_us)
{
    (void)now_us;
    if (counter->end_us != receipt->end_us || counter->value < hit->cost) {
        return false; /* Another window, or reset since. */
    }
    counter->value -= hit->cost;
    return true;
}

const fta_strategy fta_strategy_fixed_window = {
    .name = "fixed-window",
    .letter = 'f',
    .look = look,
    .count = count,
    .take_back = take_back,
};
