/* The connections of one client in one process.
 *
 * A connection is used by one thread at a time. All functions but new, free and
 * abandon may be called by any thread at any time. */
#ifndef FTA_REDIS_POOL_H
#define FTA_REDIS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/connection.h"
#include "redis/problem.h"
#include "redis/url.h"

typedef struct fta_redis_pool fta_redis_pool;

typedef enum fta_redis_pool_state {
    FTA_REDIS_POOL_CLOSED,
    FTA_REDIS_POOL_IDLE,
    FTA_REDIS_POOL_TAKEN,
} fta_redis_pool_state;

/* One connection of a pool. */
typedef struct fta_redis_pooled {
    fta_redis_connection connection; /* of the thread that took it */
    fta_redis_host host;             /* unix: empty */
    fta_redis_pool_state state;      /* of the pool, as all below */
    unsigned epoch;
    bool is_reused; /* it was idle before it was taken */
} fta_redis_pooled;

/* Opens no connection. The connector is Borrowed until free. NULL without
 * memory. */
fta_redis_pool *fta_redis_pool_new(const fta_redis_connector *connector);

/* No connection may be taken. */
void fta_redis_pool_free(fta_redis_pool *pool);

/* In a forked child, for the pool of its parent: closes the descriptors and
 * touches nothing else, because other threads of the parent may have been in
 * the middle of it. */
void fta_redis_pool_abandon(fta_redis_pool *pool);

/* A connection to this host that has sent its first requests. On FTA_OK it is
 * this thread's until it is given back; else *out is NULL. */
fta_status fta_redis_pool_take(fta_redis_pool *pool, const fta_redis_host *host,
                               int64_t deadline, fta_redis_pooled **out,
                               fta_redis_problem *problem);

/* As fta_redis_pool_take, but waits for nothing and connects to nothing: *out
 * is NULL unless a connection is idle. */
void fta_redis_pool_take_idle(fta_redis_pool *pool, const fta_redis_host *host,
                              fta_redis_pooled **out);

/* How many connections were begun. */
unsigned fta_redis_pool_opened(fta_redis_pool *pool);

void fta_redis_pool_give_back(fta_redis_pool *pool, fta_redis_pooled *pooled);

/* Lets no connection be reused that was taken before this call. */
void fta_redis_pool_invalidate(fta_redis_pool *pool);

/* As invalidate. Closes the idle connections now; the others are closed when
 * they are given back. */
void fta_redis_pool_disconnect(fta_redis_pool *pool);

#endif
