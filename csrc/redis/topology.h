/* Which node a command goes to: the one of the URL, the primary that sentinels
 * name, or the node that owns a slot of a cluster.
 *
 * What was learnt is remembered. After a failure it is invalidated, so that the
 * next call asks again. Any thread may call at any time. */
#ifndef FTA_REDIS_TOPOLOGY_H
#define FTA_REDIS_TOPOLOGY_H

#include <stdint.h>

#include "base/status.h"
#include "redis/connection.h"
#include "redis/pool.h"
#include "redis/problem.h"
#include "redis/url.h"

typedef struct fta_redis_topology fta_redis_topology;

/* Both are Borrowed until free. NULL without memory. */
fta_redis_topology *fta_redis_topology_new(const fta_redis_connector *connector,
                                           fta_redis_pool *pool);
void fta_redis_topology_free(fta_redis_topology *topology);

/* The node for commands whose keys are in this slot; unix: an empty host. */
fta_status fta_redis_topology_find(fta_redis_topology *topology, unsigned slot,
                                   int64_t deadline, fta_redis_host *host,
                                   fta_redis_problem *problem);

/* Remembers that a slot of the cluster has moved. */
void fta_redis_topology_move_slot(fta_redis_topology *topology, unsigned slot,
                                  const fta_redis_host *to);

void fta_redis_topology_invalidate(fta_redis_topology *topology);

#endif
