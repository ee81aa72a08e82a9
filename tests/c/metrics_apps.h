/* Counters of apps, in a directory of the test program. */
#ifndef FTA_TESTS_METRICS_APPS_H
#define FTA_TESTS_METRICS_APPS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "metrics/metrics.h"
#include "shared_directory.h"

#define MINUTE (INT64_C(60) * 1000000)

/* With all that may be counted. */
static inline fta_metrics *
open_app(const char *app, bool shared)
{
    const fta_metrics_options options = {.app = {app, strlen(app)},
                                         .prefix = {"prefix", 6},
                                         .shared = shared,
                                         .console = true,
                                         .directory = shared_directory};
    fta_metrics *metrics = NULL;
    int unshared;
    CHECK(fta_metrics_open(&options, &metrics, &unshared) == FTA_OK);
    if (metrics == NULL) {
        exit(check_report(app));
    }
    CHECK(unshared == 0);
    return metrics;
}

/* Forgets what is kept: its hour is over. */
static inline void
close_app(fta_metrics *metrics)
{
    char path[256];
    CHECK(fta_metrics_path(metrics) != NULL);
    (void)snprintf(path, sizeof path, "%s", fta_metrics_path(metrics));
    fta_clock_shift(0, 120 * MINUTE);
    fta_metrics_close(metrics);
    CHECK(access(path, F_OK) != 0);
}

/* Shifts the clock to the middle of a minute which is the first of ten. So the
 * test stays in it, unless it takes half a minute. */
static inline void
begin_ten_minutes(void)
{
    int64_t now = fta_clock_coarse_us(), ten = 10 * MINUTE;
    fta_clock_shift(0, ten - now % ten + MINUTE / 2);
}

/* Not 0. */
static inline uint64_t
random_seed(const char *program)
{
    uint64_t seed = (uint64_t)fta_clock_realtime_us() | 1;
    printf("%s: seed %llu\n", program, (unsigned long long)seed);
    return seed;
}

static inline uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
