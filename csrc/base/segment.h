/* Memory that the processes of one host share.
 *
 * A shared segment is a file in a directory that lives in memory:
 *
 *     fta-<32 hex digits: the purpose>-<16 hex digits: random>
 *
 * The purpose is a digest of user, boot, layout and what the caller says the
 * segment is for. So processes that share nothing but their configuration find
 * the same segment. A child inherits its parent's. The random part cannot be
 * predicted, so no other user can make the file first. There is no record
 * elsewhere: a process lists the directory and uses only files of its purpose
 * and of its own user. No other user can make a file that belongs to this one.
 *
 * Lifetime. A segment outlives the processes that use it until a time that they
 * set (fta_segment_keep_until). Every process that uses a segment holds a
 * shared lock (flock) on its file; a child holds the lock of its parent. The
 * kernel releases the lock when the last of them ends, however it ends. An
 * unlocked file stays until that time. After that it is removed by the last
 * process that leaves, or else by any process of this user that opens any
 * segment in that directory.
 *
 * The invariant: of the segments of one purpose, all processes use the same
 * one. Three rules keep it. Each holds at any instant at which a process can be
 * killed:
 *   1. Only a process that holds the exclusive lock on a file removes it.
 *   2. A process uses a file only while it holds the shared lock, after it has
 *      then seen that the name leads to the file, and has read the mark
 *      "complete" in it.
 *   3. Only the creator writes the mark. It has held the exclusive lock since
 *      before it listed the directory, and found no other file of the purpose.
 *      Of two creators, the one that made its file later sees the file of the
 *      other.
 * A creator that is killed leaves an unlocked file without the mark. The next
 * process removes it. tests/c/test_segment_protocol.c stops processes between
 * any two of their system calls, in random order, and kills some of them. */
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
    /* The version of the content. Another layout is another segment. */
    uint32_t layout;
    fta_text app;
    fta_text prefix;
} fta_segment_purpose;

/* Fills a segment whose bytes are all zero. */
typedef fta_status fta_segment_fill(void *memory, size_t bytes);

/* Memory that belongs to this process and to those that it forks. */
fta_status fta_segment_private(size_t bytes, fta_segment_fill *fill,
                               fta_segment **out);

/* Opens the segment of that purpose in the directory, or makes it. One that is
 * in use or still to be kept may have another size than asked for. NULL as
 * directory: the usual one of this system.
 *
 * FTA_SEGMENT_FOREIGN: there is a file of this user and this purpose that
 * others may read or write, that has a second name, or that is no file.
 * FTA_SYSTEM: the system refused; *error is the errno. */
fta_status fta_segment_shared(const char *directory,
                              const fta_segment_purpose *purpose, size_t bytes,
                              fta_segment_fill *fill, fta_segment **out,
                              int *error);

/* A segment that belongs to another user. */
typedef struct fta_segment_owner {
    uint32_t user;
    char name[64]; /* Without the directory; empty: there is none. */
} fta_segment_owner;

/* Searches the directory for the segment of another user for that purpose. It
 * compares names and owners and opens nothing. */
fta_status fta_segment_of_others(const char *directory,
                                 const fta_segment_purpose *purpose,
                                 fta_segment_owner *out);

/* How many bytes are free in the directory (NULL: the usual one); 0 where the
 * system does not say. */
uint64_t fta_segment_free_bytes(const char *directory);

/* Keeps the file at least until then (fta_clock_monotonic_us), also after all
 * processes have ended. To be called before something is written that is to be
 * kept. */
void fta_segment_keep_until(fta_segment *segment, int64_t us);

/* If nothing in the shared memory is to be kept any longer, gives it up, and
 * removes the file if no other process uses it. Blank memory of this process
 * replaces the shared memory at the same address, so other threads may use it
 * during the call, and the call may be repeated. Otherwise, and for private
 * memory, changes nothing: the file stays, and the lock ends with the process.
 */
void fta_segment_leave(fta_segment *segment);

/* Leaves, then unmaps. NULL is allowed. */
void fta_segment_close(fta_segment *segment);

void *fta_segment_memory(const fta_segment *segment);
size_t fta_segment_bytes(const fta_segment *segment);

/* The size of the file, which is what was asked for when it was made. */
size_t fta_segment_whole_bytes(const fta_segment *segment);

/* The path of the file; NULL for private memory, also once given up. */
const char *fta_segment_path(const fta_segment *segment);

/* A new descriptor of the file, whose locks have nothing to do with those of
 * this process's other descriptors (an open file description of its own), also
 * where its path was removed (on Linux). -1: there is no file, or it cannot be
 * opened. */
int fta_segment_reopen(const fta_segment *segment);

/* The name of a file of another user that has the name of this purpose, or
 * NULL. It was ignored when the segment was opened. */
const char *fta_segment_foreign(const fta_segment *segment);

#endif
