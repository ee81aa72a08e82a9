/* What the console shows of the last hour: how the requests of each minute have
 * ended, and why some were denied. How it works is at the top of last_hour.c.
 */
#ifndef FTA_METRICS_LAST_HOUR_H
#define FTA_METRICS_LAST_HOUR_H

#include <stdint.h>

#include "metrics/metrics.h"

#define FTA_HOUR_MINUTES 60u

typedef struct fta_last_hour {
    /* By how many minutes ago they were; 0: the running minute. */
    uint64_t requests[FTA_HOUR_MINUTES][FTA_OUTCOME_COUNT];
    uint64_t reasons[FTA_REASON_COUNT]; /* Of all minutes together. */
} fta_last_hour;

void fta_metrics_read_last_hour(const fta_metrics *metrics, fta_last_hour *out);

#endif
