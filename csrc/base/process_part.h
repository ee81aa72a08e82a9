/* What one process has of an object that it may have inherited by a fork.
 *
 * A child makes its own part, and does not touch its parent's, locks included:
 * a thread that the child does not have may have held them. */
#ifndef FTA_BASE_PROCESS_PART_H
#define FTA_BASE_PROCESS_PART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* The first member of a part. */
typedef struct fta_process_part {
    pid_t pid;
    struct fta_process_part *inherited; /* Owned, but never used nor freed. */
} fta_process_part;

/* Of an object, in it. NULL until the first part is made. */
typedef _Atomic(fta_process_part *) fta_process_parts;

typedef struct fta_process_part_kind {
    /* A new part of the object, whose first member may be anything; NULL
     * without memory. */
    fta_process_part *(*make)(void *object);
    /* Frees one that no other thread has seen. */
    void (*free)(fta_process_part *part);
    /* NULL, or what a child does with its parent's when it has its own. */
    void (*leave)(fta_process_part *parents);
} fta_process_part_kind;

/* This process' part, which is made if there is none yet; NULL without memory.
 * Threads may ask at once: all get the same one. */
fta_process_part *fta_process_part_get(fta_process_parts *parts,
                                       const fta_process_part_kind *kind,
                                       void *object);

/* The newest part, if it is this process'; else NULL. Makes none. */
fta_process_part *fta_process_part_known(fta_process_parts *parts);

#endif
