/* What the programs of this folder share: a clock, and a line of output. */
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

/* The process's own on the CPU: what else the machine does is not counted. */
static inline double
cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* What passes, waiting included. */
static inline double
passed_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static inline void
tell(const char *name, double figure)
{
    printf("%s\t%.4f\n", name, figure);
}

/* A benchmark whose subject does not work has nothing to say. */
static inline void
require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

#endif
