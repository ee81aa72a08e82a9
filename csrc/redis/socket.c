#include "redis/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS has SO_NOSIGPIPE instead */
#endif

/* macOS sets these by fcntl alone. */
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#else
#define SOCKET_FLAGS 0
#endif

/* How many system calls one call may make after its deadline. What has arrived
 * while this thread waited for a processor is not late. But a peer that never
 * stops sending must not keep the thread: 64 times 4 KiB is more than any
 * valid reply takes. */
enum { LATE_CALLS_MAX = 64 };

/* --- Deadlines ------------------------------------------------------------ */

/* Waits until the descriptor is ready or has failed; the next call on it says
 * which. Polls once even after the deadline, because what has arrived while
 * this thread waited for a processor is not late. */
static fta_status
wait_ready(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - fta_clock_monotonic_us();
        int64_t ms = left <= 0 ? 0 : (left + 999) / 1000;
        struct pollfd polled = {.fd = fd, .events = events};
        int ready = poll(&polled, 1, ms > INT_MAX ? INT_MAX : (int)ms);
        if (ready > 0) {
            return FTA_OK;
        }
        if (ready < 0 && errno != EINTR && errno != EAGAIN) {
            return FTA_SYSTEM;
        }
        if (left <= 0) {
            return FTA_REDIS_TIMEOUT;
        }
    }
}

void
fta_redis_socket_begin(fta_redis_socket *s, int64_t deadline)
{
    s->deadline = deadline;
    s->late_calls = 0;
}

bool
fta_redis_socket_is_in_time(fta_redis_socket *s)
{
    return fta_clock_monotonic_us() <= s->deadline ||
           s->late_calls++ < LATE_CALLS_MAX;
}

/* --- Connecting ----------------------------------------------------------- */

static void
system_close(fta_redis_socket *s)
{
    int fd = atomic_exchange(&s->fd, -1);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static bool
set_options(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return false;
    }
#ifdef SO_NOSIGPIPE
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof(one));
#endif
    return true;
}

static fta_status
connect_to(fta_redis_socket *s, const struct sockaddr *address,
           socklen_t length, int64_t deadline, fta_redis_problem *problem)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCKET_FLAGS, 0);
    struct stat identity;
    if (fd < 0 || !set_options(fd) || fstat(fd, &identity) < 0) {
        fta_status status =
            fta_redis_fail(problem, FTA_SYSTEM, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    s->device = identity.st_dev;
    s->inode = identity.st_ino;
    atomic_store(&s->fd, fd);
    if (address->sa_family != AF_UNIX) {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    int error = connect(fd, address, length) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR) {
        fta_status status = wait_ready(fd, POLLOUT, deadline);
        if (status != FTA_OK) {
            return fta_redis_fail(problem, status, "while connecting");
        }
        socklen_t size = sizeof(error);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
            error = errno;
        }
    }
    /* EAGAIN: the queue of a unix socket is full, and poll does not wait. */
    return error == 0 ? FTA_OK
                      : fta_redis_fail(problem, FTA_REDIS_UNREACHABLE,
                                       strerror(error));
}

static fta_status
connect_tcp(fta_redis_socket *s, const fta_redis_host *host,
            fta_redis_problem *problem)
{
    fta_redis_lookup *lookup;
    fta_status status =
        fta_redis_resolve(host, s->deadline, s->lookups, &lookup, problem);
    if (status != FTA_OK) {
        return status;
    }
    const struct addrinfo *found = fta_redis_lookup_addresses(lookup);
    int left = 0;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        left++;
    }
    status = FTA_REDIS_UNREACHABLE;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        /* An address that never answers must not take the time of the next. */
        int64_t now = fta_clock_monotonic_us();
        int64_t until = now + (s->deadline - now) / left--;
        status = connect_to(s, a->ai_addr, a->ai_addrlen, until, problem);
        if (status == FTA_OK) {
            break;
        }
        system_close(s);
    }
    fta_redis_lookup_release(lookup);
    return status;
}

static fta_status
connect_unix(fta_redis_socket *s, const char *path, fta_redis_problem *problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return fta_redis_fail(problem, FTA_REDIS_UNREACHABLE,
                              strerror(ENAMETOOLONG));
    }
    strcpy(address.sun_path, path);
    return connect_to(s, (const struct sockaddr *)&address, sizeof(address),
                      s->deadline, problem);
}

/* --- The system's transport ----------------------------------------------- */

static fta_status
system_open(fta_redis_socket *s, const fta_redis_host *host, const char *path,
            fta_redis_problem *problem)
{
    return host != NULL ? connect_tcp(s, host, problem)
                        : connect_unix(s, path, problem);
}

static ssize_t
system_send(fta_redis_socket *s, const char *bytes, size_t length)
{
    return send(atomic_load(&s->fd), bytes, length, MSG_NOSIGNAL);
}

static ssize_t
system_receive(fta_redis_socket *s, char *bytes, size_t size)
{
    return recv(atomic_load(&s->fd), bytes, size, 0);
}

static fta_status
system_wait(fta_redis_socket *s, short events)
{
    return wait_ready(atomic_load(&s->fd), events, s->deadline);
}

static bool
system_is_quiet(const fta_redis_socket *s)
{
    char byte;
    return recv(atomic_load(&s->fd), &byte, 1, MSG_PEEK) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void
system_pause(int milliseconds)
{
    (void)poll(NULL, 0, milliseconds);
}

const fta_redis_transport fta_redis_system_transport = {
    .open = system_open,
    .send = system_send,
    .receive = system_receive,
    .wait = system_wait,
    .is_quiet = system_is_quiet,
    .close = system_close,
    .pause = system_pause,
};

/* --- After a fork --------------------------------------------------------- */

void
fta_redis_socket_abandon(fta_redis_socket *s)
{
    int fd = atomic_exchange(&s->fd, -1);
    struct stat now;
    if (fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == s->device &&
        now.st_ino == s->inode) {
        (void)close(fd);
    }
}
