#include "limit/rate.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct unit {
    const char *name;
    uint32_t seconds;
} unit;

/* From the largest down: fta_rate_format takes the first that divides. */
static const unit units[] = {
    {"year", 365 * 86400}, {"month", 30 * 86400}, {"week", 7 * 86400},
    {"day", 86400},        {"hour", 3600},        {"minute", 60},
    {"second", 1},
};

/* What else people write. */
static const unit short_units[] = {
    {"y", 365 * 86400},
    {"yr", 365 * 86400},
    {"yrs", 365 * 86400},
    {"w", 7 * 86400},
    {"d", 86400},
    {"h", 3600},
    {"hr", 3600},
    {"hrs", 3600},
    {"min", 60},
    {"mins", 60},
    {"s", 1},
    {"sec", 1},
    {"secs", 1},
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* -- the grammar ----------------------------------------------------------- */

typedef struct reader {
    const char *text; /* Borrowed. */
    size_t length;
    size_t at;
    const char *reason; /* Why reading stopped; NULL while it goes on. */
} reader;

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void
skip_space(reader *r)
{
    while (r->at < r->length && is_space(r->text[r->at])) {
        r->at++;
    }
}

/* Whether one of these characters stands here; steps over it. */
static bool
accept_any(reader *r, const char *characters)
{
    if (r->at < r->length && r->text[r->at] != '\0' &&
        strchr(characters, r->text[r->at]) != NULL) {
        r->at++;
        return true;
    }
    return false;
}

static bool
accept_word(reader *r, const char *word)
{
    size_t size = strlen(word);
    if (r->length - r->at < size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (lower(r->text[r->at + i]) != word[i]) {
            return false;
        }
    }
    r->at += size;
    return true;
}

/* A decimal number of minimum .. maximum. */
static bool
read_number(reader *r, uint32_t minimum, uint32_t maximum,
            const char *too_large, uint32_t *out)
{
    size_t start = r->at;
    uint64_t value = 0;
    while (r->at < r->length && is_digit(r->text[r->at])) {
        value = value * 10 + (uint64_t)(r->text[r->at] - '0');
        if (value > maximum) {
            r->at = start;
            r->reason = too_large;
            return false;
        }
        r->at++;
    }
    if (r->at == start || value < minimum) {
        r->reason = r->at == start ? "a number is expected"
                                   : "a period has to be at least 1";
        r->at = start;
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool
is_letter(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

/* Whether the word is this name, in any case, perhaps with a plural s. */
static bool
is_unit(const char *word, size_t length, const char *name, bool plural)
{
    size_t size = strlen(name);
    if (plural && length == size + 1 && lower(word[size]) == 's') {
        length = size;
    }
    if (length != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (lower(word[i]) != name[i]) {
            return false;
        }
    }
    return true;
}

/* The unit that a whole word names. */
static bool
read_unit(reader *r, uint32_t *seconds)
{
    const char *word = r->text + r->at;
    size_t length = 0;
    while (r->at + length < r->length && is_letter(word[length])) {
        length++;
    }
    *seconds = 0;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (is_unit(word, length, units[i].name, true)) {
            *seconds = units[i].seconds;
        }
    }
    for (size_t i = 0; i < COUNT_OF(short_units); i++) {
        if (is_unit(word, length, short_units[i].name, false)) {
            *seconds = short_units[i].seconds;
        }
    }
    if (*seconds == 0) {
        r->reason =
            is_unit(word, length, "m", false)
                ? "m could be a minute or a month: min or month is expected"
                : "a unit of time is expected";
        return false;
    }
    r->at += length;
    return true;
}

static bool
read_rate(reader *r, fta_rate *out)
{
    static const char period_too_large[] = "a period is at most 5 years";
    uint32_t multiple = 1, seconds;
    if (!read_number(r, 0, FTA_RATE_LIMIT_MAX, "a limit is at most 2147483647",
                     &out->limit)) {
        return false;
    }
    skip_space(r);
    if (!accept_any(r, "/") && !accept_word(r, "per")) {
        r->reason = "\"per\" or \"/\" is expected";
        return false;
    }
    skip_space(r);
    size_t start = r->at;
    if (r->at < r->length && is_digit(r->text[r->at]) &&
        !read_number(r, 1, FTA_RATE_PERIOD_MAX, period_too_large, &multiple)) {
        return false;
    }
    skip_space(r);
    if (!read_unit(r, &seconds)) {
        return false;
    }
    if (multiple > FTA_RATE_PERIOD_MAX / seconds) {
        r->at = start;
        r->reason = period_too_large;
        return false;
    }
    out->period = multiple * seconds;
    return true;
}

fta_status
fta_rates_parse(fta_text text, fta_rates *out, fta_rate_error *error)
{
    reader r = {text.data, text.length, 0, NULL};
    out->count = 0;
    skip_space(&r);
    do {
        if (out->count == FTA_HITS_MAX) {
            r.reason = "too many rates";
            break;
        }
        if (!read_rate(&r, &out->rates[out->count])) {
            break;
        }
        out->count++;
        skip_space(&r);
        if (r.at == r.length) {
            return FTA_OK;
        }
        if (!accept_any(&r, ";,|")) {
            r.reason = "\";\", \",\" or \"|\" is expected";
            break;
        }
        skip_space(&r);
    } while (r.at < r.length);
    if (r.reason == NULL) {
        return FTA_OK; /* A separator ended the text. */
    }
    *error = (fta_rate_error){r.at, r.reason};
    return FTA_BAD_RATE;
}

void
fta_rate_format(const fta_rate *rate, char out[FTA_RATE_TEXT])
{
    size_t i = 0;
    while (rate->period % units[i].seconds != 0) {
        i++;
    }
    uint32_t multiple = rate->period / units[i].seconds;
    (void)snprintf(out, FTA_RATE_TEXT, "%u per %u %s%s", rate->limit, multiple,
                   units[i].name, multiple == 1 ? "" : "s");
}
