/* A condition variable whose timed wait follows monotonic time, so that a
 * step of the real clock neither shortens nor stretches a wait. */
#ifndef FTA_BASE_WAIT_H
#define FTA_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

bool fta_cond_init(pthread_cond_t *cond);

/* Waits for a signal, at most so many microseconds; spurious wake-ups happen.
 * Not absolute, because the core's clock may be moved by tests. */
void fta_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t us);

#endif
