/* Children of a test program. What was their parent's they leave alone on
 * purpose, which a leak check at their exit would call a leak: so they end
 * by a signal, and which one tells how it went. */
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
