/* The arithmetic of leases, one rule at a time. tests/lease/model.c has all
 * orders of events. */
#include "limit/lease/lease.h"

#include "check.h"

#define SECOND INT64_C(1000000)

static fta_grant
grant_of(uint32_t permits, int64_t window, int64_t lasts_us)
{
    return (fta_grant){permits, 7, window, lasts_us};
}

static void
test_an_end_is_before_what_the_store_says(void)
{
    /* Less a thousandth and a microsecond, rounded down to a millisecond. */
    CHECK(fta_lease_end_us(0, 60 * SECOND) == 59939000);
    CHECK(fta_lease_end_us(999, 60 * SECOND) == 59940000);
    CHECK(fta_lease_end_us(1001, 60 * SECOND) == 59941000);
    CHECK(fta_lease_end_us(5 * SECOND, 0) < 5 * SECOND);
}

static void
test_a_hit_takes_all_of_its_cost_or_nothing(void)
{
    fta_lease lease = {.end_us = 10 * SECOND, .left = 5};
    CHECK(!fta_lease_take(&lease, 6, 0, SECOND) && lease.left == 5);
    CHECK(fta_lease_take(&lease, 3, 0, SECOND) && lease.left == 2);
    CHECK(!fta_lease_take(&lease, 1, 0, 10 * SECOND) && lease.left == 2);
}

static void
test_permits_melt_one_after_the_other(void)
{
    const fta_lease_melt second = SECOND * 1000;
    fta_lease lease = {.end_us = 10 * SECOND, .left = 4};
    CHECK(fta_lease_valid(&lease, second, 0) == 4);
    CHECK(fta_lease_valid(&lease, second, 6 * SECOND) == 4);
    CHECK(fta_lease_valid(&lease, second, 6 * SECOND + 1) == 3);
    CHECK(fta_lease_valid(&lease, second, 9 * SECOND + 1) == 0);
    /* What has melted does not come back. */
    CHECK(fta_lease_take(&lease, 1, second, 8 * SECOND) && lease.left == 1);
    /* And what melts is never offered. */
    lease.epoch = 3;
    CHECK(fta_lease_take_out(&lease, 3, second, 0) == 0 && lease.left == 1);
}

static void
test_permits_that_melt_are_put_behind_those_that_are_left(void)
{
    const fta_lease_melt second = SECOND * 1000;
    fta_lease lease = {.end_us = 0};
    fta_grant grant = grant_of(10, 0, 10 * SECOND);
    fta_lease_receive(&lease, &grant, 0, 1, second, 0);
    CHECK(lease.left == 10 && lease.end_us == 9989000);
    /* Another host has taken ten in between. */
    grant = grant_of(5, 0, 25 * SECOND);
    fta_lease_receive(&lease, &grant, 0, 1, second, 0);
    CHECK(lease.left == 14 && lease.end_us == 14989000);
}

static void
test_an_answer_is_taken_in_by_its_window(void)
{
    fta_lease lease = {.left = 0};
    fta_grant grant = grant_of(5, 100, 60 * SECOND);
    fta_lease_receive(&lease, &grant, SECOND, 1, 0, SECOND);
    CHECK(lease.left == 5 && lease.window == 100 && lease.epoch == 1);
    fta_lease_receive(&lease, &grant, 2 * SECOND, 1, 0, 2 * SECOND);
    CHECK(lease.left == 10 && lease.asked_us == SECOND);
    /* By other connections: it can be used, and not go back. */
    fta_lease_receive(&lease, &grant, 2 * SECOND, 2, 0, 2 * SECOND);
    CHECK(lease.left == 15 && lease.epoch == 0);
    CHECK(fta_lease_take_out(&lease, 2, 0, 2 * SECOND) == 0);
    /* An earlier window is ignored, a later one replaces, with nothing too. */
    grant = grant_of(5, 99, 60 * SECOND);
    fta_lease_receive(&lease, &grant, 3 * SECOND, 1, 0, 3 * SECOND);
    CHECK(lease.left == 15 && lease.window == 100);
    grant = grant_of(0, 101, 60 * SECOND);
    fta_lease_receive(&lease, &grant, 3 * SECOND, 1, 0, 3 * SECOND);
    CHECK(lease.left == 0 && lease.window == 101);
}

static void
test_what_is_offered_is_taken_out(void)
{
    fta_lease lease = {.end_us = 10 * SECOND, .left = 5, .epoch = 4};
    CHECK(fta_lease_take_out(&lease, 5, 0, SECOND) == 0 && lease.left == 5);
    CHECK(fta_lease_take_out(&lease, 4, 0, SECOND) == 5 && lease.left == 0);
    CHECK(fta_lease_take_out(&lease, 4, 0, SECOND) == 0);
    lease.left = 5;
    CHECK(fta_lease_take_out(&lease, 4, 0, 10 * SECOND) == 0);
}

static void
test_the_most_is_what_was_spent_in_a_second(void)
{
    CHECK(fta_lease_most(0, SECOND) == 100);
    CHECK(fta_lease_most(99, SECOND) == 100);
    CHECK(fta_lease_most(300, SECOND) == 300);
    CHECK(fta_lease_most(300, SECOND / 10) == 3000);
    CHECK(fta_lease_most(300, 0) == 300);
    CHECK(fta_lease_most(UINT32_MAX, 1) == 2147483647u);
}

static void
test_pauses_grow(void)
{
    CHECK(fta_lease_pause(250000, 60 * SECOND, false) == 500000);
    CHECK(fta_lease_pause(500000, 60 * SECOND, false) == 937500);
    CHECK(fta_lease_pause(500000, 60 * SECOND, true) == SECOND);
    CHECK(fta_lease_pause(30 * SECOND, 60 * SECOND, true) == 7500000);
    CHECK(fta_lease_pause(250000, SECOND, false) == 250000);
}

int
main(void)
{
    test_an_end_is_before_what_the_store_says();
    test_a_hit_takes_all_of_its_cost_or_nothing();
    test_permits_melt_one_after_the_other();
    test_permits_that_melt_are_put_behind_those_that_are_left();
    test_an_answer_is_taken_in_by_its_window();
    test_what_is_offered_is_taken_out();
    test_the_most_is_what_was_spent_in_a_second();
    test_pauses_grow();
    return check_report("test_lease");
}
