/* Redis as a store, beyond what every store does: what people ask of it. */
#ifndef FTA_LIMIT_REDIS_STORE_H
#define FTA_LIMIT_REDIS_STORE_H

#include "base/status.h"
#include "limit/redis/counter.h"
#include "limit/store.h"
#include "redis/problem.h"
#include "redis/reply.h"
#include "redis/request.h"

/* These take the store fta_store_redis, which limit/store.h declares. */

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
