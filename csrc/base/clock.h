/* The clocks of the core, in microseconds.
 *
 * Real time (since 1970) is for values that other machines read: claims,
 * headers. Monotonic time is for all that is counted on this host, because an
 * administrator or NTP may step the real clock at any time. */
#ifndef FTA_BASE_CLOCK_H
#define FTA_BASE_CLOCK_H

#include <stdint.h>

int64_t fta_clock_realtime_us(void);
int64_t fta_clock_monotonic_us(void);

/* As the monotonic clock, and it also counts the time that the host sleeps,
 * where the system has such a clock: for what ends by the clock of another
 * host. fta_clock_shift shifts it with the monotonic clock. */
int64_t fta_clock_boottime_us(void);

/* The monotonic clock at the last tick of the system, up to 10 ms ago, where
 * the system has such a clock. All processes of the host see the same tick. It
 * takes a quarter of the time: for what every request asks. */
int64_t fta_clock_coarse_us(void);

/* For tests: shifts the clocks of this process by so much, on top of earlier
 * shifts. To shift only one of them simulates a stepped clock. */
void fta_clock_shift(int64_t realtime_us, int64_t monotonic_us);

/* Undoes all shifts. */
void fta_clock_reset(void);

#endif
