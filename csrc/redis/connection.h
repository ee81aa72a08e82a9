/* One connection to one Redis: a socket, TLS over it where the URL says so, and
 * the reader of its replies.
 *
 * After any failure the connection is closed: what is left in it may be the
 * late reply to an earlier request. */
#ifndef FTA_REDIS_CONNECTION_H
#define FTA_REDIS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/problem.h"
#include "redis/reply.h"
#include "redis/request.h"
#include "redis/socket.h"
#include "redis/tls.h"
#include "redis/url.h"

typedef struct fta_redis_connection {
    fta_redis_socket socket;
    SSL *ssl;                 /* Owned; NULL without TLS */
    fta_redis_reader *reader; /* Owned */
} fta_redis_connection;

#define FTA_REDIS_CONNECTION_CLOSED {.socket = {.fd = -1}}

/* How the connections of one client are made in one process. All Borrowed. */
typedef struct fta_redis_connector {
    const fta_redis_url *url;
    const fta_redis_tls *tls; /* NULL: without TLS */
    const fta_redis_transport *transport;
    fta_redis_lookups *lookups;
} fta_redis_connector;

/* Connects to host, or to the URL's path when host is NULL. Sends no command.
 * The connector must outlive the connection, which may not be moved. */
fta_status fta_redis_connection_open(fta_redis_connection *c,
                                     const fta_redis_connector *connector,
                                     const fta_redis_host *host,
                                     int64_t deadline,
                                     fta_redis_problem *problem);

bool fta_redis_connection_is_open(const fta_redis_connection *c);

/* Whether nothing has arrived since the last reply: neither bytes nor the end
 * of the connection. */
bool fta_redis_connection_is_quiet(fta_redis_connection *c);

/* Sends a request of so many commands and reads as many replies: all or none.
 * The replies are the caller's to free. */
fta_status fta_redis_connection_exchange(
    fta_redis_connection *c, const fta_redis_request *request, size_t count,
    fta_redis_reply **replies, int64_t deadline, fta_redis_problem *problem);

/* A closed connection may be closed again. */
void fta_redis_connection_close(fta_redis_connection *c);

#endif
