#include "base/clock.h"

#include "check.h"

#define SECOND INT64_C(1000000)

static void
test_goes_forward(void)
{
    int64_t before = fta_clock_monotonic_us();
    CHECK(before > 0);
    CHECK(fta_clock_monotonic_us() >= before);
    CHECK(fta_clock_realtime_us() > 1700000000 * SECOND);
}

static void
test_travel_moves_each_clock_alone_and_adds_up(void)
{
    int64_t real = fta_clock_realtime_us();
    int64_t monotonic = fta_clock_monotonic_us();
    fta_clock_shift(3600 * SECOND, 0);
    CHECK(fta_clock_realtime_us() - real >= 3600 * SECOND);
    CHECK(fta_clock_monotonic_us() - monotonic < 60 * SECOND);
    fta_clock_shift(-7200 * SECOND, 120 * SECOND);
    CHECK(fta_clock_realtime_us() - real < -3540 * SECOND);
    CHECK(fta_clock_monotonic_us() - monotonic >= 120 * SECOND);
    fta_clock_return();
    CHECK(fta_clock_realtime_us() - real < 60 * SECOND);
    CHECK(fta_clock_realtime_us() >= real);
    CHECK(fta_clock_monotonic_us() - monotonic < 60 * SECOND);
}

int
main(void)
{
    test_goes_forward();
    test_travel_moves_each_clock_alone_and_adds_up();
    return check_report("test_clock");
}
