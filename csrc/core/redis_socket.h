/* One connection to one Redis: TCP, a unix socket, or TLS over TCP.
 *
 * Nothing here blocks beyond an absolute deadline (fta_clock_monotonic_us):
 * not a name that does not resolve, not a peer that sends one byte a second.
 * After any failure the connection is closed: what is left in it may be the
 * late answer to an earlier question. */
#ifndef FTA_REDIS_SOCKET_H
#define FTA_REDIS_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "redis_reply.h"
#include "redis_url.h"
#include "status.h"

/* What went wrong, for the log: one line of printable ASCII, maybe empty. */
typedef struct fta_redis_problem {
    char text[128];
} fta_redis_problem;

void fta_redis_problem_set(fta_redis_problem *problem, const char *text);

/* The files of a rediss:// URL, loaded once; then only read, by any thread
 * and by every child. */
typedef struct fta_redis_tls fta_redis_tls;

fta_status fta_redis_tls_new(const fta_redis_url *url, fta_redis_tls **out,
                             fta_redis_problem *problem);
void fta_redis_tls_free(fta_redis_tls *tls);

typedef struct fta_redis_socket {
    /* -1: closed. Written before the descriptor exists no more, and after it
     * began to exist, so that a child forked in between may leak it but
     * never closes somebody else's. */
    atomic_int fd;
    dev_t device; /* with inode, the identity of the socket behind fd */
    ino_t inode;
    void *ssl;                /* Owned, an SSL, or NULL */
    fta_redis_reader *reader; /* Owned */
} fta_redis_socket;

#define FTA_REDIS_SOCKET_CLOSED {.fd = -1}

/* Connects to host, or to the URL's path when host is NULL, and shakes hands
 * when tls is not NULL. No command is sent. */
fta_status fta_redis_socket_open(fta_redis_socket *s, const fta_redis_url *url,
                                 const fta_redis_tls *tls,
                                 const fta_redis_host *host, int64_t deadline,
                                 fta_redis_problem *problem);

/* Whether an idle connection is still as it was left: open, and silent. */
bool fta_redis_socket_is_quiet(const fta_redis_socket *s);

/* Sends formatted commands and reads as many replies, all or none. */
fta_status fta_redis_socket_exchange(fta_redis_socket *s, const char *bytes,
                                     size_t length, size_t count,
                                     fta_redis_reply **replies,
                                     int64_t deadline,
                                     fta_redis_problem *problem);

void fta_redis_socket_close(fta_redis_socket *s);

/* In a forked child, for a connection of its parent: closes the descriptor,
 * if it is still that socket, and touches nothing else, because the parent's
 * other threads may have been in the middle of it. */
void fta_redis_socket_abandon(fta_redis_socket *s);

#endif
