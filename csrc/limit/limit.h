/* A limit: how many, of what, for whom. */
#ifndef FTA_LIMIT_LIMIT_H
#define FTA_LIMIT_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "base/words.h"
#include "limit/rate.h"

/* Whose requests a limit counts. The letters are in the keys of counters. */
typedef enum fta_per {
    FTA_PER_USER = 'u',
    FTA_PER_MEMBER = 'm', /* A user, as one who shares a tenant's limit. */
    FTA_PER_TENANT = 't',
    FTA_PER_ADDRESS = 'a',
    FTA_PER_CUSTOM = 'c',
} fta_per;

extern const fta_words fta_per_words;

/* The per whose word has that place. */
fta_per fta_per_at(size_t place);

/* The word of a per. */
fta_text fta_per_text(fta_per per);

#define FTA_SCOPE_MAX 255

/* One rule: how many, whose, counted under which name. */
typedef struct fta_limit {
    fta_rate rate;
    uint32_t cost; /* 1 .. rate.limit; any from 1 if that is 0 */
    fta_per per;
    fta_text scope; /* Borrowed; at most FTA_SCOPE_MAX bytes. */
} fta_limit;

/* The limit per member that keeps one user within this fraction (0 to 1) of a
 * limit per tenant: rounded down, so that what is left to the others is never
 * less than the rest, but enough for one request (of a limit of 0: 0). */
fta_limit fta_limit_share(const fta_limit *limit, double fraction);

#endif
