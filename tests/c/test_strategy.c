#include "limit/strategy.h"

#include <string.h>

#include "check.h"
#include "counter_model.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

static uint64_t random_state = 88172645463325252u;

static int64_t
random_below(int64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)bound);
}

static fta_verdict
look_later(const fta_strategy *strategy, const fta_counter *counter,
           const fta_hit *hit, int64_t now_us)
{
    fta_counter copy = *counter;
    return counter_model_look(strategy, &copy, hit, now_us);
}

/* A walk of hits: what every strategy promises at every step. */
static void
test_walk(const fta_strategy *strategy, uint32_t limit, int64_t period_us,
          uint32_t cost, int64_t now_us)
{
    fta_hit hit = {.limit = limit, .cost = cost, .period_us = period_us};
    fta_counter s = {.value = 0};
    fta_verdict verdict = counter_model_look(strategy, &s, &hit, now_us);
    CHECK(verdict.allowed && verdict.remaining == limit &&
          verdict.reset_after_us == 0 && verdict.retry_after_us == 0);

    /* At once, exactly as many pass as there is room for. */
    for (uint32_t i = 0; i < limit / cost; i++) {
        verdict = counter_model_count(strategy, &s, &hit, now_us);
        CHECK(verdict.allowed && verdict.remaining == limit - (i + 1) * cost);
        fta_verdict after = counter_model_look(strategy, &s, &hit, now_us);
        CHECK(after.remaining == verdict.remaining &&
              after.reset_after_us == verdict.reset_after_us);
    }
    CHECK(!counter_model_count(strategy, &s, &hit, now_us).allowed);

    for (int i = 0; i < 200; i++) {
        now_us += random_below(2) ? random_below(period_us / 4)
                                  : random_below(period_us * 2);
        bool passed = counter_model_count(strategy, &s, &hit, now_us).allowed;
        verdict = counter_model_look(strategy, &s, &hit, now_us);
        CHECK(verdict.limit == limit && verdict.remaining <= limit);
        if (!passed) {
            CHECK(verdict.remaining < cost && verdict.retry_after_us > 0);
            CHECK(verdict.retry_after_us <= verdict.reset_after_us);
        }
        if (!verdict.allowed) {
            /* Not sooner, and not later, than it says. A sliding window is
             * reckoned in milliseconds. */
            int64_t grain = strategy->keeps_previous ? 1000 : 1;
            int64_t at = now_us + verdict.retry_after_us;
            CHECK(look_later(strategy, &s, &hit, at).allowed);
            CHECK(at - grain <= now_us ||
                  !look_later(strategy, &s, &hit, at - grain).allowed);
        }
        int64_t reset = now_us + verdict.reset_after_us;
        CHECK(look_later(strategy, &s, &hit, reset).remaining == limit);
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
    for (size_t k = 0; k < FTA_STRATEGY_COUNT; k++) {
        const fta_strategy *s = fta_strategies[k];
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
            test_walk(s, 1, SECOND_US, 1, starts[i]);
            test_walk(s, 5, 60 * SECOND_US, 2, starts[i]);
            test_walk(s, 50, 60 * SECOND_US, 1, starts[i]);
            test_walk(s, 7, 3600 * SECOND_US, 3, starts[i]);
            test_walk(s, 1000, SECOND_US, 10, starts[i]);
        }
        /* The far corner, where products are largest. */
        test_walk(s, FTA_RATE_LIMIT_MAX, FTA_RATE_PERIOD_MAX * SECOND_US,
                  FTA_RATE_LIMIT_MAX / 3, starts[3]);
        test_walk(s, 3, FTA_RATE_PERIOD_MAX * SECOND_US, 1, starts[3]);
    }
}

static void
test_the_sliding_window_decides_as_computed_by_hand(void)
{
    /* "10 per 100 seconds"; 8 in one window, then a quarter into the next. */
    const fta_strategy *s = &fta_strategy_sliding_window_counter;
    fta_hit hit = {.limit = 10, .cost = 1, .period_us = 100 * SECOND_US};
    fta_counter counter = {1200 * SECOND_US, 0, 8};
    fta_verdict verdict;
    s->look(&counter, &hit, 1025 * SECOND_US, &verdict);
    CHECK(verdict.allowed && verdict.remaining == 4); /* 8 * 75% = 6 */
    counter.value = 4;
    s->look(&counter, &hit, 1025 * SECOND_US, &verdict);
    CHECK(!verdict.allowed);
    /* 8 * left / 100 has to come down to 5: 62.5 s left, 12.5 s from now. */
    CHECK(verdict.retry_after_us == 12500000);
    CHECK(verdict.reset_after_us == 175 * SECOND_US);
}

static void
test_gcra_decides_as_computed_by_hand(void)
{
    const fta_strategy *s = &fta_strategy_gcra;
    fta_hit hit = {.limit = 3, .cost = 1, .period_us = 30 * SECOND_US};
    int64_t now_us = 500 * SECOND_US;
    fta_counter counter = {.value = 0};
    fta_verdict verdict;
    for (int i = 0; i < 3; i++) {
        CHECK(s->count(&counter, &hit, now_us, &verdict));
    }
    CHECK(verdict.reset_after_us == 30 * SECOND_US);
    s->look(&counter, &hit, now_us, &verdict);
    CHECK(!verdict.allowed && verdict.retry_after_us == 10 * SECOND_US);
    s->look(&counter, &hit, now_us + 10 * SECOND_US, &verdict);
    CHECK(verdict.allowed && verdict.remaining == 1);
    fta_receipt receipt = {.at_us = now_us};
    fta_counter later = counter;
    CHECK(s->take_back(&counter, &receipt, &hit, now_us));
    s->look(&counter, &hit, now_us, &verdict);
    CHECK(verdict.reset_after_us == 20 * SECOND_US);
    /* Time has paid for 4 of its 10 seconds, and 6 are left to be taken back:
     * then for all of it. */
    CHECK(s->take_back(&later, &receipt, &hit, now_us + 4 * SECOND_US));
    s->look(&later, &hit, now_us + 4 * SECOND_US, &verdict);
    CHECK(verdict.reset_after_us == 20 * SECOND_US);
    CHECK(!s->take_back(&later, &receipt, &hit, now_us + 10 * SECOND_US));
    /* An interval that is no whole nanosecond is rounded up, so that no more
     * than the limit is ever allowed in a period: 7 of 142,857,143. */
    hit = (fta_hit){.limit = 7, .cost = 1, .period_us = SECOND_US};
    counter = (fta_counter){.value = 0};
    CHECK(s->count(&counter, &hit, 0, &verdict));
    CHECK(verdict.reset_after_us == 142858);
    for (int i = 1; i < 7; i++) {
        CHECK(s->count(&counter, &hit, 0, &verdict));
    }
    CHECK(verdict.reset_after_us == 1000001);
    /* In periods of over 30 days they are whole microseconds. */
    hit = (fta_hit){.limit = 7, .cost = 7, .period_us = 365 * DAY_US};
    counter = (fta_counter){.value = 0};
    CHECK(s->count(&counter, &hit, 0, &verdict));
    CHECK(verdict.reset_after_us == 365 * DAY_US + 1);
    hit.period_us = 30 * DAY_US;
    hit.limit = hit.cost = 1000003;
    counter = (fta_counter){.value = 0};
    CHECK(s->count(&counter, &hit, 0, &verdict));
    CHECK(verdict.reset_after_us == 30 * DAY_US + 977);
}

/* As after a race that was lost for another limit of the request. */
static void
test_a_hit_that_is_taken_back_was_never_counted(const fta_strategy *s)
{
    fta_hit hit = {.limit = 10, .cost = 3, .period_us = 60 * SECOND_US};
    int64_t now_us = 600 * SECOND_US + 1234;
    fta_counter counter = {.value = 0};
    CHECK(counter_model_count(s, &counter, &hit, now_us).remaining == 7);
    fta_verdict once = counter_model_look(s, &counter, &hit, now_us);
    CHECK(counter_model_count(s, &counter, &hit, now_us).remaining == 4);
    fta_receipt receipt = {.at_us = now_us};
    CHECK(s->take_back(&counter, &receipt, &hit, now_us));
    fta_verdict again = counter_model_look(s, &counter, &hit, now_us);
    CHECK(again.remaining == 7 && again.reset_after_us == once.reset_after_us);
}

/* -- Hits that are given back, held against a model ------------------------ */

typedef struct modelled_hit {
    fta_receipt receipt;
    int64_t end_us; /* When all of the limit was to be there again. */
    uint32_t cost;
    bool kept;
} modelled_hit;

#define MODELLED 400

/* What a counter has left that was asked for nothing but the hits that stay. */
static uint32_t
left_without_the_others(const fta_strategy *s, const modelled_hit *hits,
                        size_t n, fta_hit hit, int64_t now_us)
{
    fta_counter counter = {.value = 0};
    for (size_t i = 0; i < n; i++) {
        if (hits[i].kept) {
            hit.cost = hits[i].cost;
            CHECK(counter_model_count(s, &counter, &hit, hits[i].receipt.at_us)
                      .allowed);
        }
    }
    hit.cost = 1;
    return counter_model_look(s, &counter, &hit, now_us).remaining;
}

/* A fixed window goes on when its first hit is given back, so the hits that
 * stay are summed up by the end that their window was told to have. */
static uint32_t
left_of_window(const modelled_hit *hits, size_t n, uint32_t limit,
               int64_t now_us)
{
    int64_t last_us = n > 0 ? hits[n - 1].end_us : now_us;
    for (size_t i = 0; i < n; i++) {
        if (hits[i].kept && hits[i].end_us == last_us && now_us < last_us) {
            limit -= hits[i].cost;
        }
    }
    return limit;
}

/* Hits, and hits given back in any order and at any time, also when their
 * window is over: what is left is never more than the model has, which sums up
 * the hits that stay. */
static void
test_given_back_hits_leave_what_the_model_has(const fta_strategy *s)
{
    static modelled_hit hits[MODELLED];
    bool is_fixed = s == &fta_strategy_fixed_window;
    long taken_back = 0, refused = 0;
    for (int round = 0; round < 60; round++) {
        fta_hit hit = {.limit = 1 + (uint32_t)random_below(12),
                       .period_us = (1 + random_below(20)) * SECOND_US};
        int64_t now_us = random_below(INT64_C(1) << 50);
        fta_counter counter = {.value = 0};
        size_t n = 0;
        for (int step = 0; step < MODELLED; step++) {
            now_us += random_below(3) ? 0 : random_below(hit.period_us / 2);
            counter_model_advance(s, &counter, &hit, now_us);
            hit.cost = 1 + (uint32_t)random_below(hit.limit);
            if (n == 0 || random_below(2)) {
                fta_verdict verdict =
                    counter_model_count(s, &counter, &hit, now_us);
                if (verdict.allowed) {
                    hits[n++] = (modelled_hit){{now_us, 0},
                                               now_us + verdict.reset_after_us,
                                               hit.cost,
                                               true};
                }
            } else {
                size_t last = n < 8 ? n : 8;
                modelled_hit *one =
                    &hits[n - 1 - (size_t)random_below((int64_t)last)];
                hit.cost = one->cost;
                if (one->kept &&
                    s->take_back(&counter, &one->receipt, &hit, now_us)) {
                    one->kept = false;
                    taken_back++;
                } else {
                    refused++;
                }
            }
            hit.cost = 1;
            uint32_t left =
                counter_model_look(s, &counter, &hit, now_us).remaining;
            CHECK(left <= hit.limit);
            if (is_fixed) {
                CHECK(left == left_of_window(hits, n, hit.limit, now_us));
            } else {
                uint32_t most =
                    left_without_the_others(s, hits, n, hit, now_us);
                CHECK(s->keeps_previous ? left == most : left <= most);
            }
        }
    }
    CHECK(taken_back > 1000 && refused > 100);
}

/* Given back at once, in any order, hits leave nothing. */
static void
test_all_hits_given_back_leave_a_blank_counter(const fta_strategy *s)
{
    for (int round = 0; round < 200; round++) {
        fta_hit hit = {.limit = 20, .cost = 1, .period_us = 90 * SECOND_US};
        int64_t now_us = random_below(INT64_C(1) << 50);
        fta_receipt receipts[20];
        fta_counter counter = {.value = 0};
        for (size_t i = 0; i < 20; i++) {
            CHECK(counter_model_count(s, &counter, &hit, now_us).allowed);
            receipts[i] = (fta_receipt){now_us, 0};
        }
        for (size_t n = 20; n > 0; n--) {
            size_t at = (size_t)random_below((int64_t)n);
            CHECK(s->take_back(&counter, &receipts[at], &hit, now_us));
            receipts[at] = receipts[n - 1];
        }
        fta_verdict verdict = counter_model_look(s, &counter, &hit, now_us);
        CHECK(verdict.remaining == 20 && verdict.reset_after_us == 0);
        fta_receipt none = {now_us, 0};
        CHECK(!s->take_back(&counter, &none, &hit, now_us));
    }
}

static void
test_names_and_letters_are_unique(void)
{
    fta_text names[FTA_STRATEGY_COUNT];
    fta_strategy_names(names);
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        CHECK(strlen(fta_strategies[i]->name) == names[i].length);
        CHECK(names[i].length > 0);
        for (size_t k = 0; k < i; k++) {
            CHECK(fta_strategies[k]->letter != fta_strategies[i]->letter);
            CHECK(!fta_text_equal(names[k], names[i]));
        }
    }
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
    test_names_and_letters_are_unique();
    test_every_decision_is_the_one_of_the_model();
    test_the_sliding_window_decides_as_computed_by_hand();
    test_gcra_decides_as_computed_by_hand();
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        test_a_hit_that_is_taken_back_was_never_counted(fta_strategies[i]);
        test_given_back_hits_leave_what_the_model_has(fta_strategies[i]);
        test_all_hits_given_back_leave_a_blank_counter(fta_strategies[i]);
    }
    test_the_verdict_with_the_least_remaining_is_closer();
    return check_report("test_strategy");
}
