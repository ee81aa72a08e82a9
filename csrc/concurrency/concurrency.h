/* A concurrency limit: at most so many requests of one user, tenant or address
 * at once. */
#ifndef FTA_CONCURRENCY_CONCURRENCY_H
#define FTA_CONCURRENCY_CONCURRENCY_H

#include "base/status.h"
#include "base/text.h"
#include "concurrency/permits.h"
#include "limit/limit.h"
#include "limit/subject.h"

typedef struct fta_concurrency_limit {
    unsigned most; /* 0 .. FTA_PERMITS_MOST */
    fta_per per;
    fta_text scope; /* Borrowed; at most FTA_SCOPE_MAX bytes. */
} fta_concurrency_limit;

/* Takes a permit for a request, until fta_permits_release. *out is none where
 * as many as the limit says run already. A limit per custom counts by the first
 * custom text of the requester. */
fta_status fta_concurrency_begin(fta_permits *permits,
                                 const fta_concurrency_limit *limit,
                                 const fta_requester *requester,
                                 fta_permit *out);

#endif
