/* The two clocks of the core, in microseconds.
 *
 * Real time (since 1970) is for what other machines see: claims, headers.
 * Monotonic time is for everything that is counted on this host, because an
 * administrator or NTP may step the real clock at any moment. */
#ifndef FTA_BASE_CLOCK_H
#define FTA_BASE_CLOCK_H

#include <stdint.h>

int64_t fta_clock_realtime_us(void);
int64_t fta_clock_monotonic_us(void);

/* For tests: moves the clocks of this process by so much, on top of earlier
 * moves. Moving only one of them is how a stepped clock is played. */
void fta_clock_shift(int64_t realtime_us, int64_t monotonic_us);

/* Back to the true time. */
void fta_clock_return(void);

#endif
