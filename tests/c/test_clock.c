#include "base/clock.h"

#include "check.h"

#define SECOND INT64_C(1000000)

static void
test_monotonic_time_does_not_go_back(void)
{
    int64_t before = fta_clock_monotonic_us();
    CHECK(before > 0);
    CHECK(fta_clock_monotonic_us() >= before);
    CHECK(fta_clock_realtime_us() > 1700000000 * SECOND);
}

static void
test_a_shift_moves_each_clock_alone_and_adds_up(void)
{
    int64_t real = fta_clock_realtime_us();
    int64_t monotonic = fta_clock_monotonic_us();
    fta_clock_shift(3600 * SECOND, 0);
    CHECK(fta_clock_realtime_us() - real >= 3600 * SECOND);
    CHECK(fta_clock_monotonic_us() - monotonic < 60 * SECOND);
    fta_clock_shift(-7200 * SECOND, 120 * SECOND);
    CHECK(fta_clock_realtime_us() - real < -3540 * SECOND);
    CHECK(fta_clock_monotonic_us() - monotonic >= 120 * SECOND);
    fta_clock_reset();
    CHECK(fta_clock_realtime_us() - real < 60 * SECOND);
    CHECK(fta_clock_realtime_us() >= real);
    CHECK(fta_clock_monotonic_us() - monotonic < 60 * SECOND);
}

static void
test_the_coarse_clock_is_the_monotonic_one_at_its_last_tick(void)
{
    for (int i = 0; i < 1000; i++) {
        int64_t coarse = fta_clock_coarse_us();
        int64_t monotonic = fta_clock_monotonic_us();
        CHECK(coarse <= monotonic);
        CHECK(fta_clock_coarse_us() >= coarse);
    }
    int64_t before = fta_clock_coarse_us();
    fta_clock_shift(0, 60 * SECOND);
    CHECK(fta_clock_coarse_us() - before >= 60 * SECOND);
    CHECK(fta_clock_coarse_us() <= fta_clock_monotonic_us());
    fta_clock_reset();
}

int
main(void)
{
    test_monotonic_time_does_not_go_back();
    test_a_shift_moves_each_clock_alone_and_adds_up();
    test_the_coarse_clock_is_the_monotonic_one_at_its_last_tick();
    return check_report("test_clock");
}
