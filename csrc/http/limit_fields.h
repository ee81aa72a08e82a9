/* The header fields that tell a client about limits. */
#ifndef FTA_HTTP_LIMIT_FIELDS_H
#define FTA_HTTP_LIMIT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "http/fields.h"

/* What the limiter has decided about a request: the limit with the least left
 * of those that counted it. */
typedef struct fta_limit_report {
    bool allowed;
    uint32_t limit;
    uint32_t remaining;
    int64_t reset;       /* seconds since 1970 */
    int64_t retry_after; /* seconds */
    size_t index;        /* the place of the limit among all of them */
    int64_t now_us;      /* microseconds since 1970 */
} fta_limit_report;

/* One of the limits that counted a request. */
typedef struct fta_limit_policy {
    uint32_t limit;
    uint32_t period; /* seconds */
} fta_limit_policy;

typedef struct fta_limit_policies {
    const fta_limit_policy *items; /* Borrowed */
    size_t count;
} fta_limit_policies;

/* Adds X-RateLimit-Limit, -Remaining and -Reset. */
void fta_limit_fields_add(const fta_limit_report *report, fta_fields *fields);

/* Adds RateLimit-Policy and RateLimit as
 * draft-ietf-httpapi-ratelimit-headers-10 has them. A policy is named by its
 * place among the limits, since the name of a scope is not for clients:
 * "1";q=50;w=60. */
fta_status fta_limit_fields_add_ietf(const fta_limit_report *report,
                                     fta_limit_policies policies,
                                     fta_fields *fields);

/* Adds Retry-After (RFC 6585, 4) if the request is limited. */
void fta_limit_fields_add_retry_after(const fta_limit_report *report,
                                      fta_fields *fields);

#endif
