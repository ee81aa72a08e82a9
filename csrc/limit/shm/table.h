/* The counters of one host: a table in memory that all its processes share.
 * How it works, and why it is right, is at the top of table.c. */
#ifndef FTA_LIMIT_SHM_TABLE_H
#define FTA_LIMIT_SHM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/segment.h"
#include "base/status.h"
#include "base/text.h"
#include "limit/hit.h"

#define FTA_SHM_TABLE_MIN ((size_t)16 << 10)
#define FTA_SHM_TABLE_MAX ((size_t)4 << 30)
#define FTA_SHM_TABLE_DEFAULT ((size_t)16 << 20)

typedef struct fta_shm_table fta_shm_table;

typedef struct fta_shm_table_options {
    /* FTA_SHM_TABLE_MIN .. FTA_SHM_TABLE_MAX. 0: FTA_SHM_TABLE_DEFAULT,
     * or an eighth of what is free where they meet, if that is less. A table
     * with counters that have not ended keeps the size it has. */
    size_t bytes;
    bool shared;  /* With processes that are not children, too. */
    fta_text app; /* Those that give the same app and prefix meet. */
    fta_text prefix;
    const char *directory; /* Where they meet; NULL: the usual place. */
} fta_shm_table_options;

/* A table that is not shared belongs to this process and to those it forks.
 * FTA_SYSTEM and FTA_SEGMENT_FOREIGN: see fta_segment_shared. */
fta_status fta_shm_table_open(const fta_shm_table_options *options,
                              fta_shm_table **out, int *error);

/* A table of the same app and prefix that another user of this host has: see
 * fta_segment_of_others. */
fta_status fta_shm_table_of_others(const fta_shm_table_options *options,
                                   fta_segment_owner *out);

/* To be called when the application ends. Removes the table if all counters
 * have ended and no other process uses it; what other threads still count is
 * then counted in a blank table of this process. Otherwise changes nothing. */
void fta_shm_table_leave(fta_shm_table *table);

/* Leaves, then frees. NULL is allowed. No other thread may be inside. */
void fta_shm_table_close(fta_shm_table *table);

/* Holds one request against all of its hits. Cannot fail, does not block, may
 * be called by any number of threads and processes.
 *
 * FTA_COUNT counts all hits or none. With one hit, of any number of
 * simultaneous requests exactly as many are allowed as there is room for. With
 * several, never more; but a request that loses a race for one of its limits
 * gives back what it had already counted for the others, and in between (some
 * 100 ns) another request may have been limited by it. A process killed there
 * leaves one request too many in the count until the window ends. */
void fta_shm_table_hit(fta_shm_table *table, const fta_hits *request,
                       fta_verdict *verdict);

typedef struct fta_shm_table_usage {
    size_t bytes;
    bool has_other_size; /* Than was asked for: see the options. */
    const char *path;    /* Borrowed; NULL for a table that is not shared. */
    const char *foreign; /* Borrowed; see fta_segment_foreign. */
    size_t slots;        /* Keys that fit. */
    size_t slots_used;   /* Counting now. */
    uint64_t evictions;  /* Live counters lost to fresh keys, ever. */
} fta_shm_table_usage;

/* The same number alone, without a walk: to be compared after a request. */
uint64_t fta_shm_table_evictions(const fta_shm_table *table);

/* Walks the whole table: for people, not for requests. */
void fta_shm_table_usage_read(const fta_shm_table *table,
                              fta_shm_table_usage *out);

#endif
