#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

/* Relaxed order everywhere: a test shifts the clock and reads it on the same
 * thread, and nothing concludes from a shift what other memory holds. */
static _Atomic int64_t realtime_shift;
static _Atomic int64_t monotonic_shift;

static int64_t
read_us(clockid_t id)
{
    struct timespec ts;
    /* Cannot fail: every platform that this builds on has both ids. */
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + (int64_t)ts.tv_nsec / 1000;
}

int64_t
fta_clock_realtime_us(void)
{
    return read_us(CLOCK_REALTIME) +
           atomic_load_explicit(&realtime_shift, memory_order_relaxed);
}

int64_t
fta_clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC) +
           atomic_load_explicit(&monotonic_shift, memory_order_relaxed);
}

/* A clock that stops while the host sleeps would let what ends at a time of
 * another host's clock live on. */
int64_t
fta_clock_boottime_us(void)
{
#ifdef CLOCK_BOOTTIME
    return read_us(CLOCK_BOOTTIME) +
           atomic_load_explicit(&monotonic_shift, memory_order_relaxed);
#else
    return fta_clock_monotonic_us();
#endif
}

int64_t
fta_clock_coarse_us(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    return read_us(CLOCK_MONOTONIC_COARSE) +
           atomic_load_explicit(&monotonic_shift, memory_order_relaxed);
#else
    return fta_clock_monotonic_us();
#endif
}

void
fta_clock_shift(int64_t realtime_us, int64_t monotonic_us)
{
    atomic_fetch_add_explicit(&realtime_shift, realtime_us,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&monotonic_shift, monotonic_us,
                              memory_order_relaxed);
}

void
fta_clock_reset(void)
{
    atomic_store_explicit(&realtime_shift, 0, memory_order_relaxed);
    atomic_store_explicit(&monotonic_shift, 0, memory_order_relaxed);
}
