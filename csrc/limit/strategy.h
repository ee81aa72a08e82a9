/* The strategies: by what rule a counter allows or limits a hit.
 *
 * A strategy is three things: its file in strategies/, which says the rule in
 * C; its file in redis/lua/, which says the same in Lua for Redis; and its line
 * in FTA_STRATEGY_LIST. No other file knows one strategy from another. */
#ifndef FTA_LIMIT_STRATEGY_H
#define FTA_LIMIT_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "limit/hit.h"

/* X(name): strategies/<name>.c defines fta_strategy_<name>. The first one is
 * the default. */
#define FTA_STRATEGY_LIST(X)                                                   \
    X(fixed_window)                                                            \
    X(sliding_window_counter)                                                  \
    X(gcra)

/* A store may keep time in ticks. The windows of a grid are at least a second
 * long, so that two ends of every other window are never in the same tick. */
#define FTA_TICK_US INT64_C(2000000)

/* What is known of one key, or nothing, which is a value of 0.
 *
 * A store may round end_us up to a whole tick when it keeps a counter. A
 * strategy that has to know a time more exactly than that puts the rest of it
 * into value. */
typedef struct fta_counter {
    int64_t end_us; /* From then on the counter may be forgotten. */
    uint32_t value; /* 31 bits: what the strategy makes of them, but never 0
                       after a hit. */
    /* Of a strategy that keeps_previous. Its windows stand on a grid (see
     * fta_window_start), and each has a counter, which ends with the window
     * after it. The store sets all three members for the window of now, end_us
     * also where nothing is known. */
    uint32_t previous; /* The value of the window before. */
} fta_counter;

struct fta_strategy {
    const char *name;    /* As in a setting, and in the Lua script. */
    char letter;         /* Unique: the first byte of a counter's key. */
    bool keeps_previous; /* See fta_counter. */

    /* Writes what the counter answers to the hit now, all but the index. */
    void (*look)(const fta_counter *counter, const fta_hit *hit, int64_t now_us,
                 fta_verdict *verdict);

    /* Looks, and counts the hit if it is allowed: then the verdict says what
     * remains after it. Returns whether it is allowed. */
    bool (*count)(fta_counter *counter, const fta_hit *hit, int64_t now_us,
                  fta_verdict *verdict);

    /* How many nanoseconds pay for a hit of 1. NULL: hits end with windows. */
    int64_t (*melt_ns)(const fta_hit *hit);

    /* Takes back the hit of a receipt, which was not taken back before. The
     * hits that stay have what they had: the counter never holds less than they
     * would have left in it. Returns false, and changes nothing, where it no
     * longer holds the hit. */
    bool (*take_back)(fta_counter *counter, const fta_receipt *receipt,
                      const fta_hit *hit, int64_t now_us);
};

#define X(name) extern const fta_strategy fta_strategy_##name;
FTA_STRATEGY_LIST(X)
#undef X

enum {
    FTA_STRATEGY_COUNT = 0
#define X(name) +1
    FTA_STRATEGY_LIST(X)
#undef X
};

/* All of them, in the order of the list. */
extern const fta_strategy *const fta_strategies[FTA_STRATEGY_COUNT];

/* Their names, in the same order. */
void fta_strategy_names(fta_text out[FTA_STRATEGY_COUNT]);

/* -- What strategies have in common ---------------------------------------- */

/* Each of these is a part of every hit. */

/* Writes what a limit of which so much is used answers to this hit. used may be
 * any number: a limit may have been lowered since. */
static inline void
fta_verdict_of_use(fta_verdict *verdict, const fta_hit *hit, int64_t used,
                   int64_t reset_after_us, int64_t retry_after_us)
{
    verdict->limit = hit->limit;
    verdict->remaining = used < hit->limit ? hit->limit - (uint32_t)used : 0;
    verdict->allowed = hit->cost <= verdict->remaining;
    verdict->reset_after_us = reset_after_us;
    verdict->retry_after_us = verdict->allowed ? 0 : retry_after_us;
}

/* The last multiple of unit_us that is not after us. */
static inline int64_t
fta_multiple_until(int64_t us, int64_t unit_us)
{
    int64_t rest_us = us % unit_us;
    return us - rest_us - (rest_us < 0 ? unit_us : 0);
}

/* The start of the window of the grid that now_us is in: a multiple of the
 * period. */
static inline int64_t
fta_window_start(const fta_hit *hit, int64_t now_us)
{
    return fta_multiple_until(now_us, hit->period_us);
}

/* When the counter of the window that starts then ends: with the window after
 * it. */
static inline int64_t
fta_counter_end(const fta_hit *hit, int64_t start_us)
{
    return start_us + 2 * hit->period_us;
}

/* The tick that us is in. */
static inline int64_t
fta_tick_of(int64_t us)
{
    return (us < 0 ? us - (FTA_TICK_US - 1) : us) / FTA_TICK_US;
}

/* The first tick that starts at us or later. */
static inline int64_t
fta_tick_from(int64_t us)
{
    return fta_tick_of(us + FTA_TICK_US - 1);
}

#endif
