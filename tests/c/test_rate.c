#include "limit/rate.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

#define SECOND_US INT64_C(1000000)

/* -- the grammar ----------------------------------------------------------- */

static fta_status
parse(const char *text, fta_rate *out, size_t capacity, size_t *count,
      size_t *bad_at)
{
    const char *reason = NULL;
    guarded copy = guarded_copy(text, strlen(text));
    fta_status status = fta_rates_parse(copy.text, strlen(text), out, capacity,
                                        count, bad_at, &reason);
    guarded_free(&copy);
    CHECK((status == FTA_OK) == (reason == NULL));
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
        {"8388607 per second", 1, {8388607, 1}, {8388607, 1}},
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
        fta_rate rates[4];
        size_t count, bad_at;
        CHECK(parse(good[i].text, rates, 4, &count, &bad_at) == FTA_OK);
        CHECK(count == good[i].count);
        CHECK(rates[0].limit == good[i].first.limit);
        CHECK(rates[0].period == good[i].first.period);
        CHECK(rates[count - 1].limit == good[i].last.limit);
        CHECK(rates[count - 1].period == good[i].last.period);
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
        {"8388608 per minute", 0},
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
        fta_rate rates[4];
        size_t count, bad_at = 999;
        CHECK(parse(bad[i].text, rates, 4, &count, &bad_at) == FTA_BAD_RATE);
        CHECK(bad_at == bad[i].bad_at);
    }
    /* A NUL is a character like any other foreign one. */
    fta_rate rates[2];
    size_t count, bad_at;
    const char *reason;
    CHECK(fta_rates_parse("5/hour\0;", 8, rates, 2, &count, &bad_at, &reason) ==
          FTA_BAD_RATE);
    CHECK(bad_at == 6);
}

static void
test_more_rates_than_fit_are_an_error(void)
{
    fta_rate rates[3];
    size_t count, bad_at;
    const char *text = "1/m";
    CHECK(parse(text, rates, 3, &count, &bad_at) == FTA_BAD_RATE);
    text = "1/second;2/second;3/second";
    CHECK(parse(text, rates, 3, &count, &bad_at) == FTA_OK && count == 3);
    CHECK(parse(text, rates, 2, &count, &bad_at) == FTA_BAD_RATE);
    CHECK(bad_at == 18);
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
        {{FTA_RATE_LIMIT_MAX, FTA_RATE_PERIOD_MAX}, "8388607 per 5 years"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[FTA_RATE_TEXT];
        fta_rate_format(&texts[i].rate, text);
        CHECK(strcmp(text, texts[i].text) == 0);
        fta_rate back;
        size_t count, bad_at;
        CHECK(parse(text, &back, 1, &count, &bad_at) == FTA_OK);
        CHECK(back.limit == texts[i].rate.limit);
        CHECK(back.period == texts[i].rate.period);
    }
}

static void
test_each_strategy_has_a_name(void)
{
    for (int i = FTA_FIXED_WINDOW; i <= FTA_GCRA; i++) {
        const char *name = fta_strategy_name((fta_strategy)i);
        fta_strategy back;
        CHECK(fta_strategy_parse(name, strlen(name), &back));
        CHECK((int)back == i);
        CHECK(!fta_strategy_parse(name, strlen(name) - 1, &back));
    }
}

/* -- the arithmetic -------------------------------------------------------- */

/* One state for all three strategies, so that one test serves them. */
typedef struct state {
    fta_strategy strategy;
    fta_window window;
    fta_sliding sliding;
    int64_t tat_us;
} state;

static void
roll(state *s, const fta_hit *hit, int64_t now_us)
{
    int64_t start_us = fta_sliding_start(hit, now_us);
    if (start_us == s->sliding.start_us) {
        return;
    }
    s->sliding.previous = start_us == s->sliding.start_us + hit->period_us
                              ? s->sliding.current
                              : 0;
    s->sliding.current = 0;
    s->sliding.start_us = start_us;
}

static fta_verdict
look(state *s, const fta_hit *hit, int64_t now_us)
{
    fta_verdict verdict = {0};
    switch (s->strategy) {
    case FTA_FIXED_WINDOW:
        fta_window_look(&s->window, hit, now_us, &verdict);
        break;
    case FTA_SLIDING_WINDOW_COUNTER:
        roll(s, hit, now_us);
        fta_sliding_look(&s->sliding, hit, now_us, &verdict);
        break;
    case FTA_GCRA:
        fta_gcra_look(s->tat_us, hit, now_us, &verdict);
        break;
    }
    return verdict;
}

static fta_verdict
look_later(const state *s, const fta_hit *hit, int64_t now_us)
{
    state copy = *s;
    return look(&copy, hit, now_us);
}

static bool
take(state *s, const fta_hit *hit, int64_t now_us)
{
    if (!look(s, hit, now_us).allowed) {
        return false;
    }
    switch (s->strategy) {
    case FTA_FIXED_WINDOW:
        fta_window_take(&s->window, hit, now_us);
        break;
    case FTA_SLIDING_WINDOW_COUNTER:
        fta_sliding_take(&s->sliding, hit);
        break;
    case FTA_GCRA:
        s->tat_us = fta_gcra_take(s->tat_us, hit, now_us);
        break;
    }
    return true;
}

static uint64_t random_state = 88172645463325252u;

static int64_t
random_below(int64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)bound);
}

/* A walk of hits: what every strategy promises at every step. */
static void
test_walk(fta_strategy strategy, uint32_t limit, int64_t period_us,
          uint32_t cost, int64_t now_us)
{
    fta_hit hit = {.limit = limit, .cost = cost, .period_us = period_us};
    state s = {.strategy = strategy, .tat_us = now_us - 1};
    fta_verdict verdict = look(&s, &hit, now_us);
    CHECK(verdict.allowed && verdict.remaining == limit &&
          verdict.reset_after_us == 0 && verdict.retry_after_us == 0);

    /* At once, exactly as many pass as there is room for. */
    for (uint32_t i = 0; i < limit / cost; i++) {
        CHECK(take(&s, &hit, now_us));
        CHECK(look(&s, &hit, now_us).remaining == limit - (i + 1) * cost);
    }
    CHECK(!take(&s, &hit, now_us));

    for (int i = 0; i < 200; i++) {
        now_us += random_below(2) ? random_below(period_us / 4)
                                  : random_below(period_us * 2);
        bool passed = take(&s, &hit, now_us);
        verdict = look(&s, &hit, now_us);
        CHECK(verdict.limit == limit && verdict.remaining <= limit);
        if (!passed) {
            CHECK(verdict.remaining < cost && verdict.retry_after_us > 0);
            CHECK(verdict.retry_after_us <= verdict.reset_after_us);
        }
        if (!verdict.allowed) {
            /* Not sooner, and not later, than it says. A sliding window is
             * reckoned in milliseconds. */
            int64_t grain = strategy == FTA_SLIDING_WINDOW_COUNTER ? 1000 : 1;
            int64_t at = now_us + verdict.retry_after_us;
            CHECK(look_later(&s, &hit, at).allowed);
            CHECK(at - grain <= now_us ||
                  !look_later(&s, &hit, at - grain).allowed);
        }
        int64_t reset = now_us + verdict.reset_after_us;
        CHECK(look_later(&s, &hit, reset).remaining == limit);
        if (verdict.remaining < limit) {
            CHECK(verdict.reset_after_us > 0);
        }
    }
}

static void
test_every_decision_is_the_one_of_the_model(void)
{
    static const int64_t starts[] = {0, -7 * SECOND_US + 3, 1234567890123456,
                                     INT64_C(4000000000) * SECOND_US};
    for (int strategy = FTA_FIXED_WINDOW; strategy <= FTA_GCRA; strategy++) {
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
            fta_strategy s = (fta_strategy)strategy;
            test_walk(s, 1, SECOND_US, 1, starts[i]);
            test_walk(s, 5, 60 * SECOND_US, 2, starts[i]);
            test_walk(s, 50, 60 * SECOND_US, 1, starts[i]);
            test_walk(s, 7, 3600 * SECOND_US, 3, starts[i]);
            test_walk(s, 1000, SECOND_US, 10, starts[i]);
        }
        /* The far corner, where products are largest. */
        test_walk((fta_strategy)strategy, FTA_RATE_LIMIT_MAX,
                  FTA_RATE_PERIOD_MAX * SECOND_US, FTA_RATE_LIMIT_MAX / 3,
                  starts[3]);
        test_walk((fta_strategy)strategy, 3, FTA_RATE_PERIOD_MAX * SECOND_US, 1,
                  starts[3]);
    }
}

static void
test_the_sliding_window_decides_as_computed_by_hand(void)
{
    /* "10 per 100 seconds"; 8 in one window, then a quarter into the next. */
    fta_hit hit = {.limit = 10, .cost = 1, .period_us = 100 * SECOND_US};
    fta_sliding sliding = {1000 * SECOND_US, 0, 8};
    fta_verdict verdict;
    fta_sliding_look(&sliding, &hit, 1025 * SECOND_US, &verdict);
    CHECK(verdict.allowed && verdict.remaining == 4); /* 8 * 75% = 6 */
    sliding.current = 4;
    fta_sliding_look(&sliding, &hit, 1025 * SECOND_US, &verdict);
    CHECK(!verdict.allowed);
    /* 8 * left / 100 has to come down to 5: 62.5 s left, 12.5 s from now. */
    CHECK(verdict.retry_after_us == 12500000);
    CHECK(verdict.reset_after_us == 175 * SECOND_US);
}

static void
test_gcra_decides_as_computed_by_hand(void)
{
    fta_hit hit = {.limit = 3, .cost = 1, .period_us = 30 * SECOND_US};
    int64_t now_us = 500 * SECOND_US, tat_us = 0;
    fta_verdict verdict;
    for (int i = 0; i < 3; i++) {
        tat_us = fta_gcra_take(tat_us, &hit, now_us);
    }
    CHECK(tat_us == 530 * SECOND_US);
    fta_gcra_look(tat_us, &hit, now_us, &verdict);
    CHECK(!verdict.allowed && verdict.retry_after_us == 10 * SECOND_US);
    fta_gcra_look(tat_us, &hit, now_us + 10 * SECOND_US, &verdict);
    CHECK(verdict.allowed && verdict.remaining == 1);
    CHECK(fta_gcra_take_back(tat_us, &hit) == 520 * SECOND_US);
    /* An interval that is no whole microsecond is rounded up, so no more than
     * the limit ever passes in a period. */
    hit = (fta_hit){.limit = 7, .cost = 1, .period_us = SECOND_US};
    CHECK(fta_gcra_take(0, &hit, 0) == 142858);
}

static void
test_the_verdict_with_the_least_remaining_is_closer(void)
{
    fta_verdict half = {.allowed = true, .limit = 10, .remaining = 5};
    fta_verdict tenth = {.allowed = true, .limit = 1000, .remaining = 100};
    fta_verdict soon = {.limit = 10, .retry_after_us = 5};
    fta_verdict late = {.limit = 10, .retry_after_us = 9};
    CHECK(fta_verdict_closer(&tenth, &half));
    CHECK(!fta_verdict_closer(&half, &tenth));
    CHECK(!fta_verdict_closer(&half, &half));
    CHECK(fta_verdict_closer(&soon, &tenth));
    CHECK(!fta_verdict_closer(&tenth, &soon));
    CHECK(fta_verdict_closer(&late, &soon));
    CHECK(!fta_verdict_closer(&soon, &late));
}

int
main(void)
{
    test_valid_texts_are_read();
    test_invalid_texts_have_their_position();
    test_more_rates_than_fit_are_an_error();
    test_a_rate_is_written_as_it_is_read();
    test_each_strategy_has_a_name();
    test_every_decision_is_the_one_of_the_model();
    test_the_sliding_window_decides_as_computed_by_hand();
    test_gcra_decides_as_computed_by_hand();
    test_the_verdict_with_the_least_remaining_is_closer();
    return check_report("test_rate");
}
