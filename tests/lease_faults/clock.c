/* The clocks of one process of a schedule of faults: preloaded into Redis and
 * into the hosts.
 *
 * All processes of a schedule map one file, so a clock moves in all of them at
 * one instant. Time that passes moves every clock. Apart from that the clock of
 * the day, and for a control the clock of the host, may be stepped in one
 * participant alone. Every clock is the machine's CLOCK_MONOTONIC and numbers
 * of the file, so that a process which knows the file knows all clocks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PARTICIPANTS = 16, NS_PER_MS = 1000000, LOOK_NS = 10 * NS_PER_MS };

/* tests/lease_faults/clock.py has the same layout. In nanoseconds. */
typedef struct clocks {
    _Atomic int64_t passed;
    int64_t day; /* From the clock of a host to that of the day. */
    _Atomic int64_t day_steps[PARTICIPANTS];
    _Atomic int64_t host_steps[PARTICIPANTS];
    _Atomic int64_t slower[PARTICIPANTS]; /* Of the time that passes, in ppm. */
} clocks;

static clocks *shared; /* NULL: the clocks of the machine. */
static int participant;

void fault_clock_be(int number);
int64_t fault_clock_ns(void);

/* Redis is participant 0. A host says which one it is after the fork. */
void
fault_clock_be(int number)
{
    participant = number;
}

__attribute__((constructor)) static void
map_clocks(void)
{
    const char *path = getenv("FAULT_CLOCKS");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *memory = mmap(NULL, sizeof(clocks), PROT_READ, MAP_SHARED, fd, 0);
    shared = memory != MAP_FAILED ? memory : NULL;
    (void)close(fd);
}

static int64_t
ns_of(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static void
write_ns(int64_t ns, struct timespec *ts)
{
    ts->tv_sec = (time_t)(ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
}

/* How far the clock of this host is ahead of the machine's. */
static int64_t
ahead(void)
{
    int64_t passed = atomic_load(&shared->passed);
    int64_t slower = atomic_load(&shared->slower[participant]);
    return passed - passed / 1000000 * slower +
           atomic_load(&shared->host_steps[participant]);
}

/* The clock of a host that is neither slower nor stepped. */
int64_t
fault_clock_ns(void)
{
    struct timespec ts;
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
    return ns_of(&ts) + (shared != NULL ? atomic_load(&shared->passed) : 0);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    bool is_day = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
    bool is_host = id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE ||
                   id == CLOCK_MONOTONIC_RAW || id == CLOCK_BOOTTIME;
    if (shared == NULL || !(is_day || is_host)) {
        return (int)syscall(SYS_clock_gettime, id, ts);
    }
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, ts);
    int64_t ns = ns_of(ts);
    if (is_day) {
        ns += atomic_load(&shared->passed) + shared->day +
              atomic_load(&shared->day_steps[participant]);
    } else {
        ns += ahead();
    }
    write_ns(ns, ts);
    return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *out)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL) {
        *out = ts.tv_sec;
    }
    return ts.tv_sec;
}

/* Nobody wakes who waits when time passes, so the waits look by themselves.
 * These two are all that the core has. */
static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* By CLOCK_MONOTONIC. */
int
pthread_cond_timedwait(pthread_cond_t *restrict cond,
                       pthread_mutex_t *restrict mutex,
                       const struct timespec *restrict until)
{
    if (shared == NULL) {
        return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, until);
    }
    for (;;) {
        struct timespec now, look;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = ns_of(until) - ns_of(&now);
        if (left <= 0) {
            return ETIMEDOUT;
        }
        write_ns(ns_of(&now) - ahead() + least(left, LOOK_NS), &look);
        int status =
            pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &look);
        if (status != ETIMEDOUT) {
            return status;
        }
    }
}

int
poll(struct pollfd *polled, nfds_t count, int ms)
{
    if (shared == NULL || ms <= 0) {
        return (int)syscall(SYS_poll, polled, count, ms);
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end = ns_of(&now) + (int64_t)ms * NS_PER_MS;
    for (;;) {
        int64_t left = end - ns_of(&now);
        if (left <= 0) {
            return 0;
        }
        int64_t look = (least(left, LOOK_NS) + NS_PER_MS - 1) / NS_PER_MS;
        int ready = (int)syscall(SYS_poll, polled, count, (int)look);
        if (ready != 0) {
            return ready;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    }
}

int __poll_chk(struct pollfd *polled, nfds_t count, int ms, size_t size);

/* What poll() is where the core was built with _FORTIFY_SOURCE. */
int
__poll_chk(struct pollfd *polled, nfds_t count, int ms, size_t size)
{
    (void)size;
    return poll(polled, count, ms);
}
