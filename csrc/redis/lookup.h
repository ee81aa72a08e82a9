/* Host names to addresses, with a deadline. */
#ifndef FTA_REDIS_LOOKUP_H
#define FTA_REDIS_LOOKUP_H

#include <netdb.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/problem.h"
#include "redis/url.h"

/* How many lookups of one client may run in one process. Each takes a thread
 * for as long as the system's resolver takes, which may be far beyond any
 * deadline. One more is FTA_REDIS_UNREACHABLE. */
#define FTA_REDIS_LOOKUPS_MAX 8

/* Counts the lookups of one client in one process. */
typedef struct fta_redis_lookups fta_redis_lookups;

/* NULL without memory. */
fta_redis_lookups *fta_redis_lookups_new(void);

/* Lookups that still run hold the count until they end. NULL is allowed. */
void fta_redis_lookups_release(fta_redis_lookups *lookups);

typedef struct fta_redis_lookup fta_redis_lookup;

/* Resolves the host's name. On FTA_OK *out has addresses and is the caller's
 * to release; else it is NULL. */
fta_status fta_redis_resolve(const fta_redis_host *host, int64_t deadline,
                             fta_redis_lookups *all, fta_redis_lookup **out,
                             fta_redis_problem *problem);

/* Borrowed from the lookup. */
const struct addrinfo *
fta_redis_lookup_addresses(const fta_redis_lookup *lookup);

void fta_redis_lookup_release(fta_redis_lookup *lookup);

#endif
