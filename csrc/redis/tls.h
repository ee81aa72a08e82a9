/* TLS over a socket, by OpenSSL. */
#ifndef FTA_REDIS_TLS_H
#define FTA_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/types.h>

#include "base/status.h"
#include "redis/problem.h"
#include "redis/socket.h"
#include "redis/url.h"

/* The files of a rediss:// URL. They are loaded once; after that any thread
 * and any child only reads them. */
typedef struct fta_redis_tls fta_redis_tls;

fta_status fta_redis_tls_new(const fta_redis_url *url, fta_redis_tls **out,
                             fta_redis_problem *problem);
void fta_redis_tls_free(fta_redis_tls *tls);

/* The handshake, on a connected socket, with a peer whose certificate must be
 * for this name. On FTA_OK *out is the caller's to close; it refers to the
 * socket, which must stay where it is. */
fta_status fta_redis_tls_connect(const fta_redis_tls *tls, fta_redis_socket *s,
                                 const char *name, SSL **out,
                                 fta_redis_problem *problem);

/* One step each. FTA_OK with nothing sent or received: to be called again. On
 * FTA_REDIS_TLS the reason is in OpenSSL's error queue, which the caller clears
 * before the first step and after the last one. */
fta_status fta_redis_tls_send(SSL *ssl, fta_redis_socket *s, const char *bytes,
                              size_t length, size_t *sent);
fta_status fta_redis_tls_receive(SSL *ssl, fta_redis_socket *s, char *bytes,
                                 size_t size, size_t *received);

/* Sets the problem from OpenSSL's error queue. */
void fta_redis_tls_set_problem(fta_redis_problem *problem);

/* As the transport's is_quiet, for data inside of TLS. */
bool fta_redis_tls_is_quiet(SSL *ssl, fta_redis_socket *s);

/* Frees the session without a message to the peer. NULL is allowed. */
void fta_redis_tls_close(SSL *ssl);

#endif
