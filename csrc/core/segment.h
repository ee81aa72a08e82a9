/* Memory in which the processes of one host meet.
 *
 * A shared segment is a file in a directory that lives in memory, under a name
 * that follows from user, boot, layout and what the caller says it is for. So
 * processes that have nothing in common but their configuration find the same
 * segment, and a child finds its parent's by having inherited it.
 *
 * Life. Every process that uses a segment holds a shared lock (flock) on its
 * file, a child the one of its parent; the kernel drops it with the last of
 * them, whatever they die of. Whoever leaves last, by that lock, removes the
 * file. After a kill -9 of all of them it stays, and whoever comes next goes
 * on with what is in it: a crash gives nobody a fresh quota. A reboot removes
 * it, or, where the directory survives one, the boot in the name does.
 *
 * Making one is not one step, so it is done under an exclusive lock, and the
 * mark that says "complete" is written last. A creator that is killed leaves a
 * file without the mark and without a lock: the next one starts over. */
#ifndef FTA_SEGMENT_H
#define FTA_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "text.h"

typedef struct fta_segment fta_segment;

/* What a segment is for. */
typedef struct fta_segment_purpose {
    /* Of what is inside: a segment with another number is another segment. */
    uint32_t layout;
    fta_text app;
    fta_text prefix;
} fta_segment_purpose;

/* Fills a segment whose bytes are all zero. */
typedef fta_status fta_segment_fill(void *memory, size_t bytes);

/* Memory that belongs to this process and to those that it forks. */
fta_status fta_segment_private(size_t bytes, fta_segment_fill *fill,
                               fta_segment **out);

/* The segment of that purpose in the directory, which is made if nobody uses
 * it yet. If somebody does, it may have another size than asked for. NULL as
 * directory: the usual one of this system.
 *
 * FTA_SEGMENT_FOREIGN: there is a file of that name which another user owns,
 * or others may write to, or which is no file. FTA_SYSTEM: the system refused;
 * *error is the errno. */
fta_status fta_segment_shared(const char *directory,
                              const fta_segment_purpose *purpose, size_t bytes,
                              fta_segment_fill *fill, fta_segment **out,
                              int *error);

/* Gives the shared memory up, and removes the file if nobody else uses it.
 * Where it was, blank memory of this process takes its place, so this may be
 * called while other threads use it, and more than once. Private memory stays
 * as it is. */
void fta_segment_leave(fta_segment *segment);

/* Leaves, then unmaps. NULL is allowed. */
void fta_segment_close(fta_segment *segment);

void *fta_segment_memory(const fta_segment *segment);
size_t fta_segment_bytes(const fta_segment *segment);

/* The path of the file; NULL for private memory, also once left. */
const char *fta_segment_path(const fta_segment *segment);

#endif
