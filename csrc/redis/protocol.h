/* The requests that this client sends on one connection, and the replies that
 * each of them accepts.
 *
 * A connection is a state machine. Each state has one request and one set of
 * replies that it accepts. Any other reply is a protocol error, which ends the
 * connection (FTA_REDIS_MALFORMED). A redirect is accepted in one state alone:
 * as the reply to the command of a caller, in a cluster. It is parsed there and
 * returned by value, so the code that follows it has no reply to read and no
 * pointer that could be NULL.
 *
 *   AUTH      +OK
 *   SELECT    +OK
 *   ROLE      an array that begins with a text
 *   SENTINEL  the address of the primary, or nil
 *   SLOTS     the slots of a cluster
 *   ASKING    +OK
 *   COMMAND   any reply; in a cluster also a redirect, which is checked
 *
 * Each state but COMMAND also accepts the errors that every request may meet:
 * the user is denied, Redis is loading or busy, the cluster is down, "ERR".
 * They end the connection too. */
#ifndef FTA_REDIS_PROTOCOL_H
#define FTA_REDIS_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/connection.h"
#include "redis/nodes.h"
#include "redis/problem.h"
#include "redis/reply.h"
#include "redis/request.h"
#include "redis/url.h"

/* The first requests on a new connection, in one round trip: the user, the
 * database, and with sentinels whether this node is the primary. */
fta_status fta_redis_protocol_start(fta_redis_connection *c,
                                    const fta_redis_url *url, int64_t deadline,
                                    fta_redis_problem *problem);

/* Asks a sentinel for the primary, on a new connection. */
fta_status fta_redis_protocol_get_primary(fta_redis_connection *c,
                                          const fta_redis_url *url,
                                          int64_t deadline,
                                          fta_redis_host *primary,
                                          fta_redis_problem *problem);

/* Asks a node of a cluster for the slots. *out is NULL, or the caller's to
 * free. */
fta_status fta_redis_protocol_get_slots(fta_redis_connection *c,
                                        const fta_redis_host *node,
                                        int64_t deadline, fta_redis_slots **out,
                                        fta_redis_problem *problem);

typedef enum fta_redis_outcome_kind {
    FTA_REDIS_OUTCOME_FAILED,   /* The status says how. */
    FTA_REDIS_OUTCOME_REPLY,    /* reply is not NULL; the status is FTA_OK. */
    FTA_REDIS_OUTCOME_REDIRECT, /* slot and host are set. */
} fta_redis_outcome_kind;

/* What became of a command that was sent once. */
typedef struct fta_redis_outcome {
    fta_redis_outcome_kind kind;
    fta_redis_reply *reply; /* Owned; set for REPLY alone */
    unsigned slot;          /* of a redirect */
    fta_redis_host host;    /* of a redirect: the node to ask */
    bool asking;            /* of a redirect: this once, after ASKING */
} fta_redis_outcome;

/* A command of a caller, to be sent once. */
typedef struct fta_redis_attempt {
    const fta_redis_request *request; /* Borrowed */
    bool asking;                      /* ASKING goes first. */
    /* Borrowed. In a cluster the node that is asked, for redirects that name
     * none. Else NULL: then a redirect is an error like others. */
    const fta_redis_host *node;
} fta_redis_attempt;

/* outcome is set whatever happens. */
fta_status fta_redis_protocol_send(fta_redis_connection *c,
                                   const fta_redis_attempt *attempt,
                                   int64_t deadline, fta_redis_outcome *outcome,
                                   fta_redis_problem *problem);

#endif
