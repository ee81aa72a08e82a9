/* One connection to one Redis: TCP, a unix socket, or TLS over TCP.
 *
 * Nothing here blocks beyond an absolute deadline (fta_clock_monotonic_us):
 * not a name that does not resolve, not a peer that sends one byte a second
 * or that never stops sending. After any failure the connection is closed: what
 * is left in it may be the late answer to an earlier question. */
#ifndef FTA_REDIS_SOCKET_H
#define FTA_REDIS_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "redis/reply.h"
#include "redis/url.h"

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

/* The look-ups of names that are under way in this process for one link. Each
 * takes a thread for as long as the system's resolver takes, which may be far
 * beyond any deadline, so there are at most so many; a name that would be one
 * more cannot be reached. */
#define FTA_REDIS_LOOKUPS_MAX 8

typedef struct fta_redis_lookups fta_redis_lookups;

/* NULL without memory. Those that are under way when it is left go on. */
fta_redis_lookups *fta_redis_lookups_new(void);
void fta_redis_lookups_leave(fta_redis_lookups *lookups);

typedef struct fta_redis_transport fta_redis_transport;

typedef struct fta_redis_socket {
    /* -1: closed. Written before the descriptor exists no more, and after it
     * began to exist, so that a child forked in between may leak it but
     * never closes somebody else's. */
    atomic_int fd;
    dev_t device; /* with inode, the identity of the socket behind fd */
    ino_t inode;
    const fta_redis_transport *transport; /* Borrowed; set while open */
    fta_redis_lookups *lookups;           /* Borrowed; as transport */
    int64_t deadline;                     /* of the call that is under way */
    unsigned late_looks;                  /* after it; see LATE_LOOKS_MAX */
    void *ssl;                            /* Owned, an SSL, or NULL */
    fta_redis_reader *reader;             /* Owned */
} fta_redis_socket;

#define FTA_REDIS_SOCKET_CLOSED {.fd = -1}

/* The system calls below a connection. Tests and fuzzers replace them. */
struct fta_redis_transport {
    /* Connects to host, or to path when host is NULL, until s->deadline, and
     * stores the descriptor in s->fd. It stays there after a failure too:
     * fta_redis_socket_close closes it. */
    fta_status (*open)(fta_redis_socket *s, const fta_redis_host *host,
                       const char *path, fta_redis_problem *problem);
    /* As send(2) and recv(2) on a descriptor that does not block. */
    ssize_t (*send)(fta_redis_socket *s, const char *bytes, size_t length);
    ssize_t (*receive)(fta_redis_socket *s, char *bytes, size_t size);
    /* Waits for POLLIN or POLLOUT until s->deadline. */
    fta_status (*wait)(fta_redis_socket *s, short events);
    /* Whether the peer neither sent anything nor closed. */
    bool (*is_quiet)(const fta_redis_socket *s);
    /* Closes s->fd, which is not -1, and sets it to -1. */
    void (*close)(fta_redis_socket *s);
    /* Lets this thread sleep. */
    void (*pause)(int milliseconds);
};

extern const fta_redis_transport fta_redis_system_transport;

/* How the connections of one URL are made in one process. All Borrowed. */
typedef struct fta_redis_connector {
    const fta_redis_url *url;
    const fta_redis_tls *tls; /* NULL: without TLS */
    const fta_redis_transport *transport;
    fta_redis_lookups *lookups;
} fta_redis_connector;

/* Connects to host, or to the URL's path when host is NULL, and shakes hands
 * when there is TLS. No command is sent. The connector must outlive the
 * connection. */
fta_status fta_redis_socket_open(fta_redis_socket *s,
                                 const fta_redis_connector *connector,
                                 const fta_redis_host *host, int64_t deadline,
                                 fta_redis_problem *problem);

/* Whether an idle connection is still as it was left: open, and silent. */
bool fta_redis_socket_is_quiet(fta_redis_socket *s);

/* Sends formatted commands and reads as many replies, all or none. */
fta_status fta_redis_socket_exchange(fta_redis_socket *s, const char *bytes,
                                     size_t length, size_t count,
                                     fta_redis_reply **replies,
                                     int64_t deadline,
                                     fta_redis_problem *problem);

/* A closed connection may be closed again. */
void fta_redis_socket_close(fta_redis_socket *s);

/* In a forked child, for a connection of its parent: closes the descriptor,
 * if it is still that socket, and touches nothing else, because the parent's
 * other threads may have been in the middle of it. */
void fta_redis_socket_abandon(fta_redis_socket *s);

#endif
