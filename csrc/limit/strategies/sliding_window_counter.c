/* Sliding window counter: windows stand on a fixed grid. The current one counts
 * whole; the one before counts as far as a window that ended now would still
 * cover it, rounded up. The value is the count. */
#include "limit/strategy.h"

/* Periods are whole seconds, so in milliseconds nothing is lost. */
#define US_PER_MS 1000

static int64_t
ms_of(int64_t us)
{
    return us / US_PER_MS - (us % US_PER_MS < 0);
}

/* count * ms / divisor, rounded down; *rest is what is left of the product. A
 * period has 38 bits, so the product may have 69: it is divided in two halves,
 * as by hand. count or ms is no more than the divisor, and that is no longer
 * than a period: so a rest, before a half of 16 bits is put behind it, has 38
 * bits, and a half times ms has 54. */
static int64_t
divide(uint32_t count, int64_t ms, int64_t divisor, int64_t *rest)
{
    int64_t low = (int64_t)(count & 0xFFFF) * ms, quotient = 0;
    if (count > 0xFFFF) {
        int64_t high = (int64_t)(count >> 16) * ms;
        quotient = high / divisor << 16;
        low += high % divisor << 16;
    }
    *rest = low % divisor;
    return quotient + low / divisor;
}

/* The longest time before the end of a window in which its predecessor,
 * having counted so much, takes no more than room. */
static int64_t
time_within(uint32_t count, uint32_t room, int64_t period_ms)
{
    int64_t rest;
    return count <= room ? period_ms : divide(room, period_ms, count, &rest);
}

static void
look(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
     fta_verdict *verdict)
{
    int64_t period_ms = hit->period_us / US_PER_MS;
    int64_t now_ms = ms_of(now_us);
    int64_t end_ms = counter->end_us / US_PER_MS - period_ms;
    int64_t left_ms = end_ms - now_ms;

    /* Rounded up, so that the sum never claims room there is not. */
    int64_t rest;
    int64_t carried = divide(counter->previous, left_ms, period_ms, &rest);
    carried += rest > 0;

    int64_t reset_ms = now_ms; /* When nothing counted has an effect. */
    if (counter->value > 0) {
        reset_ms = end_ms + period_ms;
    } else if (counter->previous > 0) {
        reset_ms = end_ms;
    }

    int64_t retry_ms;
    uint32_t room = hit->limit - hit->cost;
    if (counter->value <= room) {
        retry_ms = end_ms - time_within(counter->previous,
                                        room - counter->value, period_ms);
    } else {
        retry_ms =
            end_ms + period_ms - time_within(counter->value, room, period_ms);
    }
    fta_verdict_of_use(verdict, hit, carried + counter->value,
                       (reset_ms - now_ms) * US_PER_MS,
                       retry_ms * US_PER_MS - now_us);
}

static bool
count(fta_counter *counter, const fta_hit *hit, int64_t now_us,
      fta_verdict *verdict)
{
    look(counter, hit, now_us, verdict);
    if (!verdict->allowed) {
        return false;
    }
    counter->value += hit->cost;
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = counter->end_us - ms_of(now_us) * US_PER_MS;
    return true;
}

/* The window of the hit may be the one before by now. */
static bool
take_back(fta_counter *counter, const fta_receipt *receipt, const fta_hit *hit,
          int64_t now_us)
{
    (void)now_us;
    uint32_t *count = &counter->value;
    int64_t start_us = fta_window_start(hit, receipt->at_us);
    int64_t end_us = fta_counter_end(hit, start_us);
    if (counter->end_us == end_us + hit->period_us) {
        count = &counter->previous;
    } else if (counter->end_us != end_us) {
        return false;
    }
    if (*count < hit->cost) {
        return false; /* Reset since. */
    }
    *count -= hit->cost;
    return true;
}

const fta_strategy fta_strategy_sliding_window_counter = {
    .name = "sliding-window-counter",
    .letter = 's',
    .keeps_previous = true,
    .look = look,
    .count = count,
    .take_back = take_back,
};
