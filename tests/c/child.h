/* Children of a test program. They do not free what they inherited, which a
 * leak check at exit would report. So they end by a signal: SIGKILL for
 * success, SIGABRT for failure. */
#ifndef FTA_TESTS_CHILD_H
#define FTA_TESTS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

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

#endif
