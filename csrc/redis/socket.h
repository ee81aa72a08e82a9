/* One socket to one Redis: TCP or unix.
 *
 * No call blocks beyond an absolute deadline (fta_clock_monotonic_us): neither
 * for a name that does not resolve, nor for a peer that sends one byte a second
 * or that never stops sending. */
#ifndef FTA_REDIS_SOCKET_H
#define FTA_REDIS_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "redis/lookup.h"
#include "redis/problem.h"
#include "redis/url.h"

typedef struct fta_redis_transport fta_redis_transport;

typedef struct fta_redis_socket {
    /* -1: closed. It is set to the descriptor after that was opened, and to
     * -1 before it is closed. So a child that is forked in between may leak
     * the descriptor, but never closes one that is not this socket's. */
    atomic_int fd;
    dev_t device; /* with inode, the identity of the socket behind fd */
    ino_t inode;
    const fta_redis_transport *transport; /* Borrowed; set while open */
    fta_redis_lookups *lookups;           /* Borrowed; as transport */
    int64_t deadline;                     /* of the call that is under way */
    unsigned late_calls; /* system calls after it; see LATE_CALLS_MAX */
} fta_redis_socket;

/* The system calls of a socket. Tests and fuzzers replace them. */
struct fta_redis_transport {
    /* Connects to host, or to path when host is NULL, until s->deadline, and
     * stores the descriptor in s->fd. After a failure s->fd may be set too;
     * the caller closes it. */
    fta_status (*open)(fta_redis_socket *s, const fta_redis_host *host,
                       const char *path, fta_redis_problem *problem);
    /* As send(2) and recv(2) on a descriptor that does not block. */
    ssize_t (*send)(fta_redis_socket *s, const char *bytes, size_t length);
    ssize_t (*receive)(fta_redis_socket *s, char *bytes, size_t size);
    /* Waits for POLLIN or POLLOUT until s->deadline. */
    fta_status (*wait)(fta_redis_socket *s, short events);
    /* Whether the peer neither sent anything nor closed. */
    bool (*is_quiet)(const fta_redis_socket *s);
    /* Sets s->fd, which is not -1, to -1 and closes what it was. */
    void (*close)(fta_redis_socket *s);
    /* Lets this thread sleep. */
    void (*pause)(int milliseconds);
};

extern const fta_redis_transport fta_redis_system_transport;

/* Begins a call: sets the deadline that holds until the next one begins. */
void fta_redis_socket_begin(fta_redis_socket *s, int64_t deadline);

/* Whether this call may go on. To be asked once for each system call, so that
 * no loop outlives the deadline, whatever the peer does. */
bool fta_redis_socket_is_in_time(fta_redis_socket *s);

/* In a forked child, for a socket of its parent: closes the descriptor, if it
 * is still that socket. */
void fta_redis_socket_abandon(fta_redis_socket *s);

#endif
