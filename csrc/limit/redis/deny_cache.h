/* Whom Redis has refused, and until when: they are refused again from this
 * process' memory, at the cost of no round trip.
 *
 * A fixed number of entries, no lock, nothing that a fork or a killed thread
 * could leave half done. A full set of entries forgets the one that ends
 * first, which costs its client's next request a round trip and no more. */
#ifndef FTA_LIMIT_REDIS_DENY_CACHE_H
#define FTA_LIMIT_REDIS_DENY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/rate.h"

/* An entry is asked about again after at most this long, so that a counter
 * that was reset elsewhere opens the gate here too. */
#define FTA_REFUSAL_MAX_US ((int64_t)60 * 1000000)

typedef struct fta_deny_cache fta_deny_cache;

fta_status fta_deny_cache_new(fta_deny_cache **out);
void fta_deny_cache_free(fta_deny_cache *refusals);

/* Remembers that this hit was refused by this verdict, which was asked for
 * at asked_us (fta_clock_monotonic_us). */
void fta_deny_cache_add(fta_deny_cache *refusals, const fta_hit *hit,
                        const fta_verdict *verdict, int64_t asked_us);

/* Whether a hit of this cost is known to be refused now; then with the
 * verdict, but for its index. */
bool fta_deny_cache_find(const fta_deny_cache *refusals, const fta_hit *hit,
                         int64_t now_us, fta_verdict *verdict);

void fta_deny_cache_remove(fta_deny_cache *refusals, const fta_hit *hit);

#endif
