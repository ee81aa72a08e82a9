/* May be included by csrc/http/cors*.c alone. What CORS rules consist of. */
#ifndef FTA_HTTP_CORS_RULES_H
#define FTA_HTTP_CORS_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "http/cors.h"
#include "http/fields.h"

/* All origins between scheme and rest: those below one host. */
typedef struct fta_cors_pattern {
    fta_text scheme;    /* "https://" */
    fta_text rest;      /* ".example.com:8443" */
    size_t host_length; /* of ".example.com" */
} fta_cors_pattern;

struct fta_cors_rules {
    bool any_origin;
    bool any_method;
    bool any_header;
    bool credentials;
    size_t resource_count;
    size_t listed_count;
    size_t pattern_count;
    fta_text *resources;        /* Owned: without their first slashes */
    fta_text *listed;           /* Owned: origins */
    fta_cors_pattern *patterns; /* Owned */
    fta_text *methods;          /* Owned */
    size_t method_count;
    char *texts; /* Owned: what every text of the rules is in */
    /* As header fields have them, separated by commas. */
    fta_text methods_value;
    fta_text allow_headers_value;
    fta_text expose_headers_value;
    fta_text max_age_value;
};

/* The place of an origin among the listed ones, or their number. */
size_t fta_cors_find_listed(const fta_cors_rules *rules, fta_text origin);

/* Whether the host of an origin is below one that is listed with "*.". */
bool fta_cors_is_below(const fta_cors_rules *rules, fta_text origin);

#endif
