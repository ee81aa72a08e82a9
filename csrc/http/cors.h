/* Which pages may read which answers (Fetch standard, CORS protocol): the
 * paths that CORS_RESOURCES covers, and the origins that CORS_ORIGINS allows.
 * Rules do not change once they are made: threads share them freely. */
#ifndef FTA_HTTP_CORS_H
#define FTA_HTTP_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Of a host in an origin, and of each of its labels (RFC 1035, 2.3.4). */
enum { FTA_CORS_HOST_MAX = 253, FTA_CORS_LABEL_MAX = 63 };

typedef struct fta_cors_rules fta_cors_rules;

/* Borrowed while the rules are made, which copies them. */
typedef struct fta_cors_config {
    /* Paths. One that ends with a slash covers all below it; any other covers
     * itself as well. */
    const fta_text *resources;
    size_t resource_count;
    /* Serialized origins (RFC 6454, 6.2); one with "*." before its host allows
     * the hosts below that host, and "*" allows every origin. */
    const fta_text *origins;
    size_t origin_count;
} fta_cors_config;

typedef enum fta_cors_match {
    FTA_CORS_DENIED,
    FTA_CORS_ANY,    /* every origin is allowed */
    FTA_CORS_LISTED, /* it stands literally among the origins */
    FTA_CORS_BELOW   /* its host is below one with "*." */
} fta_cors_match;

/* NULL without memory. Owned by the caller. */
fta_cors_rules *fta_cors_rules_new(const fta_cors_config *config);
void fta_cors_rules_free(fta_cors_rules *rules);

/* Whether a path is under one of the resources, as a router reads it: slashes
 * at its beginning are one. */
bool fta_cors_covers(const fta_cors_rules *rules, fta_text path);

/* Whether pages of an origin may read answers. Where it is listed, *place is
 * its place in the configuration. */
fta_cors_match fta_cors_match_origin(const fta_cors_rules *rules,
                                     fta_text origin, size_t *place);

#endif
