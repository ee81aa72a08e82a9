#include "redis/pool.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/wait.h"
#include "redis/protocol.h"

struct fta_redis_pool {
    const fta_redis_connector *connector; /* Borrowed */
    pthread_mutex_t lock;                 /* over all that follows */
    pthread_cond_t returned;
    unsigned epoch; /* connections of earlier ones are not reused */
    unsigned opened;
    size_t count;
    fta_redis_pooled places[];
};

fta_redis_pool *
fta_redis_pool_new(const fta_redis_connector *connector)
{
    size_t count = connector->url->max_connections;
    fta_redis_pool *pool =
        fta_calloc(1, sizeof(*pool) + count * sizeof(*pool->places));
    if (pool == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        fta_free(pool);
        return NULL;
    }
    if (!fta_cond_init(&pool->returned)) {
        (void)pthread_mutex_destroy(&pool->lock);
        fta_free(pool);
        return NULL;
    }
    pool->connector = connector;
    pool->count = count;
    for (size_t i = 0; i < count; i++) {
        atomic_init(&pool->places[i].connection.socket.fd, -1);
    }
    return pool;
}

void
fta_redis_pool_free(fta_redis_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t i = 0; i < pool->count; i++) {
        fta_redis_connection_close(&pool->places[i].connection);
    }
    (void)pthread_cond_destroy(&pool->returned);
    (void)pthread_mutex_destroy(&pool->lock);
    fta_free(pool);
}

void
fta_redis_pool_abandon(fta_redis_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        fta_redis_socket_abandon(&pool->places[i].connection.socket);
    }
}

void
fta_redis_pool_give_back(fta_redis_pool *pool, fta_redis_pooled *pooled)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool is_valid = pooled->epoch == pool->epoch;
    (void)pthread_mutex_unlock(&pool->lock);
    /* Closed without the lock. Whatever becomes of the epoch meanwhile, the
     * next to take the connection compares it again. */
    if (!is_valid) {
        fta_redis_connection_close(&pooled->connection);
    }
    bool is_open = fta_redis_connection_is_open(&pooled->connection);
    (void)pthread_mutex_lock(&pool->lock);
    pooled->state = is_open ? FTA_REDIS_POOL_IDLE : FTA_REDIS_POOL_CLOSED;
    (void)pthread_cond_signal(&pool->returned);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void
close_and_give_back(fta_redis_pool *pool, fta_redis_pooled *pooled)
{
    fta_redis_connection_close(&pooled->connection);
    fta_redis_pool_give_back(pool, pooled);
}

/* An idle connection to this host, or else the place of one that is closed or
 * can be closed, or NULL. Lock held. */
static fta_redis_pooled *
choose(fta_redis_pool *pool, const fta_redis_host *host)
{
    fta_redis_pooled *place = NULL;
    for (size_t i = 0; i < pool->count; i++) {
        fta_redis_pooled *p = &pool->places[i];
        bool is_idle = p->state == FTA_REDIS_POOL_IDLE;
        bool is_valid = p->epoch == pool->epoch;
        if (is_idle && is_valid && fta_redis_host_equal(&p->host, host)) {
            p->is_reused = true;
            return p;
        }
        if (p->state == FTA_REDIS_POOL_CLOSED ||
            (is_idle && (place == NULL || !is_valid))) {
            bool keep = place != NULL && place->state == FTA_REDIS_POOL_CLOSED;
            place = keep ? place : p;
        }
    }
    if (place != NULL) {
        place->is_reused = false;
    }
    return place;
}

/* Waits for a place until the deadline; NULL after that. */
static fta_redis_pooled *
wait_for_place(fta_redis_pool *pool, const fta_redis_host *host,
               int64_t deadline)
{
    fta_redis_pooled *chosen;
    (void)pthread_mutex_lock(&pool->lock);
    while ((chosen = choose(pool, host)) == NULL) {
        int64_t left = deadline - fta_clock_monotonic_us();
        if (left <= 0) {
            break;
        }
        fta_cond_wait(&pool->returned, &pool->lock, left);
    }
    if (chosen != NULL) {
        chosen->state = FTA_REDIS_POOL_TAKEN;
        chosen->epoch = pool->epoch;
        pool->opened += !chosen->is_reused;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return chosen;
}

void
fta_redis_pool_take_idle(fta_redis_pool *pool, const fta_redis_host *host,
                         fta_redis_pooled **out)
{
    (void)pthread_mutex_lock(&pool->lock);
    fta_redis_pooled *chosen = choose(pool, host);
    if (chosen != NULL && !chosen->is_reused) {
        chosen = NULL;
    }
    if (chosen != NULL) {
        chosen->state = FTA_REDIS_POOL_TAKEN;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (chosen != NULL && !fta_redis_connection_is_quiet(&chosen->connection)) {
        close_and_give_back(pool, chosen);
        chosen = NULL;
    }
    *out = chosen;
}

unsigned
fta_redis_pool_opened(fta_redis_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    unsigned opened = pool->opened;
    (void)pthread_mutex_unlock(&pool->lock);
    return opened;
}

static fta_status
connect_to(fta_redis_pool *pool, fta_redis_pooled *taken,
           const fta_redis_host *host, int64_t deadline,
           fta_redis_problem *problem)
{
    const fta_redis_url *url = pool->connector->url;
    bool is_unix = url->kind == FTA_REDIS_UNIX;
    fta_redis_connection_close(&taken->connection);
    taken->host = *host;
    fta_status status =
        fta_redis_connection_open(&taken->connection, pool->connector,
                                  is_unix ? NULL : host, deadline, problem);
    if (status == FTA_OK) {
        status = fta_redis_protocol_start(&taken->connection, url, deadline,
                                          problem);
    }
    return status;
}

fta_status
fta_redis_pool_take(fta_redis_pool *pool, const fta_redis_host *host,
                    int64_t deadline, fta_redis_pooled **out,
                    fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_pooled *taken = NULL;
    while (taken == NULL) {
        taken = wait_for_place(pool, host, deadline);
        if (taken == NULL) {
            return FTA_REDIS_POOL_EMPTY;
        }
        if (taken->is_reused &&
            !fta_redis_connection_is_quiet(&taken->connection)) {
            close_and_give_back(pool, taken);
            taken = NULL;
        }
    }
    if (!taken->is_reused) {
        fta_status status = connect_to(pool, taken, host, deadline, problem);
        if (status != FTA_OK) {
            close_and_give_back(pool, taken);
            return status;
        }
    }
    *out = taken;
    return FTA_OK;
}

void
fta_redis_pool_invalidate(fta_redis_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->epoch++;
    (void)pthread_mutex_unlock(&pool->lock);
}

void
fta_redis_pool_disconnect(fta_redis_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->epoch++;
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].state == FTA_REDIS_POOL_IDLE) {
            fta_redis_connection_close(&pool->places[i].connection);
            pool->places[i].state = FTA_REDIS_POOL_CLOSED;
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
}
