#include "limit/rate.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

static fta_status
parse(const char *text, fta_rates *out, size_t *bad_at)
{
    fta_rate_error error = {.reason = NULL};
    guarded copy = guarded_copy(text, strlen(text));
    fta_status status =
        fta_rates_parse((fta_text){copy.text, strlen(text)}, out, &error);
    guarded_free(&copy);
    CHECK((status == FTA_OK) == (error.reason == NULL));
    *bad_at = error.at;
    return status;
}

static void
test_valid_texts_are_read(void)
{
    static const struct {
        const char *text;
        size_t count;
        fta_rate first, last;
    } good[] = {
        {"50 per minute", 1, {50, 60}, {50, 60}},
        {"50 per 1 minute", 1, {50, 60}, {50, 60}},
        {"50 per minute; 5 per second", 2, {50, 60}, {5, 1}},
        {"100/hour", 1, {100, 3600}, {100, 3600}},
        {"100 / hour", 1, {100, 3600}, {100, 3600}},
        {"10 per 2 minutes", 1, {10, 120}, {10, 120}},
        {"10/2minutes", 1, {10, 120}, {10, 120}},
        {"1PER1SECOND", 1, {1, 1}, {1, 1}},
        {"1 per day,2 per Month;3 per yearS", 3, {1, 86400}, {3, 31536000}},
        {" \t1 per hour \n;\v", 1, {1, 3600}, {1, 3600}},
        {"2147483647 per second", 1, {2147483647, 1}, {2147483647, 1}},
        {"1 per 5 years", 1, {1, 157680000}, {1, 157680000}},
        {"0001 per 0060 seconds", 1, {1, 60}, {1, 60}},
        {"100/min", 1, {100, 60}, {100, 60}},
        {"100 per mins", 1, {100, 60}, {100, 60}},
        {"5/s", 1, {5, 1}, {5, 1}},
        {"5/S", 1, {5, 1}, {5, 1}},
        {"5/30s", 1, {5, 30}, {5, 30}},
        {"5 per sec; 6 per 2 secs", 2, {5, 1}, {6, 2}},
        {"10 per week", 1, {10, 604800}, {10, 604800}},
        {"10 per 2 Weeks", 1, {10, 1209600}, {10, 1209600}},
        {"10/w", 1, {10, 604800}, {10, 604800}},
        {"10/d", 1, {10, 86400}, {10, 86400}},
        {"10/h", 1, {10, 3600}, {10, 3600}},
        {"10/hr|9/2hrs", 2, {10, 3600}, {9, 7200}},
        {"10/y", 1, {10, 31536000}, {10, 31536000}},
        {"10/yr,9/2yrs", 2, {10, 31536000}, {9, 63072000}},
        {"1/day|2/hour|", 2, {1, 86400}, {2, 3600}},
        {"0 per minute", 1, {0, 60}, {0, 60}},
        {"000/hour", 1, {0, 3600}, {0, 3600}},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        fta_rates found;
        size_t bad_at;
        CHECK(parse(good[i].text, &found, &bad_at) == FTA_OK);
        CHECK(found.count == good[i].count);
        const fta_rate *rates = found.rates;
        CHECK(rates[0].limit == good[i].first.limit);
        CHECK(rates[0].period == good[i].first.period);
        CHECK(rates[found.count - 1].limit == good[i].last.limit);
        CHECK(rates[found.count - 1].period == good[i].last.period);
    }
}

static void
test_invalid_texts_have_their_position(void)
{
    static const struct {
        const char *text;
        size_t bad_at;
    } bad[] = {
        {"", 0},
        {"   ", 3},
        {";", 0},
        {"per minute", 0},
        {"-1 per minute", 0},
        {"5/m", 2},
        {"5/M", 2},
        {"5/ms", 2},
        {"5/mo", 2},
        {"5/ss", 2},
        {"5/minutess", 2},
        {"5/mi", 2},
        {"5/weekly", 2},
        {"5/0s", 2},
        {"5/minute1", 8},
        {"1,000 per hour", 1},
        {"1 000 per hour", 2},
        {"1k/hour", 1},
        {"5\xEF\xBC\x8Fs", 1},
        {"5 requests per minute", 2},
        {"5 a minute", 2},
        {"5 per minute per user", 13},
        {"unlimited", 0},
        {"1.5 per minute", 1},
        {"2147483648 per minute", 0},
        {"99999999999999999999999999 per minute", 0},
        {"50", 2},
        {"50 minute", 3},
        {"50 per", 6},
        {"50 per fortnight", 7},
        {"50 per 0 minutes", 7},
        {"50 per 6 years", 7},
        {"50 per 157680001 seconds", 7},
        {"50 per 4294967296 seconds", 7},
        {"50 per minut", 7},
        {"50 per minute 5 per second", 14},
        {"50 per minute;;5 per second", 14},
        {"50 per minute; x", 15},
        {"50 per minutes s", 15},
        {"50 per minute||5 per second", 14},
        {"50 per minute & 5 per second", 14},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fta_rates rates;
        size_t bad_at;
        CHECK(parse(bad[i].text, &rates, &bad_at) == FTA_BAD_RATE);
        CHECK(bad_at == bad[i].bad_at);
    }
    /* A NUL is a character like any other foreign one. */
    fta_rates rates;
    fta_rate_error error;
    CHECK(fta_rates_parse((fta_text){"5/hour\0;", 8}, &rates, &error) ==
          FTA_BAD_RATE);
    CHECK(error.at == 6);
}

static void
test_a_text_has_as_many_rates_as_a_request_may_have_limits(void)
{
    char text[8 * (FTA_HITS_MAX + 1)] = "";
    fta_rates rates;
    size_t bad_at;
    for (int i = 0; i < FTA_HITS_MAX; i++) {
        strcat(text, "1/hour;");
    }
    CHECK(parse(text, &rates, &bad_at) == FTA_OK);
    CHECK(rates.count == FTA_HITS_MAX);
    size_t end = strlen(text);
    strcat(text, "1/hour");
    CHECK(parse(text, &rates, &bad_at) == FTA_BAD_RATE);
    CHECK(bad_at == end);
}

static void
test_a_rate_is_written_as_it_is_read(void)
{
    static const struct {
        fta_rate rate;
        const char *text;
    } texts[] = {
        {{50, 60}, "50 per 1 minute"},
        {{10, 120}, "10 per 2 minutes"},
        {{1, 1}, "1 per 1 second"},
        {{5, 90}, "5 per 90 seconds"},
        {{7, 3600}, "7 per 1 hour"},
        {{7, 86400}, "7 per 1 day"},
        {{7, 604800}, "7 per 1 week"},
        {{0, 1209600}, "0 per 2 weeks"},
        {{7, 2592000}, "7 per 1 month"},
        {{7, 31536000}, "7 per 1 year"},
        {{FTA_RATE_LIMIT_MAX, FTA_RATE_PERIOD_MAX}, "2147483647 per 5 years"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[FTA_RATE_TEXT];
        fta_rate_format(&texts[i].rate, text);
        CHECK(strcmp(text, texts[i].text) == 0);
        fta_rates back;
        size_t bad_at;
        CHECK(parse(text, &back, &bad_at) == FTA_OK && back.count == 1);
        CHECK(back.rates[0].limit == texts[i].rate.limit);
        CHECK(back.rates[0].period == texts[i].rate.period);
    }
}

int
main(void)
{
    test_valid_texts_are_read();
    test_invalid_texts_have_their_position();
    test_a_text_has_as_many_rates_as_a_request_may_have_limits();
    test_a_rate_is_written_as_it_is_read();
    return check_report("test_rate");
}
