/* The users and tenants that limits have limited most in the last hour. How
 * they are found, and how exact that is, is at the top of most_limited.c. */
#ifndef FTA_METRICS_MOST_LIMITED_H
#define FTA_METRICS_MOST_LIMITED_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/uuid.h"
#include "metrics/metrics.h"

#define FTA_MOST_LIMITED 20u

typedef struct fta_limited_subject {
    fta_uuid tenant;
    fta_uuid user; /* Of a tenant: zero. */
    uint64_t count;
} fta_limited_subject;

/* The most limited first. */
typedef struct fta_most_limited {
    fta_limited_subject users[FTA_MOST_LIMITED];
    fta_limited_subject tenants[FTA_MOST_LIMITED];
    size_t user_count;
    size_t tenant_count;
} fta_most_limited;

/* Counts a request that a limit has limited, for its user and its tenant. Does
 * nothing without the option console. It never waits or fails. */
void fta_metrics_count_limited(fta_metrics *metrics, const fta_uuid *tenant,
                               const fta_uuid *user);

fta_status fta_metrics_read_most_limited(const fta_metrics *metrics,
                                         fta_most_limited *out);

#endif
