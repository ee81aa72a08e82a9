/* GCRA, the generic cell rate algorithm: one hit every interval of period /
 * limit, rounded up to a microsecond, and a burst of at most limit.
 *
 * What is kept is the theoretical arrival time, to the microsecond: end_us is
 * the end of its tick, and value is one more than the microseconds into that
 * tick. */
#include "limit/strategy.h"

static int64_t
emission_interval(const fta_hit *hit)
{
    return (hit->period_us + hit->limit - 1) / hit->limit;
}

static int64_t
tat_of(const fta_counter *counter)
{
    return counter->end_us - FTA_TICK_US + (int64_t)counter->value - 1;
}

static void
set_tat(fta_counter *counter, int64_t tat_us)
{
    int64_t tick = fta_tick_of(tat_us);
    counter->end_us = (tick + 1) * FTA_TICK_US;
    counter->value = (uint32_t)(tat_us - tick * FTA_TICK_US) + 1;
}

/* How far the arrival time is ahead of now. */
static int64_t
ahead_of(const fta_counter *counter, int64_t now_us)
{
    int64_t tat_us = counter->value > 0 ? tat_of(counter) : now_us;
    return tat_us > now_us ? tat_us - now_us : 0;
}

static void
answer(int64_t ahead_us, int64_t interval, const fta_hit *hit,
       fta_verdict *verdict)
{
    /* A cell that is partly paid back is still used. */
    int64_t used = (ahead_us + interval - 1) / interval;
    int64_t room_us = (int64_t)(hit->limit - hit->cost) * interval;
    fta_verdict_of_use(verdict, hit, used, ahead_us, ahead_us - room_us);
}

static void
look(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
     fta_verdict *verdict)
{
    answer(ahead_of(counter, now_us), emission_interval(hit), hit, verdict);
}

static bool
count(fta_counter *counter, const fta_hit *hit, int64_t now_us,
      fta_verdict *verdict)
{
    int64_t interval = emission_interval(hit);
    int64_t ahead_us = ahead_of(counter, now_us);
    answer(ahead_us, interval, hit, verdict);
    if (!verdict->allowed) {
        return false;
    }
    ahead_us += interval * hit->cost;
    set_tat(counter, now_us + ahead_us);
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = ahead_us;
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
    int64_t rest_us = emission_interval(hit) * hit->cost;
    int64_t ahead_us = ahead_of(counter, now_us);
    if (now_us > receipt->at_us) {
        rest_us -= now_us - receipt->at_us;
    }
    if (rest_us <= 0 || ahead_us == 0) {
        return false;
    }
    set_tat(counter, now_us + (ahead_us > rest_us ? ahead_us - rest_us : 0));
    return true;
}

const fta_strategy fta_strategy_gcra = {
    .name = "gcra",
    .letter = 'g',
    .look = look,
    .count = count,
    .take_back = take_back,
};
