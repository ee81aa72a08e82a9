/* Redis as a store: counters of many hosts, which may be away. */
#ifndef FTA_LIMIT_REDIS_STORE_H
#define FTA_LIMIT_REDIS_STORE_H

#include "base/status.h"
#include "limit/redis/counter.h"
#include "limit/store.h"
#include "redis/problem.h"
#include "redis/reply.h"
#include "redis/request.h"

/* Takes every URL: what is wrong with one, it says when it is opened. Connects
 * to nothing then. */
extern const fta_store_type fta_redis_store_type;

/* Has Redis count and forget a key of its own, as requests do, whatever the
 * breaker says; for people who ask. Waits until timeout_ms at most. */
fta_status fta_redis_store_check(fta_store *store, int timeout_ms,
                                 fta_redis_problem *problem);

/* Sends another command; see fta_redis_counter_call. */
fta_status fta_redis_store_call(fta_store *store,
                                const fta_redis_command *command,
                                int timeout_ms, fta_redis_reply **out,
                                fta_redis_problem *problem);

#endif
