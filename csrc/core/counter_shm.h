/* The counters of one host: a table in memory that all its processes share.
 * How it works, and why it holds, is at the top of counter_shm.c. */
#ifndef FTA_COUNTER_SHM_H
#define FTA_COUNTER_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rate.h"
#include "status.h"

#define FTA_COUNTER_SHM_MIN ((size_t)8192)
#define FTA_COUNTER_SHM_MAX ((size_t)4 << 30)

typedef struct fta_counter_shm fta_counter_shm;

/* A table of at most so many bytes in memory that belongs to this process and
 * to those that it forks. */
fta_status fta_counter_shm_private(size_t bytes, fta_counter_shm **out);

/* NULL is allowed. No other thread may be inside the counter. */
void fta_counter_shm_close(fta_counter_shm *counter);

/* Holds one request against all hits, 1 to FTA_HITS_MAX of them. Cannot fail,
 * does not block, may be called by any number of threads and processes.
 *
 * FTA_COUNT counts all hits or none. With one hit, of any number of
 * simultaneous requests exactly as many pass as there is room for. With
 * several, never more; but a request that loses a race for one of its limits
 * gives back what it had already counted for the others, and in between (some
 * 100 ns) it may have kept out another request. A process killed there leaves
 * one request too many in the count until the window ends. */
void fta_counter_shm_hit(fta_counter_shm *counter, fta_strategy strategy,
                         fta_action action, const fta_hit *hits, size_t n,
                         fta_verdict *verdict);

typedef struct fta_counter_shm_usage {
    size_t bytes;
    size_t slots;       /* Keys that fit. */
    size_t slots_used;  /* Counting now. */
    uint64_t evictions; /* Live counters lost to fresh keys, ever. */
} fta_counter_shm_usage;

/* Walks the whole table: for people, not for requests. */
void fta_counter_shm_usage_read(const fta_counter_shm *counter,
                                fta_counter_shm_usage *out);

#endif
