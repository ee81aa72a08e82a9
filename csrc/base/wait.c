#include "base/wait.h"

#include <time.h>

#ifdef __APPLE__

bool
fta_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL) == 0;
}

void
fta_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t us)
{
    struct timespec span = {(time_t)(us / 1000000),
                            (long)(us % 1000000) * 1000};
    if (us > 0) {
        (void)pthread_cond_timedwait_relative_np(cond, mutex, &span);
    }
}

#else

bool
fta_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(cond, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return done;
}

void
fta_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t us)
{
    if (us <= 0) {
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + (us % 1000000) * 1000;
    until.tv_sec += (time_t)(us / 1000000 + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    (void)pthread_cond_timedwait(cond, mutex, &until);
}

#endif
