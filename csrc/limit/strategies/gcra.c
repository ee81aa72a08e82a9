/* GCRA, the generic cell rate algorithm: one hit every interval of period /
 * limit, and a burst of at most limit.
 *
 * What is kept is the theoretical arrival time, to the nanosecond: end_us is
 * the end of its tick, and value is one more than the nanoseconds into that
 * tick. */
#include "limit/strategy.h"

#define NS_PER_US 1000

_Static_assert(FTA_TICK_US *NS_PER_US <= INT32_MAX, "a value has 31 bits");

/* Up to a period of 30 days, all times of a counter are whole numbers of
 * nanoseconds below 2^53, which the script in Redis can work with. Intervals of
 * longer periods are so long that microseconds are exact enough. */
#define LONGEST_IN_NS (INT64_C(30) * 86400 * 1000000)

/* Rounded up, so that no more than the limit is allowed in a period. */
static int64_t
interval_of(const fta_hit *hit)
{
    bool in_ns = hit->period_us <= LONGEST_IN_NS;
    int64_t period = hit->period_us * (in_ns ? NS_PER_US : 1);
    int64_t interval = (period + hit->limit - 1) / hit->limit;
    return interval * (in_ns ? 1 : NS_PER_US);
}

static int64_t
us_rounded_up(int64_t ns)
{
    return (ns + NS_PER_US - 1) / NS_PER_US;
}

/* How far the arrival time is ahead of now. */
static int64_t
ahead_of(const fta_counter *counter, int64_t now_us)
{
    if (counter->value == 0) {
        return 0;
    }
    int64_t tick_us = counter->end_us - FTA_TICK_US;
    int64_t ahead = (tick_us - now_us) * NS_PER_US + counter->value - 1;
    return ahead > 0 ? ahead : 0;
}

static void
set_ahead(fta_counter *counter, int64_t now_us, int64_t ahead)
{
    int64_t tat_us = now_us + ahead / NS_PER_US;
    int64_t tick_us = fta_tick_of(tat_us) * FTA_TICK_US;
    counter->end_us = tick_us + FTA_TICK_US;
    counter->value =
        (uint32_t)((tat_us - tick_us) * NS_PER_US + ahead % NS_PER_US) + 1;
}

static void
answer(int64_t ahead, int64_t interval, const fta_hit *hit,
       fta_verdict *verdict)
{
    /* A cell that is partly paid back is still used. */
    int64_t used = (ahead + interval - 1) / interval;
    fta_verdict_of_use(verdict, hit, used, us_rounded_up(ahead), 0);
    if (!verdict->allowed) {
        int64_t room = (int64_t)(hit->limit - hit->cost) * interval;
        verdict->retry_after_us = us_rounded_up(ahead - room);
    }
}

static void
look(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
     fta_verdict *verdict)
{
    answer(ahead_of(counter, now_us), interval_of(hit), hit, verdict);
}

static bool
count(fta_counter *counter, const fta_hit *hit, int64_t now_us,
      fta_verdict *verdict)
{
    int64_t interval = interval_of(hit);
    int64_t ahead = ahead_of(counter, now_us);
    answer(ahead, interval, hit, verdict);
    if (!verdict->allowed) {
        return false;
    }
    ahead += interval * hit->cost;
    set_ahead(counter, now_us, ahead);
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = us_rounded_up(ahead);
    return true;
}

/* Time has paid for a hit since it was counted. How much of that time was this
 * hit's nobody knows, because others may have been taken back: all of it, at
 * most. So what is taken back is the rest, and the arrival time is never before
 * the one that the hits which stay have. */
static bool
take_back(fta_counter *counter, const fta_receipt *receipt, const fta_hit *hit,
          int64_t now_us)
{
    int64_t rest = interval_of(hit) * hit->cost;
    int64_t ahead = ahead_of(counter, now_us);
    if (now_us > receipt->at_us) {
        rest -= (now_us - receipt->at_us) * NS_PER_US;
    }
    if (rest <= 0 || ahead == 0) {
        return false;
    }
    set_ahead(counter, now_us, ahead > rest ? ahead - rest : 0);
    return true;
}

const fta_strategy fta_strategy_gcra = {
    .name = "gcra",
    .letter = 'g',
    .look = look,
    .count = count,
    .melt_ns = interval_of,
    .take_back = take_back,
};
