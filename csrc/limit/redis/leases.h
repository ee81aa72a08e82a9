/* What a host holds of Redis' limits, and the requests that it counts from
 * that: the part of the Redis store that knows of leases. */
#ifndef FTA_LIMIT_REDIS_LEASES_H
#define FTA_LIMIT_REDIS_LEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/facts.h"
#include "limit/hit.h"
#include "limit/redis/counter.h"
#include "limit/store.h"

typedef struct fta_redis_leases fta_redis_leases;

/* The counter is Borrowed. Without leases (the option is 0) *out is NULL. */
fta_status fta_redis_leases_open(const fta_store_options *options,
                                 fta_redis_counter *counter,
                                 fta_redis_leases **out);

/* The last process of the host that has leases sends back what is left; none
 * waits longer than the deadline. */
void fta_redis_leases_leave(fta_redis_leases *leases, int64_t deadline);

/* NULL is allowed. No other call may be under way. */
void fta_redis_leases_close(fta_redis_leases *leases);

/* Whether a request is one that leases may answer. NULL is allowed: never. Not
 * one whose hits may be given back: those stay exact, at one round trip. */
bool fta_redis_leases_apply(const fta_redis_leases *leases,
                            const fta_hits *request);

/* Whether leases have enough for one hit of a request that they apply to. */
bool fta_redis_leases_have(fta_redis_leases *leases, const fta_hits *request,
                           size_t index);

/* Answers a request where leases have enough for all of its hits. Waits for
 * nothing. */
bool fta_redis_leases_answer(fta_redis_leases *leases, const fta_hits *request,
                             fta_verdict *verdict);

/* Counts a request (FTA_COUNT): takes from leases what they have, and asks
 * Redis about the other hits, and for leases of them. A request that is not
 * allowed, or that Redis did not answer, has taken nothing. */
fta_status fta_redis_leases_hit(fta_redis_leases *leases,
                                const fta_hits *request, int64_t deadline,
                                fta_verdict *verdict,
                                fta_redis_problem *problem);

/* Drops what this host holds of these limits: they were reset. */
void fta_redis_leases_forget(fta_redis_leases *leases, const fta_hits *request);

void fta_redis_leases_add_facts(fta_redis_leases *leases, fta_facts *facts);

#endif
