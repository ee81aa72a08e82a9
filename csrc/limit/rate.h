/* Rates ("50 per minute; 5 per second") and the arithmetic of the three
 * strategies, as pure functions of a state and a time.
 *
 * Every store counts by these rules, whatever holds the state: the table in
 * shared memory calls the functions below, the Redis script says the same in
 * Lua and is held against them by the tests. Time is in microseconds of
 * whatever clock the store counts by. */
#ifndef FTA_LIMIT_RATE_H
#define FTA_LIMIT_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What a limit may be at most (23 bits: the count has to fit in a slot of the
 * shared table), and a period (five years of 365 days). */
#define FTA_RATE_LIMIT_MAX 8388607u
#define FTA_RATE_PERIOD_MAX (5u * 365 * 86400)

/* How many limits one request may be held against, and one text may list. */
#define FTA_HITS_MAX 16

typedef struct fta_rate {
    uint32_t limit;  /* 0 .. FTA_RATE_LIMIT_MAX; with 0 nobody passes. */
    uint32_t period; /* Seconds. */
} fta_rate;

typedef enum fta_strategy {
    FTA_FIXED_WINDOW,
    FTA_SLIDING_WINDOW_COUNTER,
    FTA_GCRA,
} fta_strategy;

/* What to do with the counters of a request. */
typedef enum fta_action {
    FTA_COUNT, /* Check and count in one step, all limits or none. */
    FTA_PEEK,  /* Answer as FTA_COUNT would, counting nothing. */
    FTA_RESET, /* Forget what was counted. */
} fta_action;

/* One limit that a request is held against. The key stands for the counter:
 * two hits with the same key share it, so strategy, scope, subject and rate
 * are all part of it (see fta_key_build). */
typedef struct fta_hit {
    const uint8_t *key; /* Borrowed. */
    size_t key_length;
    uint32_t limit;    /* 1 .. FTA_RATE_LIMIT_MAX */
    uint32_t cost;     /* 1 .. limit */
    int64_t period_us; /* A whole number of seconds. */
} fta_hit;

/* The answer to one hit, and to several: that of the limit closest to
 * refusal. */
typedef struct fta_verdict {
    bool allowed;
    size_t index;           /* Which of the hits this is about. */
    uint32_t limit;         /* Its limit. */
    uint32_t remaining;     /* What is left, after this hit when counted. */
    int64_t reset_after_us; /* Until all of the limit is there again. */
    int64_t retry_after_us; /* Until this cost fits; 0 when allowed. */
} fta_verdict;

/* Reads "fixed-window", "sliding-window-counter" or "gcra". */
bool fta_strategy_parse(const char *text, size_t length, fta_strategy *out);

/* The name of a strategy, never NULL. */
const char *fta_strategy_name(fta_strategy strategy);

/* Reads the grammar
 *
 *     rates   = rate *( separator rate ) [ separator ]
 *     rate    = count ( "per" / "/" ) [ count ] unit
 *     unit    = "second" / "minute" / "hour" / "day" / "week" / "month" /
 *               "year", each also with a plural s, or one of the short forms
 *               "s" / "sec" / "secs" / "min" / "mins" / "h" / "hr" / "hrs" /
 *               "d" / "w" / "y" / "yr" / "yrs"
 *               (any case; a month is 30 days, a year 365)
 *     separator = ";" / "," / "|"
 *
 * with white space wherever two parts meet. The first count may be 0. "m"
 * could be a minute or a month, and is neither. Writes at most capacity rates
 * and their number. FTA_BAD_RATE leaves in *bad_at the offset where the text
 * stops making sense and in *reason an English phrase that says why. */
fta_status fta_rates_parse(const char *text, size_t length, fta_rate *out,
                           size_t capacity, size_t *count, size_t *bad_at,
                           const char **reason);

/* What can be written, for people: ends a message that begins with the reason.
 */
#define FTA_RATE_FORMS                                                         \
    "write a rate as '50 per minute', '100/hour', '5/s' or "                   \
    "'10 per 2 hours', and several with ';', ',' or '|'; the units are "       \
    "second (s, sec), minute (min), hour (h, hr), day (d), week (w), month "   \
    "and year (y, yr)"

/* Writes "50 per 1 minute", in the largest unit that divides the period; the
 * text is NUL-terminated. */
#define FTA_RATE_TEXT 48
void fta_rate_format(const fta_rate *rate, char out[FTA_RATE_TEXT]);

/* Whether a is closer to refusal than b: a refusal before an admission, of
 * refusals the longest wait, of admissions the smallest share that remains. */
bool fta_verdict_closer(const fta_verdict *a, const fta_verdict *b);

/* -- fixed window ---------------------------------------------------------- */

/* It starts with its first hit and lasts one period. */
typedef struct fta_window {
    int64_t end_us; /* Nothing counts from here on. */
    uint32_t count;
} fta_window;

/* Looks with hit->cost; writes everything but the index. */
void fta_window_look(const fta_window *window, const fta_hit *hit,
                     int64_t now_us, fta_verdict *verdict);

/* Counts the cost, which fits. */
void fta_window_take(fta_window *window, const fta_hit *hit, int64_t now_us);

/* -- sliding window counter ------------------------------------------------ */

/* Windows stand on a fixed grid. What counts is the current one, and of the one
 * before as much as a window that ended now would still cover, rounded up. */
typedef struct fta_sliding {
    int64_t start_us; /* Of the current window: a multiple of the period. */
    uint32_t current;
    uint32_t previous;
} fta_sliding;

/* Both take a state whose start_us is that of now_us's window. */
void fta_sliding_look(const fta_sliding *sliding, const fta_hit *hit,
                      int64_t now_us, fta_verdict *verdict);
void fta_sliding_take(fta_sliding *sliding, const fta_hit *hit);

/* The start of the window that now_us is in. */
int64_t fta_sliding_start(const fta_hit *hit, int64_t now_us);

/* -- gcra ------------------------------------------------------------------ */

/* One hit every interval of period / limit, rounded up to a microsecond, and a
 * burst of at most limit.
 *
 * tat_us is the theoretical arrival time, anything in the past for a client
 * that was never seen. */
void fta_gcra_look(int64_t tat_us, const fta_hit *hit, int64_t now_us,
                   fta_verdict *verdict);
int64_t fta_gcra_take(int64_t tat_us, const fta_hit *hit, int64_t now_us);

/* The tat without a hit that it holds. */
int64_t fta_gcra_take_back(int64_t tat_us, const fta_hit *hit);

#endif
