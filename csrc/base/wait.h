/* A condition variable whose timed wait uses monotonic time, so that a step of
 * the real clock does not change how long it waits. */
#ifndef FTA_BASE_WAIT_H
#define FTA_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

bool fta_cond_init(pthread_cond_t *cond);

/* Waits for a signal, at most so many microseconds. Spurious wake-ups happen.
 * The time is relative, because tests shift the clock of the core. */
void fta_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t us);

#endif
