/* A client of Redis: one call sends a command and returns its reply.
 *
 * Threads share a client freely. So do processes after a fork: the first call
 * in a child closes the descriptors that it inherited, sends nothing on them,
 * and begins with an empty pool. */
#ifndef FTA_REDIS_CLIENT_H
#define FTA_REDIS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/problem.h"
#include "redis/reply.h"
#include "redis/request.h"
#include "redis/socket.h"
#include "redis/url.h"

typedef struct fta_redis_client fta_redis_client;

/* Takes the url over, on success. Opens no connection. */
fta_status fta_redis_client_new(fta_redis_url *url, fta_redis_client **out,
                                fta_redis_problem *problem);

/* For tests, before the first call: the connections use this instead of the
 * system's sockets. Borrowed. */
void fta_redis_client_set_transport(fta_redis_client *client,
                                    const fta_redis_transport *transport);

/* No call may be under way. */
void fta_redis_client_free(fta_redis_client *client);

/* Closes this process' connections: the idle ones now, the others when the
 * calls that use them end. A later call connects anew. */
void fta_redis_client_disconnect(fta_redis_client *client);

const fta_redis_url *fta_redis_client_url(const fta_redis_client *client);

/* Sends one command whose keys are in this slot, and waits for its reply until
 * the deadline (fta_clock_monotonic_us). On FTA_OK *out is the reply, which is
 * the caller's to free and no error. Else *out is NULL and problem tells more,
 * maybe in Redis' own words.
 *
 * A command is sent again when Redis has redirected it, and once when an idle
 * connection closes: then it may be carried out twice. */
fta_status fta_redis_client_call(fta_redis_client *client,
                                 const fta_redis_command *command,
                                 unsigned slot, int64_t deadline,
                                 fta_redis_reply **out,
                                 fta_redis_problem *problem);

/* The same for a command that must not be carried out twice: it is not sent
 * again when a connection closes, because Redis may have had it. */
fta_status fta_redis_client_change(fta_redis_client *client,
                                   const fta_redis_command *command,
                                   unsigned slot, int64_t deadline,
                                   fta_redis_reply **out,
                                   fta_redis_problem *problem);

/* Sends one command at most once, on a connection that is open and idle now. No
 * redirect is followed. On a failure nobody knows whether it was carried out,
 * but on FTA_REDIS_POOL_EMPTY: there was no such connection, and nothing was
 * sent. */
fta_status fta_redis_client_call_once(fta_redis_client *client,
                                      const fta_redis_command *command,
                                      unsigned slot, int64_t deadline,
                                      fta_redis_reply **out,
                                      fta_redis_problem *problem);

/* What has become of this process' connections: how many were opened, and how
 * often all were given up after a failure. */
typedef struct fta_redis_client_history {
    unsigned opened;
    unsigned lost;
} fta_redis_client_history;

fta_redis_client_history
fta_redis_client_history_read(fta_redis_client *client);

/* Reuses none of this process' connections from now on, and asks anew where the
 * primary is. */
void fta_redis_client_renew(fta_redis_client *client);

#endif
