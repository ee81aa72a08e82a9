/* A concurrency limit: at most so many requests of one user, tenant or address
 * at once. */
#ifndef FTA_CONCURRENCY_CONCURRENCY_H
#define FTA_CONCURRENCY_CONCURRENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* The key of a permit:
 *
 *     1 byte   fta_per of the limit
 *     1 byte   kind of the subject
 *     the names, as fta_subject_put_names writes them
 *
 * How many permits there are is no part of it. Callers with different numbers
 * share what is taken. */
#define FTA_CONCURRENCY_KEY_MAX (2 + FTA_SUBJECT_NAMES_MAX)

typedef struct fta_concurrency_key {
    size_t length;
    uint8_t bytes[FTA_CONCURRENCY_KEY_MAX];
} fta_concurrency_key;

/* The key of a request. A limit per custom counts by the first custom text of
 * the requester. False if the crypto library fails. */
bool fta_concurrency_key_of(const fta_concurrency_limit *limit,
                            const fta_requester *requester,
                            fta_concurrency_key *out);

/* Takes a permit for a request, until fta_permits_release. *out is none where
 * as many as the limit says run already. */
fta_status fta_concurrency_begin(fta_permits *permits,
                                 const fta_concurrency_limit *limit,
                                 const fta_requester *requester,
                                 fta_permit *out);

#endif
