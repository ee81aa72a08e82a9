#include "redis/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <openssl/err.h>

fta_status
fta_redis_connection_open(fta_redis_connection *c,
                          const fta_redis_connector *connector,
                          const fta_redis_host *host, int64_t deadline,
                          fta_redis_problem *problem)
{
    const fta_redis_url *url = connector->url;
    fta_redis_socket *s = &c->socket;
    fta_redis_socket_begin(s, deadline);
    s->transport = connector->transport;
    s->lookups = connector->lookups;
    fta_status status = fta_redis_reader_new(&c->reader);
    if (status == FTA_OK) {
        status = s->transport->open(s, host, url->path, problem);
    }
    if (status == FTA_OK && connector->tls != NULL) {
        /* A unix socket has no host. The URL's reader allows no TLS there. */
        const char *name = url->server_name != NULL ? url->server_name
                           : host != NULL           ? host->name
                                                    : "";
        status =
            fta_redis_tls_connect(connector->tls, s, name, &c->ssl, problem);
    }
    if (status != FTA_OK) {
        fta_redis_connection_close(c);
    }
    return status;
}

bool
fta_redis_connection_is_open(const fta_redis_connection *c)
{
    return atomic_load(&c->socket.fd) >= 0;
}

bool
fta_redis_connection_is_quiet(fta_redis_connection *c)
{
    return c->ssl != NULL ? fta_redis_tls_is_quiet(c->ssl, &c->socket)
                          : c->socket.transport->is_quiet(&c->socket);
}

/* One step without TLS. FTA_OK with *sent 0: to be called again. */
static fta_status
send_plain(fta_redis_socket *s, const char *bytes, size_t length, size_t *sent)
{
    *sent = 0;
    if (!fta_redis_socket_is_in_time(s)) {
        return FTA_REDIS_TIMEOUT;
    }
    ssize_t n = s->transport->send(s, bytes, length);
    if (n >= 0) {
        *sent = (size_t)n;
        return FTA_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return s->transport->wait(s, POLLOUT);
    }
    return errno == EINTR ? FTA_OK : FTA_REDIS_CLOSED;
}

/* One step without TLS. FTA_OK with *received 0: to be called again. */
static fta_status
receive_plain(fta_redis_socket *s, char *bytes, size_t size, size_t *received)
{
    *received = 0;
    /* A reply is never there at once, so poll comes before recv. */
    fta_status status = s->transport->wait(s, POLLIN);
    if (status != FTA_OK) {
        return status;
    }
    ssize_t n = s->transport->receive(s, bytes, size);
    if (n > 0) {
        *received = (size_t)n;
        return FTA_OK;
    }
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
               ? FTA_OK
               : FTA_REDIS_CLOSED;
}

static fta_status
send_all(fta_redis_connection *c, const fta_redis_request *request)
{
    const char *bytes = request->bytes;
    size_t length = request->length;
    fta_status status = FTA_OK;
    while (status == FTA_OK && length > 0) {
        size_t sent;
        status = c->ssl != NULL ? fta_redis_tls_send(c->ssl, &c->socket, bytes,
                                                     length, &sent)
                                : send_plain(&c->socket, bytes, length, &sent);
        bytes += sent;
        length -= sent;
    }
    return status;
}

/* At least one byte. */
static fta_status
receive(fta_redis_connection *c, char *bytes, size_t size, size_t *received)
{
    fta_redis_socket *s = &c->socket;
    fta_status status = FTA_OK;
    *received = 0;
    while (status == FTA_OK && *received == 0) {
        if (!fta_redis_socket_is_in_time(s)) {
            status = FTA_REDIS_TIMEOUT;
        } else {
            status = c->ssl != NULL ? fta_redis_tls_receive(c->ssl, s, bytes,
                                                            size, received)
                                    : receive_plain(s, bytes, size, received);
        }
    }
    return status;
}

static fta_status
read_replies(fta_redis_connection *c, size_t count, fta_redis_reply **replies)
{
    char bytes[4096];
    for (size_t i = 0; i < count;) {
        fta_status status = fta_redis_reader_next(c->reader, &replies[i]);
        if (status == FTA_OK && replies[i] != NULL) {
            i++;
            continue;
        }
        size_t received;
        if (status == FTA_OK) {
            status = receive(c, bytes, sizeof(bytes), &received);
        }
        if (status == FTA_OK) {
            status = fta_redis_reader_feed(c->reader, bytes, received);
        }
        if (status != FTA_OK) {
            return status;
        }
    }
    /* What is left belongs to no request. */
    return fta_redis_reader_is_empty(c->reader) ? FTA_OK : FTA_REDIS_MALFORMED;
}

fta_status
fta_redis_connection_exchange(fta_redis_connection *c,
                              const fta_redis_request *request, size_t count,
                              fta_redis_reply **replies, int64_t deadline,
                              fta_redis_problem *problem)
{
    memset(replies, 0, count * sizeof(*replies));
    fta_redis_socket_begin(&c->socket, deadline);
    if (c->ssl != NULL) {
        ERR_clear_error();
    }
    fta_status status = send_all(c, request);
    if (status == FTA_OK) {
        status = read_replies(c, count, replies);
    }
    if (status != FTA_OK) {
        if (status == FTA_REDIS_TLS) {
            fta_redis_tls_set_problem(problem);
        }
        for (size_t i = 0; i < count; i++) {
            fta_redis_reply_free(replies[i]);
            replies[i] = NULL;
        }
        fta_redis_connection_close(c);
    }
    if (c->ssl != NULL) {
        ERR_clear_error();
    }
    return status;
}

void
fta_redis_connection_close(fta_redis_connection *c)
{
    fta_redis_tls_close(c->ssl);
    c->ssl = NULL;
    if (fta_redis_connection_is_open(c)) {
        c->socket.transport->close(&c->socket);
    }
    fta_redis_reader_free(c->reader);
    c->reader = NULL;
}
