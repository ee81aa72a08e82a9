/* The counters of many hosts: one Lua script in Redis, one round trip for all
 * limits of a request.
 *
 * The script (see script.h) says in Lua what the strategies say in C, by the
 * clock of the server, and gives every key a time to live in the command that
 * writes it. It needs Redis 5 or later, or what is compatible with it. */
#ifndef FTA_LIMIT_REDIS_COUNTER_H
#define FTA_LIMIT_REDIS_COUNTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/hit.h"
#include "limit/lease/table.h"
#include "redis/client.h"

#define FTA_PREFIX_MAX 255

typedef struct fta_redis_counter fta_redis_counter;

/* Takes the client over, on success. All keys begin with {fta:prefix}, which is
 * their hash tag: in a cluster, one application's counters are in one slot,
 * because a request counts by user, tenant and address in one atomic step. */
fta_status fta_redis_counter_new(fta_redis_client *client, const char *prefix,
                                 size_t prefix_length, fta_redis_counter **out);

/* No call may be under way. */
void fta_redis_counter_free(fta_redis_counter *counter);

/* Closes this process' connections, as fta_redis_client_disconnect does. */
void fta_redis_counter_disconnect(fta_redis_counter *counter);

const fta_redis_url *fta_redis_counter_url(const fta_redis_counter *counter);

/* Holds one request against all of its hits. Waits until the deadline
 * (fta_clock_monotonic_us) and no longer. */
fta_status fta_redis_counter_hit(fta_redis_counter *counter,
                                 const fta_hits *request, int64_t deadline,
                                 fta_verdict *verdict,
                                 fta_redis_problem *problem);

/* What a request that asks for leases says beside its hits. */
typedef struct fta_lease_question {
    double part;   /* Of what remains. */
    uint64_t host; /* fta_lease_table_host. */
    uint64_t nonce;
    uint32_t most[FTA_HITS_MAX];  /* Of each hit; 0: it asks for none. */
    uint32_t spent[FTA_HITS_MAX]; /* Of its leases, since the last answer. */
} fta_lease_question;

/* As fta_redis_counter_hit, with the verdict of each hit, and what is leased.
 * Where one of them is not allowed nothing is counted and nothing leased. */
fta_status fta_redis_counter_lease(fta_redis_counter *counter,
                                   const fta_hits *request,
                                   const fta_lease_question *question,
                                   int64_t deadline,
                                   fta_verdict verdicts[FTA_HITS_MAX],
                                   fta_grant grants[FTA_HITS_MAX],
                                   fta_redis_problem *problem);

/* Offers permits, at most once, on a connection that is open. host: as above,
 * or 0 for one that ends, from which Redis takes all. Without an answer the
 * offers have the fate that they had: nobody knows. */
fta_status fta_redis_counter_offer(fta_redis_counter *counter,
                                   const fta_strategy *strategy, uint64_t host,
                                   fta_lease_offer *offers, size_t count,
                                   int64_t deadline,
                                   fta_redis_problem *problem);

/* See fta_redis_client_history_read and fta_redis_client_renew. */
fta_redis_client_history fta_redis_counter_history(fta_redis_counter *counter);
void fta_redis_counter_renew(fta_redis_counter *counter);

/* Whether Redis counts: writes, for a second, a key next to the others. */
fta_status fta_redis_counter_probe(fta_redis_counter *counter, int64_t deadline,
                                   fta_redis_problem *problem);

/* Whether Redis forgets on request: resets that key. */
fta_status fta_redis_counter_probe_reset(fta_redis_counter *counter,
                                         int64_t deadline,
                                         fta_redis_problem *problem);

/* Sends another command to the node that has the counters, for people who ask
 * what Redis this is: see fta_redis_client_call. */
fta_status fta_redis_counter_call(fta_redis_counter *counter,
                                  const fta_redis_command *command,
                                  int64_t deadline, fta_redis_reply **out,
                                  fta_redis_problem *problem);

#endif
