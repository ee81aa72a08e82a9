/* What is counted of a request: how it ended, and what its limits said. */
#ifndef FTA_METRICS_REQUESTS_H
#define FTA_METRICS_REQUESTS_H

#include "limit/limiter.h"
#include "metrics/metrics.h"

typedef struct fta_metrics_answer {
    int status;             /* Of HTTP. */
    fta_text reason;        /* Why it was denied; absent: it was not. */
    const fta_uuid *tenant; /* Borrowed; NULL: it has no identity. */
    const fta_uuid *user;   /* Likewise. */
} fta_metrics_answer;

/* Counts a request by its answer. For the console, also in the last hour, and
 * whose it is if a limit has limited it. */
void fta_metrics_count_answer(fta_metrics *metrics,
                              const fta_metrics_answer *answer);

/* Counts what the limiter has said to a request that was to be counted: a
 * request that is allowed for each of its limits, a limited one for the limit
 * that has limited it. */
void fta_metrics_count_decision(fta_metrics *metrics,
                                const fta_limiter_request *request,
                                const fta_limiter_answer *answer);

#endif
