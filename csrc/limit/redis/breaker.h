/* The circuit breaker between callers and a store that may be away.
 *
 * Closed: callers use the store; the first of them that fails opens it. Open:
 * callers do without, and one thread of the breaker's own, which lives only
 * as long as that, asks the store again and again, at growing distances, and
 * closes it. No caller ever waits for it.
 *
 * Each process has its own state and its own thread. A child forked while the
 * breaker is open starts out open, with a thread of its own from its first
 * question on. */
#ifndef FTA_LIMIT_REDIS_BREAKER_H
#define FTA_LIMIT_REDIS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/problem.h"

/* The distances between two probes: doubled from the first to the longest,
 * each one shortened or stretched by a quarter at random, so that the
 * processes of a fleet do not ask in step. */
#define FTA_BREAKER_FIRST_US 100000
#define FTA_BREAKER_LONGEST_US 1000000

typedef struct fta_breaker fta_breaker;

/* Called by the breaker's thread: FTA_OK says the store is well again. */
typedef fta_status (*fta_breaker_probe)(void *context,
                                        fta_redis_problem *problem);

/* What a caller has seen before it used the store. Even: closed. Odd: open.
 * Grows by one with every change. */
typedef uint32_t fta_breaker_view;

fta_status fta_breaker_new(fta_breaker_probe probe, void *context,
                           fta_breaker **out);

/* Who is told, by the breaker's thread, that it is open, and that it closes. To
 * be called before the first question. A child that is forked while it is open
 * tells so too. */
void fta_breaker_watch(fta_breaker *breaker,
                       void (*changed)(void *context, bool is_open),
                       void *context);

/* No call may be under way. */
void fta_breaker_free(fta_breaker *breaker);

/* Ends this process' thread, which may take as long as one probe, and starts
 * no other: an open breaker stays open. */
void fta_breaker_stop(fta_breaker *breaker);

/* Changes since the start, and so the state. Never blocks. */
fta_breaker_view fta_breaker_look(fta_breaker *breaker);

static inline bool
fta_breaker_is_open(fta_breaker_view view)
{
    return view % 2 == 1;
}

/* The store failed for a caller that had seen this view. Of several who tell
 * of the same outage one opens the breaker; who tells of an earlier one does
 * nothing. */
void fta_breaker_trip(fta_breaker *breaker, fta_breaker_view seen,
                      fta_status status, const fta_redis_problem *problem);

/* Only remembers a failure that says nothing about the store's health. */
void fta_breaker_note(fta_breaker *breaker, fta_status status,
                      const fta_redis_problem *problem);

/* The last failure, of a caller or a probe, in this process. */
void fta_breaker_last_failure(fta_breaker *breaker, fta_status *status,
                              fta_redis_problem *problem);

#endif
