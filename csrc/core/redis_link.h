/* The way to Redis: a pool of connections, the topology behind a URL, and one
 * call that sends a command and brings its reply.
 *
 * Threads share a link freely. So do processes after a fork: the first call
 * in a child sees that the process is another one, closes the descriptors it
 * inherited without a word on them, and begins with an empty pool.
 *
 * A cluster's slots and a sentinel's primary are learnt, remembered, and
 * forgotten after a failure, so that the next call asks again. */
#ifndef FTA_REDIS_LINK_H
#define FTA_REDIS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "redis_reply.h"
#include "redis_socket.h"
#include "redis_url.h"
#include "status.h"

typedef struct fta_redis_link fta_redis_link;

/* Takes the url over, on success. Opens no connection. */
fta_status fta_redis_link_new(fta_redis_url *url, fta_redis_link **out,
                              fta_redis_problem *problem);

/* For tests, before the first call: what the connections are made of instead
 * of the system's sockets. Borrowed. */
void fta_redis_link_set_transport(fta_redis_link *link,
                                  const fta_redis_transport *transport);

/* No call may be under way. */
void fta_redis_link_free(fta_redis_link *link);

/* Closes this process' connections: the idle ones now, the others when the
 * calls that use them end. A later call connects anew. */
void fta_redis_link_hang_up(fta_redis_link *link);

const fta_redis_url *fta_redis_link_url(const fta_redis_link *link);

/* Sends one command whose keys are in this slot and waits for its reply until
 * the deadline (fta_clock_monotonic_us). On FTA_OK *out is the reply, the
 * caller's to free, and not an error; else *out is NULL and problem tells
 * more, maybe in Redis' own words.
 *
 * A command is sent again only when it was not carried out: Redis redirected
 * it, or had closed an idle connection. */
fta_status fta_redis_link_call(fta_redis_link *link, int argc,
                               const char *const *argv, const size_t *lengths,
                               unsigned slot, int64_t deadline,
                               fta_redis_reply **out,
                               fta_redis_problem *problem);

#endif
