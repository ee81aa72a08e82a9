#include "redis/topology.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "redis/nodes.h"
#include "redis/protocol.h"

enum { PARTS_MAX = 4 }; /* of a deadline, when several hosts are asked */

struct fta_redis_topology {
    const fta_redis_connector *connector; /* Borrowed */
    fta_redis_pool *pool;                 /* Borrowed */
    pthread_mutex_t lock;                 /* over all that follows */
    unsigned epoch;                       /* how often it was invalidated */
    size_t first; /* index of the host to ask first; another after a failure */
    bool has_primary;
    fta_redis_host primary;
    fta_redis_slots *slots; /* Owned, or NULL */
    bool slots_are_stale;
};

fta_redis_topology *
fta_redis_topology_new(const fta_redis_connector *connector,
                       fta_redis_pool *pool)
{
    fta_redis_topology *t = fta_calloc(1, sizeof(*t));
    if (t == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&t->lock, NULL) != 0) {
        fta_free(t);
        return NULL;
    }
    t->connector = connector;
    t->pool = pool;
    return t;
}

void
fta_redis_topology_free(fta_redis_topology *t)
{
    if (t != NULL) {
        fta_redis_slots_free(t->slots);
        (void)pthread_mutex_destroy(&t->lock);
        fta_free(t);
    }
}

void
fta_redis_topology_invalidate(fta_redis_topology *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->epoch++;
    t->first++;
    t->has_primary = false;
    t->slots_are_stale = true;
    (void)pthread_mutex_unlock(&t->lock);
}

/* The deadline of one host, when so many are left to ask. */
static int64_t
deadline_of_one(int64_t deadline, size_t hosts_left)
{
    int64_t now = fta_clock_monotonic_us();
    int64_t parts = hosts_left < PARTS_MAX ? (int64_t)hosts_left : PARTS_MAX;
    return now + (deadline - now) / parts;
}

static bool
is_over(int64_t deadline)
{
    return fta_clock_monotonic_us() > deadline;
}

/* --- Sentinels ------------------------------------------------------------ */

static fta_status
ask_sentinel(const fta_redis_topology *t, const fta_redis_host *sentinel,
             int64_t deadline, fta_redis_host *primary,
             fta_redis_problem *problem)
{
    fta_redis_connection c = FTA_REDIS_CONNECTION_CLOSED;
    fta_status status = fta_redis_connection_open(&c, t->connector, sentinel,
                                                  deadline, problem);
    if (status == FTA_OK) {
        status = fta_redis_protocol_get_primary(&c, t->connector->url, deadline,
                                                primary, problem);
    }
    fta_redis_connection_close(&c);
    return status;
}

static fta_status
find_primary(fta_redis_topology *t, int64_t deadline, fta_redis_host *host,
             fta_redis_problem *problem)
{
    (void)pthread_mutex_lock(&t->lock);
    bool is_known = t->has_primary;
    *host = t->primary;
    size_t first = t->first;
    unsigned epoch = t->epoch;
    (void)pthread_mutex_unlock(&t->lock);
    if (is_known) {
        return FTA_OK;
    }
    const fta_redis_url *url = t->connector->url;
    fta_status status = FTA_REDIS_NO_PRIMARY;
    size_t count = url->host_count;
    for (size_t i = 0; i < count && (i == 0 || !is_over(deadline)); i++) {
        status =
            ask_sentinel(t, &url->hosts[(first + i) % count],
                         deadline_of_one(deadline, count - i), host, problem);
        if (status == FTA_OK) {
            (void)pthread_mutex_lock(&t->lock);
            if (t->epoch == epoch) {
                t->primary = *host;
                t->has_primary = true;
            }
            (void)pthread_mutex_unlock(&t->lock);
            break;
        }
    }
    return status;
}

/* --- Clusters ------------------------------------------------------------- */

/* The nodes that can be asked for the slots are those that are known, followed
 * by the hosts of the URL. Gets one of them; false when there are no more. */
static bool
get_candidate(fta_redis_topology *t, size_t index, fta_redis_host *host,
              size_t *count)
{
    const fta_redis_url *url = t->connector->url;
    (void)pthread_mutex_lock(&t->lock);
    size_t known = t->slots != NULL ? t->slots->count : 0;
    *count = known + url->host_count;
    size_t at = (t->first + index) % *count;
    *host = at < known ? t->slots->nodes[at] : url->hosts[at - known];
    (void)pthread_mutex_unlock(&t->lock);
    return index < *count;
}

static fta_status
ask_node(fta_redis_topology *t, const fta_redis_host *node, int64_t deadline,
         fta_redis_slots **out, fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_pooled *taken;
    fta_status status =
        fta_redis_pool_take(t->pool, node, deadline, &taken, problem);
    if (status != FTA_OK) {
        return status;
    }
    status = fta_redis_protocol_get_slots(&taken->connection, node, deadline,
                                          out, problem);
    fta_redis_pool_give_back(t->pool, taken);
    return status;
}

static fta_status
learn_slots(fta_redis_topology *t, int64_t deadline, fta_redis_problem *problem)
{
    fta_status status = FTA_REDIS_UNREACHABLE;
    fta_redis_slots *fresh = NULL;
    fta_redis_host node;
    size_t count;
    for (size_t i = 0; fresh == NULL && (i == 0 || !is_over(deadline)) &&
                       get_candidate(t, i, &node, &count);
         i++) {
        status = ask_node(t, &node, deadline_of_one(deadline, count - i),
                          &fresh, problem);
    }
    if (fresh != NULL) {
        (void)pthread_mutex_lock(&t->lock);
        fta_redis_slots *old = t->slots;
        t->slots = fresh;
        t->slots_are_stale = false;
        (void)pthread_mutex_unlock(&t->lock);
        fta_redis_slots_free(old);
    }
    return status;
}

static fta_status
find_owner(fta_redis_topology *t, unsigned slot, int64_t deadline,
           fta_redis_host *host, fta_redis_problem *problem)
{
    (void)pthread_mutex_lock(&t->lock);
    bool is_known = t->slots != NULL && !t->slots_are_stale;
    (void)pthread_mutex_unlock(&t->lock);
    fta_status status = is_known ? FTA_OK : learn_slots(t, deadline, problem);
    if (status != FTA_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&t->lock);
    uint16_t owner = t->slots->owner[slot];
    if (owner != FTA_REDIS_NO_OWNER) {
        *host = t->slots->nodes[owner];
    } else {
        t->slots_are_stale = true;
        status = FTA_REDIS_CLUSTER_DOWN;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

void
fta_redis_topology_move_slot(fta_redis_topology *t, unsigned slot,
                             const fta_redis_host *to)
{
    (void)pthread_mutex_lock(&t->lock);
    if (t->slots != NULL &&
        fta_redis_slots_move(t->slots, slot, to) != FTA_OK) {
        /* Too many nodes, or no memory. */
        t->slots_are_stale = true;
    }
    (void)pthread_mutex_unlock(&t->lock);
}

/* --- Any topology --------------------------------------------------------- */

fta_status
fta_redis_topology_find(fta_redis_topology *t, unsigned slot, int64_t deadline,
                        fta_redis_host *host, fta_redis_problem *problem)
{
    const fta_redis_url *url = t->connector->url;
    if (url->cluster) {
        return find_owner(t, slot, deadline, host, problem);
    }
    if (url->kind == FTA_REDIS_SENTINEL) {
        return find_primary(t, deadline, host, problem);
    }
    if (url->kind == FTA_REDIS_UNIX) {
        memset(host, 0, sizeof(*host));
    } else {
        *host = url->hosts[0];
    }
    return FTA_OK;
}
