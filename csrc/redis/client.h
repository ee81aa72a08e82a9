/* The way to Redis: a pool of connections, the topology behind a URL, and one
 * call that sends a command and brings its reply.
 *
 * Threads share a link freely. So do processes after a fork: the first call
 * in a child sees that the process is another one, closes the descriptors it
 * inherited without a word on them, and begins with an empty pool.
 *
 * A cluster's slots and a sentinel's primary are learnt, remembered, and
 * forgotten after a failure, so that the next call asks again. */
#ifndef FTA_REDIS_CLIENT_H
#define FTA_REDIS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/reply.h"
#include "redis/socket.h"
#include "redis/url.h"

typedef struct fta_redis_client fta_redis_client;

/* Takes the url over, on success. Opens no connection. */
fta_status fta_redis_client_new(fta_redis_url *url, fta_redis_client **out,
                                fta_redis_problem *problem);

/* For tests, before the first call: what the connections are made of instead
 * of the system's sockets. Borrowed. */
void fta_redis_client_set_transport(fta_redis_client *link,
                                    const fta_redis_transport *transport);

/* No call may be under way. */
void fta_redis_client_free(fta_redis_client *link);

/* Closes this process' connections: the idle ones now, the others when the
 * calls that use them end. A later call connects anew. */
void fta_redis_client_hang_up(fta_redis_client *link);

const fta_redis_url *fta_redis_client_url(const fta_redis_client *link);

/* Sends one command whose keys are in this slot and waits for its reply until
 * the deadline (fta_clock_monotonic_us). On FTA_OK *out is the reply, the
 * caller's to free, and not an error; else *out is NULL and problem tells
 * more, maybe in Redis' own words.
 *
 * A command is sent again only when it was not carried out: Redis redirected
 * it, or had closed an idle connection. */
fta_status fta_redis_client_call(fta_redis_client *link, int argc,
                                 const char *const *argv, const size_t *lengths,
                                 unsigned slot, int64_t deadline,
                                 fta_redis_reply **out,
                                 fta_redis_problem *problem);

#endif
