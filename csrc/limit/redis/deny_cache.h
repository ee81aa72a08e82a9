/* The hits that Redis has limited, and until when. This process answers them
 * again from memory, without a round trip.
 *
 * A fixed number of entries, no lock, nothing that a fork or a killed thread
 * could leave half done. A full set of entries forgets the one that ends
 * first, which costs its client's next request a round trip and no more. */
#ifndef FTA_LIMIT_REDIS_DENY_CACHE_H
#define FTA_LIMIT_REDIS_DENY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/hit.h"

/* No entry lasts longer, so that a counter that was reset elsewhere counts here
 * again. */
#define FTA_DENY_CACHE_MAX_US ((int64_t)60 * 1000000)

typedef struct fta_deny_cache fta_deny_cache;

fta_status fta_deny_cache_new(fta_deny_cache **out);
void fta_deny_cache_free(fta_deny_cache *cache);

/* Remembers that this verdict has limited this hit. Redis was asked for it at
 * asked_us (fta_clock_monotonic_us). */
void fta_deny_cache_add(fta_deny_cache *cache, const fta_hit *hit,
                        const fta_verdict *verdict, int64_t asked_us);

/* Whether a hit of this cost is known to be limited now; then writes the
 * verdict, all but its index. */
bool fta_deny_cache_find(const fta_deny_cache *cache, const fta_hit *hit,
                         int64_t now_us, fta_verdict *verdict);

void fta_deny_cache_remove(fta_deny_cache *cache, const fta_hit *hit);

#endif
