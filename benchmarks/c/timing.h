/* What the programs of this folder share: clocks, a check, a line of output. */
#ifndef FTA_BENCHMARKS_TIMING_H
#define FTA_BENCHMARKS_TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double
seconds_of(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The CPU time of the process, which leaves out what else the machine does. */
static inline double
cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* The wall time, which includes waiting. */
static inline double
wall_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static inline void
print_figure(const char *name, double figure)
{
    printf("%s\t%.4f\n", name, figure);
}

/* Ends the program if what it measures does not work. */
static inline void
require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

#endif
