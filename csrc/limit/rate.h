/* Rates: "50 per minute; 5 per second". */
#ifndef FTA_LIMIT_RATE_H
#define FTA_LIMIT_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

/* What a limit may be at most (31 bits: the count has to fit in a slot of the
 * shared table), and a period (five years of 365 days). */
#define FTA_RATE_LIMIT_MAX 2147483647u
#define FTA_RATE_PERIOD_MAX (5u * 365 * 86400)

/* How many limits one request may be held against, and one text may list. */
#define FTA_HITS_MAX 16

typedef struct fta_rate {
    uint32_t limit;  /* 0 .. FTA_RATE_LIMIT_MAX; 0 allows no request. */
    uint32_t period; /* Seconds. */
} fta_rate;

/* The rates of one text. */
typedef struct fta_rates {
    fta_rate rates[FTA_HITS_MAX];
    size_t count;
} fta_rates;

/* Why a text is not rates. */
typedef struct fta_rate_error {
    size_t at;          /* The offset where the text stops making sense. */
    const char *reason; /* An English phrase. */
} fta_rate_error;

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
 * could be a minute or a month, and is neither. FTA_BAD_RATE fills error. */
fta_status fta_rates_parse(fta_text text, fta_rates *out,
                           fta_rate_error *error);

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

#endif
