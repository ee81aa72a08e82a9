/* Permits to run: at most so many requests of one key at once, over all
 * processes of a host. A table in memory that they share. How it works, and why
 * it is right, is at the top of permits.c. */
#ifndef FTA_CONCURRENCY_PERMITS_H
#define FTA_CONCURRENCY_PERMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/segment.h"
#include "base/status.h"
#include "base/text.h"

/* The most permits that a key may have. */
#define FTA_PERMITS_MOST 1000u

typedef struct fta_permits fta_permits;

typedef struct fta_permits_options {
    fta_text app; /* Those that give the same app and prefix meet. */
    fta_text prefix;
    bool shared;           /* With the other processes of this host. */
    const char *directory; /* Where they meet; NULL: the usual place. */
} fta_permits_options;

/* Where the system has no memory to share, or no locks that end with a process
 * (see process_number.h), the table is of this process alone, and *unshared is
 * the errno of that; else it is 0. FTA_SEGMENT_FOREIGN: see
 * fta_segment_shared. */
fta_status fta_permits_open(const fta_permits_options *options,
                            fta_permits **out, int *unshared);

/* To be called when the application ends. Other threads may be inside. */
void fta_permits_leave(fta_permits *permits);

/* Leaves, then frees. NULL is allowed. No other thread may be inside. */
void fta_permits_close(fta_permits *permits);

/* One permit. It belongs to the process that has taken it, and ends with it. */
typedef struct fta_permit {
    uint64_t word; /* 0: none */
    size_t bucket;
} fta_permit;

/* Takes one of `most` permits (0 .. FTA_PERMITS_MOST) of a key. *out is none if
 * all are taken. Waits for nobody.
 *
 * Of any number of simultaneous calls with one most exactly as many get a
 * permit as are left. Callers with different numbers share what is taken: each
 * gets one only while fewer than its own number are taken.
 *
 * The permits of a process that has ended, however it ended, are free from the
 * moment at which the kernel has given up its memory.
 *
 * FTA_PERMITS_FULL, FTA_PROCESS_NUMBER: no permit. */
fta_status fta_permits_take(fta_permits *permits, const uint8_t *key,
                            size_t key_length, unsigned most, fta_permit *out);

/* Gives a permit back. Does nothing for none, for one that was given back, and
 * in a process that has not taken it, such as a child of the one that has. */
void fta_permits_release(fta_permits *permits, const fta_permit *permit);

typedef struct fta_permits_usage {
    const char *path;    /* Borrowed; NULL for a table that is not shared. */
    const char *foreign; /* Borrowed; see fta_segment_foreign. */
    size_t taken;        /* Also by processes that have ended. */
} fta_permits_usage;

/* Walks the table: for people, not for requests. */
void fta_permits_usage_read(const fta_permits *permits, fta_permits_usage *out);

#endif
