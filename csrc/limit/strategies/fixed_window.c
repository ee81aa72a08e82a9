/* Fixed window: it starts with its first hit and lasts one period.
 *
 * end_us is the end of a tick. The low bits of the value, as many as the limit
 * has, are the count. The bits above say how long before the end of the tick
 * the window ends, in grains: the fewer bits a large limit leaves, the longer
 * is its grain. A window starts with the grain that its first hit is in, and
 * its length is the period, rounded up to a whole grain. So windows never
 * overlap, and none is shorter than the period. */
#include "limit/strategy.h"

/* In microseconds, by the number of bits of the limit: the shortest of which a
 * tick has no more than the bits above the count can tell apart. All divide a
 * second, and so every period, but for the last one. */
static const uint32_t grains[] = {
    1,     1,     1,     1,      1,      1,      1,       1,
    1,     1,     1,     2,      4,      8,      16,      32,
    64,    125,   250,   500,    1000,   2000,   4000,    8000,
    15625, 31250, 62500, 125000, 250000, 500000, 1000000, 2000000,
};

_Static_assert(FTA_TICK_US == 2000000, "the grains are parts of a tick");

static unsigned
count_bits(const fta_hit *hit)
{
    return 32 - (unsigned)__builtin_clz(hit->limit);
}

static int64_t
grain_of(const fta_hit *hit)
{
    return grains[count_bits(hit)];
}

static int64_t
length_of(const fta_hit *hit)
{
    int64_t grain_us = grain_of(hit);
    return fta_multiple_until(hit->period_us + grain_us - 1, grain_us);
}

static uint32_t
count_of(const fta_counter *counter, const fta_hit *hit)
{
    return counter->value & ((1u << count_bits(hit)) - 1);
}

static int64_t
end_of(const fta_counter *counter, const fta_hit *hit)
{
    int64_t grains_left = counter->value >> count_bits(hit);
    return counter->end_us - grains_left * grain_of(hit);
}

static void
start_window(fta_counter *counter, const fta_hit *hit, int64_t now_us)
{
    int64_t grain_us = grain_of(hit);
    int64_t end_us = fta_multiple_until(now_us, grain_us) + length_of(hit);
    counter->end_us = fta_tick_from(end_us) * FTA_TICK_US;
    uint32_t grains_left = (uint32_t)((counter->end_us - end_us) / grain_us);
    counter->value = grains_left << count_bits(hit);
}

static void
look(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
     fta_verdict *verdict)
{
    int64_t left_us = counter->value > 0 ? end_of(counter, hit) - now_us : 0;
    uint32_t used = count_of(counter, hit);
    if (left_us <= 0) {
        left_us = 0;
        used = 0;
    }
    fta_verdict_of_use(verdict, hit, used, left_us, left_us);
}

static bool
count(fta_counter *counter, const fta_hit *hit, int64_t now_us,
      fta_verdict *verdict)
{
    look(counter, hit, now_us, verdict);
    if (!verdict->allowed) {
        return false;
    }
    if (verdict->reset_after_us == 0) {
        start_window(counter, hit, now_us);
        verdict->reset_after_us = end_of(counter, hit) - now_us;
    }
    counter->value += hit->cost;
    verdict->remaining -= hit->cost;
    return true;
}

/* Windows do not overlap, so the time of a hit says which one it is in. */
static bool
take_back(fta_counter *counter, const fta_receipt *receipt, const fta_hit *hit,
          int64_t now_us)
{
    (void)now_us;
    int64_t end_us = end_of(counter, hit);
    uint32_t count = count_of(counter, hit);
    if (receipt->at_us >= end_us || receipt->at_us < end_us - length_of(hit) ||
        count < hit->cost) {
        return false; /* Another window, or reset since. */
    }
    counter->value = count > hit->cost ? counter->value - hit->cost : 0;
    return true;
}

const fta_strategy fta_strategy_fixed_window = {
    .name = "fixed-window",
    .letter = 'f',
    .look = look,
    .count = count,
    .take_back = take_back,
};
