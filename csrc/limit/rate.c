#include "limit/rate.h"

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

static const char *const strategy_names[] = {
    [FTA_FIXED_WINDOW] = "fixed-window",
    [FTA_SLIDING_WINDOW_COUNTER] = "sliding-window-counter",
    [FTA_GCRA] = "gcra",
};

bool
fta_strategy_parse(const char *text, size_t length, fta_strategy *out)
{
    for (size_t i = 0; i < sizeof strategy_names / sizeof *strategy_names;
         i++) {
        if (strlen(strategy_names[i]) == length &&
            memcmp(strategy_names[i], text, length) == 0) {
            *out = (fta_strategy)i;
            return true;
        }
    }
    return false;
}

const char *
fta_strategy_name(fta_strategy strategy)
{
    return strategy_names[strategy];
}

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
    if (!read_number(r, 0, FTA_RATE_LIMIT_MAX, "a limit is at most 8388607",
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
fta_rates_parse(const char *text, size_t length, fta_rate *out, size_t capacity,
                size_t *count, size_t *bad_at, const char **reason)
{
    reader r = {text, length, 0, NULL};
    *count = 0;
    skip_space(&r);
    do {
        if (*count == capacity) {
            r.reason = "too many rates";
            break;
        }
        if (!read_rate(&r, &out[*count])) {
            break;
        }
        ++*count;
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
    *bad_at = r.at;
    *reason = r.reason;
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

/* -- verdicts -------------------------------------------------------------- */

bool
fta_verdict_closer(const fta_verdict *a, const fta_verdict *b)
{
    if (a->allowed != b->allowed) {
        return b->allowed;
    }
    if (!a->allowed) {
        return a->retry_after_us > b->retry_after_us;
    }
    /* a.remaining / a.limit < b.remaining / b.limit, without dividing. */
    return (uint64_t)a->remaining * b->limit <
           (uint64_t)b->remaining * a->limit;
}

/* What a limit of which so much is used answers to this hit. */
static void
verdict_of_use(fta_verdict *verdict, const fta_hit *hit, uint32_t used,
               int64_t reset_after_us, int64_t retry_after_us)
{
    /* used may be above the limit for a while after a limit was lowered, or
     * a number from elsewhere; neither may wrap. */
    verdict->limit = hit->limit;
    verdict->remaining = used < hit->limit ? hit->limit - used : 0;
    verdict->allowed = hit->cost <= verdict->remaining;
    verdict->reset_after_us = reset_after_us;
    verdict->retry_after_us = verdict->allowed ? 0 : retry_after_us;
}

/* -- fixed window ---------------------------------------------------------- */

void
fta_window_look(const fta_window *window, const fta_hit *hit, int64_t now_us,
                fta_verdict *verdict)
{
    bool open = window->count > 0 && now_us < window->end_us;
    int64_t left_us = open ? window->end_us - now_us : 0;
    verdict_of_use(verdict, hit, open ? window->count : 0, left_us, left_us);
}

void
fta_window_take(fta_window *window, const fta_hit *hit, int64_t now_us)
{
    if (window->count == 0 || now_us >= window->end_us) {
        window->end_us = now_us + hit->period_us;
        window->count = 0;
    }
    window->count += hit->cost;
}

/* -- sliding window counter ------------------------------------------------ */

/* In milliseconds, count times time fits in 63 bits for every limit and
 * period allowed; periods are whole seconds, so nothing is lost. */
#define US_PER_MS 1000

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t
fta_sliding_start(const fta_hit *hit, int64_t now_us)
{
    return floor_div(now_us, hit->period_us) * hit->period_us;
}

/* The longest time before the end of a window in which its predecessor,
 * having counted so much, takes no more than room. */
static int64_t
time_within(uint32_t count, uint32_t room, int64_t period_ms)
{
    return count <= room ? period_ms : (int64_t)room * period_ms / count;
}

void
fta_sliding_look(const fta_sliding *sliding, const fta_hit *hit, int64_t now_us,
                 fta_verdict *verdict)
{
    int64_t period_ms = hit->period_us / US_PER_MS;
    int64_t start_ms = sliding->start_us / US_PER_MS;
    int64_t now_ms = floor_div(now_us, US_PER_MS);
    int64_t end_ms = start_ms + period_ms;
    int64_t left_ms = end_ms - now_ms;

    /* Rounded up, so that the sum never claims room there is not. */
    int64_t carried =
        ((int64_t)sliding->previous * left_ms + period_ms - 1) / period_ms;
    int64_t used = carried + sliding->current;
    uint32_t used32 =
        used > FTA_RATE_LIMIT_MAX ? FTA_RATE_LIMIT_MAX : (uint32_t)used;

    int64_t reset_ms = now_ms; /* When nothing counted is felt any more. */
    if (sliding->current > 0) {
        reset_ms = end_ms + period_ms;
    } else if (sliding->previous > 0) {
        reset_ms = end_ms;
    }

    int64_t retry_ms;
    uint32_t room = hit->limit - hit->cost;
    if (sliding->current <= room) {
        retry_ms = end_ms - time_within(sliding->previous,
                                        room - sliding->current, period_ms);
    } else {
        retry_ms =
            end_ms + period_ms - time_within(sliding->current, room, period_ms);
    }
    verdict_of_use(verdict, hit, used32, (reset_ms - now_ms) * US_PER_MS,
                   retry_ms * US_PER_MS - now_us);
}

void
fta_sliding_take(fta_sliding *sliding, const fta_hit *hit)
{
    sliding->current += hit->cost;
}

/* -- gcra ------------------------------------------------------------------ */

static int64_t
emission_interval(const fta_hit *hit)
{
    return (hit->period_us + hit->limit - 1) / hit->limit;
}

void
fta_gcra_look(int64_t tat_us, const fta_hit *hit, int64_t now_us,
              fta_verdict *verdict)
{
    int64_t interval = emission_interval(hit);
    int64_t ahead = tat_us > now_us ? tat_us - now_us : 0;
    /* A cell that is partly paid back is still used. */
    int64_t used = (ahead + interval - 1) / interval;
    uint32_t used32 =
        used > FTA_RATE_LIMIT_MAX ? FTA_RATE_LIMIT_MAX : (uint32_t)used;
    int64_t room = (int64_t)(hit->limit - hit->cost) * interval;
    verdict_of_use(verdict, hit, used32, ahead, ahead - room);
}

int64_t
fta_gcra_take(int64_t tat_us, const fta_hit *hit, int64_t now_us)
{
    int64_t base = tat_us > now_us ? tat_us : now_us;
    return base + emission_interval(hit) * hit->cost;
}

int64_t
fta_gcra_take_back(int64_t tat_us, const fta_hit *hit)
{
    return tat_us - emission_interval(hit) * hit->cost;
}
