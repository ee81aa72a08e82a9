/* The counters of one host: a table in memory that all its processes share.
 * How it works, and why it holds, is at the top of counter_shm.c. */
#ifndef FTA_COUNTER_SHM_H
#define FTA_COUNTER_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rate.h"
#include "segment.h"
#include "status.h"
#include "text.h"

#define FTA_COUNTER_SHM_MIN ((size_t)16 << 10)
#define FTA_COUNTER_SHM_MAX ((size_t)4 << 30)
#define FTA_COUNTER_SHM_DEFAULT ((size_t)16 << 20)

typedef struct fta_counter_shm fta_counter_shm;

typedef struct fta_counter_shm_options {
    /* FTA_COUNTER_SHM_MIN .. FTA_COUNTER_SHM_MAX. 0: FTA_COUNTER_SHM_DEFAULT,
     * or an eighth of what is free where they meet, if that is less. A table
     * with counters that have not ended keeps the size it has. */
    size_t bytes;
    bool shared;  /* With processes that are not children, too. */
    fta_text app; /* Those that give the same app and prefix meet. */
    fta_text prefix;
    const char *directory; /* Where they meet; NULL: the usual place. */
} fta_counter_shm_options;

/* A table that is not shared belongs to this process and to those it forks.
 * FTA_SYSTEM and FTA_SEGMENT_FOREIGN: see fta_segment_shared. */
fta_status fta_counter_shm_open(const fta_counter_shm_options *options,
                                fta_counter_shm **out, int *error);

/* A table of the same app and prefix that another user of this host has: see
 * fta_segment_of_others. */
fta_status fta_counter_shm_of_others(const fta_counter_shm_options *options,
                                     fta_segment_owner *out);

/* To be called when the application ends. Removes the table if all counters
 * have ended and no other process uses it; what other threads still count is
 * then counted in a blank table of this process. Otherwise changes nothing. */
void fta_counter_shm_leave(fta_counter_shm *counter);

/* Leaves, then frees. NULL is allowed. No other thread may be inside. */
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
    bool has_other_size; /* Than was asked for: see the options. */
    const char *path;    /* Borrowed; NULL for a table that is not shared. */
    const char *foreign; /* Borrowed; see fta_segment_foreign. */
    size_t slots;        /* Keys that fit. */
    size_t slots_used;   /* Counting now. */
    uint64_t evictions;  /* Live counters lost to fresh keys, ever. */
} fta_counter_shm_usage;

/* The same number alone, without a walk: to be compared after a request. */
uint64_t fta_counter_shm_evictions(const fta_counter_shm *counter);

/* Walks the whole table: for people, not for requests. */
void fta_counter_shm_usage_read(const fta_counter_shm *counter,
                                fta_counter_shm_usage *out);

#endif
