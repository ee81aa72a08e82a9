/* Children of a test program. They do not free what they inherited, which a
 * leak check at exit would report. So they end by a signal: SIGKILL for
 * success, SIGABRT for failure. */
#ifndef FTA_TESTS_CHILD_H
#define FTA_TESTS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static inline void
child_leave(bool good)
{
    (void)kill(getpid(), good ? SIGKILL : SIGABRT);
}

static inline bool
child_was_good(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGKILL;
}

/* A child that runs a function, reports that it has, and waits to be killed. */
static inline pid_t
child_start(void (*run)(void *context), void *context)
{
    int ends[2];
    char report = 0;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        run(context);
        char good = atomic_load(&checks_failed) == 0;
        (void)!write(ends[1], &good, 1);
        for (;;) {
            (void)pause();
        }
    }
    CHECK(read(ends[0], &report, 1) == 1 && report == 1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static inline void
child_end(pid_t child)
{
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(child_was_good(child));
}

static inline void
pause_us(long us)
{
    (void)nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

#endif
