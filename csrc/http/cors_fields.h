/* The header fields that tell a browser what the CORS rules allow. */
#ifndef FTA_HTTP_CORS_FIELDS_H
#define FTA_HTTP_CORS_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "http/cors.h"
#include "http/fields.h"

/* The longest Access-Control-Request-Headers that is repeated. */
enum { FTA_CORS_REQUESTED_MAX = 4096 };

/* What CORS reads of a request. All are Borrowed, and absent where the request
 * has no such header field. */
typedef struct fta_cors_request {
    fta_text method;
    fta_text path;
    fta_text origin;
    fta_text requested_method;  /* Access-Control-Request-Method */
    fta_text requested_headers; /* Access-Control-Request-Headers */
} fta_cors_request;

/* Whether a request with a method may be a preflight. The fields of a request
 * whose names begin with "requested" are read for such a method alone. */
bool fta_cors_reads_requested(fta_text method);

/* Whether a request asks for a permission (Fetch standard, CORS-preflight
 * request), so that it is answered in place of the view. */
bool fta_cors_is_preflight(const fta_cors_rules *rules,
                           const fta_cors_request *request);

/* Which fields the response to a request gets. Those of the kinds 0 to
 * fta_cors_fixed_count() - 1 depend on the rules alone: a caller may make them
 * once and keep them. Those of the one kind beside them, FTA_CORS_OF_REQUEST,
 * depend on the request as well. */
typedef size_t fta_cors_kind;
#define FTA_CORS_OF_REQUEST SIZE_MAX

fta_cors_kind fta_cors_kind_of(const fta_cors_rules *rules,
                               const fta_cors_request *request);
size_t fta_cors_fixed_count(const fta_cors_rules *rules);

/* Adds the fields of a kind below fta_cors_fixed_count(). Their values are
 * borrowed from the rules. */
void fta_cors_add_fixed(const fta_cors_rules *rules, fta_cors_kind kind,
                        fta_fields *fields);

/* Adds the fields of a request whose kind is FTA_CORS_OF_REQUEST. allow are the
 * values of the response's Allow fields (RFC 9110, 10.2.1). Values are borrowed
 * from the rules and the request. */
fta_status fta_cors_add_of_request(const fta_cors_rules *rules,
                                   const fta_cors_request *request,
                                   fta_text_list allow, fta_fields *fields);

#endif
