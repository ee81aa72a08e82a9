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

/* When a command may be sent again. */
typedef enum fta_redis_resend {
    /* Only where Redis has said that it did not carry it out. So it is carried
     * out at most once. It is 0, so it holds where a caller says nothing. */
    FTA_REDIS_RESEND_REFUSED,
    /* Also once when a connection that was idle closes: Redis may have had the
     * command, which may then be carried out twice. */
    FTA_REDIS_RESEND_CLOSED,
    /* Never, and only on a connection that is open and idle now: no redirect
     * is followed. FTA_REDIS_POOL_EMPTY says that there was no such connection,
     * and that nothing was sent. */
    FTA_REDIS_RESEND_NEVER,
} fta_redis_resend;

/* How a command is sent. */
typedef struct fta_redis_sending {
    unsigned slot;    /* that its keys are in */
    int64_t deadline; /* fta_clock_monotonic_us */
    fta_redis_resend resend;
} fta_redis_sending;

/* Sends one command and waits for its reply. On FTA_OK *out is the reply, which
 * is the caller's to free and no error. Else *out is NULL and problem tells
 * more, maybe in Redis' own words; after all but an answer of Redis nobody
 * knows whether the command was carried out. */
fta_status fta_redis_client_call(fta_redis_client *client,
                                 const fta_redis_command *command,
                                 const fta_redis_sending *sending,
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
