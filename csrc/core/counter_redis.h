/* The counters of many hosts: one Lua script in Redis, one round trip for all
 * limits of a request.
 *
 * The script says in Lua what rate.c says in C, by the clock of the server,
 * and gives every key a time to live in the very command that writes it. It
 * needs Redis 5 or later, or what is compatible with it. */
#ifndef FTA_COUNTER_REDIS_H
#define FTA_COUNTER_REDIS_H

#include <stddef.h>
#include <stdint.h>

#include "rate.h"
#include "redis_link.h"
#include "status.h"

#define FTA_PREFIX_MAX 255

typedef struct fta_counter_redis fta_counter_redis;

/* Takes the link over, on success. All keys begin with {fta:prefix}, which is
 * their hash tag: in a cluster, one application's counters are in one slot,
 * because a request counts by user, tenant and address in one atomic step. */
fta_status fta_counter_redis_new(fta_redis_link *link, const char *prefix,
                                 size_t prefix_length, fta_counter_redis **out);

/* No call may be under way. */
void fta_counter_redis_free(fta_counter_redis *counter);

/* Closes this process' connections, as fta_redis_link_hang_up does. */
void fta_counter_redis_hang_up(fta_counter_redis *counter);

const fta_redis_url *fta_counter_redis_url(const fta_counter_redis *counter);

/* Holds one request against 1 to FTA_HITS_MAX hits, all or none. Waits until
 * the deadline (fta_clock_monotonic_us) and no longer. */
fta_status fta_counter_redis_hit(fta_counter_redis *counter,
                                 fta_strategy strategy, fta_action action,
                                 const fta_hit *hits, size_t n,
                                 int64_t deadline, fta_verdict *verdict,
                                 fta_redis_problem *problem);

/* Whether Redis counts: writes, for a second, a key next to the others. */
fta_status fta_counter_redis_probe(fta_counter_redis *counter, int64_t deadline,
                                   fta_redis_problem *problem);

/* Whether Redis forgets on request: removes that key. */
fta_status fta_counter_redis_probe_reset(fta_counter_redis *counter,
                                         int64_t deadline,
                                         fta_redis_problem *problem);

/* Sends another command to the node that has the counters, for people who ask
 * what Redis this is: see fta_redis_link_call. */
fta_status fta_counter_redis_call(fta_counter_redis *counter, int argc,
                                  const char *const *argv,
                                  const size_t *lengths, int64_t deadline,
                                  fta_redis_reply **out,
                                  fta_redis_problem *problem);

/* The script's text, for tests. */
const char *fta_counter_redis_script(void);

#endif
