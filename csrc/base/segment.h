/* Memory in which the processes of one host meet.
 *
 * A shared segment is a file in a directory that lives in memory:
 *
 *     fta-<32 hex digits: the purpose>-<16 hex digits: random>
 *
 * The purpose is a digest of user, boot, layout and what the caller says the
 * segment is for. So processes that have nothing in common but their
 * configuration find the same segment, and a child finds its parent's by
 * having inherited it. The random part cannot be foreseen, so nobody can make
 * the file before we do. It needs no record elsewhere: a process looks through
 * the directory, and among the files with its purpose those of its own user
 * are the only ones that count. Nobody can make a file that belongs to us.
 *
 * Life. A segment outlives the processes that use it for as long as it is
 * asked to (fta_segment_keep_until). Every process that uses a segment holds a
 * shared lock (flock) on its file, a child the one of its parent; the kernel
 * drops the lock with the last of them, whatever they die of. A file that
 * nobody holds stays while it is to be kept. After that it is removed: by the
 * last process that leaves, or else by any process of this user that opens any
 * segment in that directory.
 *
 * The invariant: of the segments of one purpose, all processes use the same
 * one. Three rules keep it, and each holds at any instant at which a process
 * can be killed:
 *   1. A file is removed only by who holds the exclusive lock on it.
 *   2. A file is used only by who holds the shared lock on it, has seen its
 *      name lead to it after that, and has read the mark "complete" in it.
 *   3. The mark is written by the creator alone, who holds the exclusive lock
 *      since before it looked through the directory and saw no other file of
 *      the purpose. Of two creators, the one that made its file later sees the
 *      file of the other.
 * A creator that is killed leaves a file without the mark and without a lock.
 * Whoever comes next removes it. tests/c/test_segment_protocol.c stops
 * processes between any two of their calls to the system, in random order and
 * some of them for ever. */
#ifndef FTA_BASE_SEGMENT_H
#define FTA_BASE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

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

/* The segment of that purpose in the directory, which is made if there is
 * none. One that is in use or still to be kept may have another size than
 * asked for. NULL as directory: the usual one of this system.
 *
 * FTA_SEGMENT_FOREIGN: there is a file of this user and this purpose that
 * others may read or write, that has a second name, or that is no file.
 * FTA_SYSTEM: the system refused; *error is the errno. */
fta_status fta_segment_shared(const char *directory,
                              const fta_segment_purpose *purpose, size_t bytes,
                              fta_segment_fill *fill, fta_segment **out,
                              int *error);

/* A segment that belongs to another user: whose it is, and its file. */
typedef struct fta_segment_owner {
    uint32_t user;
    char name[64]; /* Without the directory; empty: there is none. */
} fta_segment_owner;

/* Looks in the directory for the segment that another user of this host would
 * have for that purpose. It goes by names and owners; nothing is opened. */
fta_status fta_segment_of_others(const char *directory,
                                 const fta_segment_purpose *purpose,
                                 fta_segment_owner *out);

/* How many bytes are free in the directory (NULL: the usual one); 0 where the
 * system does not say. */
uint64_t fta_segment_room(const char *directory);

/* Keeps the file at least until then (fta_clock_monotonic_us), whoever leaves
 * or dies. To be called before something is written that is to be kept. */
void fta_segment_keep_until(fta_segment *segment, int64_t us);

/* If nothing in the shared memory is to be kept any longer, gives it up, and
 * removes the file if nobody else uses it. Where the memory was, blank memory
 * of this process takes its place, so this may be called while other threads
 * use it, and more than once. Otherwise, and for private memory, changes
 * nothing: the file stays, and the lock goes with the process. */
void fta_segment_leave(fta_segment *segment);

/* Leaves, then unmaps. NULL is allowed. */
void fta_segment_close(fta_segment *segment);

void *fta_segment_memory(const fta_segment *segment);
size_t fta_segment_bytes(const fta_segment *segment);

/* The size of the file, which is what was asked for when it was made. */
size_t fta_segment_whole_bytes(const fta_segment *segment);

/* The path of the file; NULL for private memory, also once given up. */
const char *fta_segment_path(const fta_segment *segment);

/* The name of a file of another user that claims this purpose, or NULL. It was
 * passed over when the segment was opened. */
const char *fta_segment_foreign(const fta_segment *segment);

#endif
