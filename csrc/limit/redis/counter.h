/* The counters of many hosts: one Lua script in Redis, one round trip for all
 * limits of a request.
 *
 * The script says in Lua what rate.c says in C, by the clock of the server,
 * and gives every key a time to live in the very command that writes it. It
 * needs Redis 5 or later, or what is compatible with it. */
#ifndef FTA_LIMIT_REDIS_COUNTER_H
#define FTA_LIMIT_REDIS_COUNTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/rate.h"
#include "redis/client.h"

#define FTA_PREFIX_MAX 255

typedef struct fta_redis_counter fta_redis_counter;

/* Takes the link over, on success. All keys begin with {fta:prefix}, which is
 * their hash tag: in a cluster, one application's counters are in one slot,
 * because a request counts by user, tenant and address in one atomic step. */
fta_status fta_redis_counter_new(fta_redis_client *link, const char *prefix,
                                 size_t prefix_length, fta_redis_counter **out);

/* No call may be under way. */
void fta_redis_counter_free(fta_redis_counter *counter);

/* Closes this process' connections, as fta_redis_client_disconnect does. */
void fta_redis_counter_disconnect(fta_redis_counter *counter);

const fta_redis_url *fta_redis_counter_url(const fta_redis_counter *counter);

/* Holds one request against 1 to FTA_HITS_MAX hits, all or none. Waits until
 * the deadline (fta_clock_monotonic_us) and no longer. */
fta_status fta_redis_counter_hit(fta_redis_counter *counter,
                                 fta_strategy strategy, fta_action action,
                                 const fta_hit *hits, size_t n,
                                 int64_t deadline, fta_verdict *verdict,
                                 fta_redis_problem *problem);

/* Whether Redis counts: writes, for a second, a key next to the others. */
fta_status fta_redis_counter_probe(fta_redis_counter *counter, int64_t deadline,
                                   fta_redis_problem *problem);

/* Whether Redis forgets on request: removes that key. */
fta_status fta_redis_counter_probe_reset(fta_redis_counter *counter,
                                         int64_t deadline,
                                         fta_redis_problem *problem);

/* Sends another command to the node that has the counters, for people who ask
 * what Redis this is: see fta_redis_client_call. */
fta_status fta_redis_counter_call(fta_redis_counter *counter, int argc,
                                  const char *const *argv,
                                  const size_t *lengths, int64_t deadline,
                                  fta_redis_reply **out,
                                  fta_redis_problem *problem);

/* The script's text, for tests. */
const char *fta_redis_counter_script(void);

#endif
