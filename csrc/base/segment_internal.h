/* May be included by csrc/base/segment*.c alone. The parts of a segment;
 * segment.h has the protocol and its rules. */
#ifndef FTA_BASE_SEGMENT_INTERNAL_H
#define FTA_BASE_SEGMENT_INTERNAL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <openssl/sha.h>

#include "base/segment.h"

/* A test stops a process here, between two calls to the system, lets others
 * run, and may never resume it. */
#ifndef FTA_BETWEEN_CALLS
#define FTA_BETWEEN_CALLS() ((void)0)
#endif

#define FTA_SEGMENT_PATH_SIZE 1024
#define FTA_SEGMENT_DIGEST SHA256_DIGEST_LENGTH

/* -- Layout ---------------------------------------------------------------- */

/* Before the caller's part, in a page of its own. A later version may append to
 * it. It has to change the mark if it changes this part, because
 * fta_segment_shared reads it in the files of other purposes and layouts. */
typedef struct fta_segment_preamble {
    _Atomic uint64_t mark; /* COMPLETE once all the rest is there, else 0. */
    uint64_t bytes;
    _Atomic int64_t keep_until_us; /* Monotonic, of this boot. */
    uint8_t boot[FTA_SEGMENT_DIGEST];
    uint8_t purpose[FTA_SEGMENT_DIGEST];
} fta_segment_preamble;

#define FTA_SEGMENT_COMPLETE UINT64_C(0x4654412073656732) /* "FTA seg2" */
#define FTA_SEGMENT_PREAMBLE_BYTES ((size_t)4096)

struct fta_segment {
    fta_segment_preamble *mapping; /* Owned. */
    size_t bytes;                  /* Of the mapping. */
    atomic_int fd; /* Owned: holds the lock; -1 once given up. */
    dev_t device;  /* With inode, the file that fd was opened as, because */
    ino_t inode;   /* daemons close descriptors that are not theirs. */
    char path[FTA_SEGMENT_PATH_SIZE];
    char foreign[NAME_MAX + 1]; /* Empty: there is none. */
};

/* -- Names (segment_name.c) ------------------------------------------------ */

/* "fta-", 32 digits, "-", 16 digits */
#define FTA_SEGMENT_NAME_LENGTH 53

/* Monotonic times in a segment mean nothing after a boot, nor in a time
 * namespace with another offset. Where the boot has no readable name, the
 * system empties the directory at boot. */
bool fta_segment_digest_boot(uint8_t out[FTA_SEGMENT_DIGEST]);

bool fta_segment_digest_purpose(const fta_segment_purpose *purpose, uid_t user,
                                const uint8_t boot[FTA_SEGMENT_DIGEST],
                                uint8_t out[FTA_SEGMENT_DIGEST]);

/* Writes "fta-<purpose>", over zeros. */
void fta_segment_write_stem(char out[FTA_SEGMENT_NAME_LENGTH + 1],
                            const uint8_t purpose[FTA_SEGMENT_DIGEST]);

bool fta_segment_write_random_name(char out[FTA_SEGMENT_NAME_LENGTH + 1],
                                   const char *stem);

/* Whether this is the name of a segment of any purpose. */
bool fta_segment_is_name(const char *name);

bool fta_segment_write_path(char out[FTA_SEGMENT_PATH_SIZE],
                            const char *directory, const char *name);

/* The directory; for NULL the usual one of this system, written to out, or
 * NULL. */
const char *fta_segment_directory(const char *directory,
                                  char out[FTA_SEGMENT_PATH_SIZE]);

/* -- Files (segment_file.c) ------------------------------------------------ */

/* flock without waiting. */
bool fta_segment_lock(int fd, int operation);

/* Reserves memory for the whole file, so that a full directory is an error here
 * and not a SIGBUS in the middle of a request. Returns 0 or an errno. */
int fta_segment_reserve(int fd, size_t bytes);

/* Whether a file lacks memory for a part of it, which would be a SIGBUS when
 * the directory is full. */
bool fta_segment_has_holes(const struct stat *st);

/* Whether the file belongs to this user, who alone may use it. */
bool fta_segment_is_ours(const struct stat *st);

/* Whether the path leads to the file that fd is. */
bool fta_segment_leads_to(const char *path, int fd);

/* Removes the file. Exclusive lock held: nobody else removes it meanwhile, so
 * the path still leads to it when it is unlinked. */
bool fta_segment_remove_locked(const char *path, int fd);

/* Also unlocks, for the case that another thread has forked a child that holds
 * a copy of the descriptor. */
void fta_segment_close_unlocked(int fd);

/* Maps a file, or for fd -1 memory of this process. NULL: see errno. */
fta_segment_preamble *fta_segment_map(int fd, size_t bytes);
void fta_segment_unmap(fta_segment *segment);

/* Whether nothing in a complete segment of this boot is to be kept. */
bool fta_segment_has_ended(const fta_segment_preamble *p);

/* Reads and does not map: the file may be too short. */
bool fta_segment_read_preamble(int fd, fta_segment_preamble *out);

/* -- The directory (segment_directory.c) ----------------------------------- */

/* There are more files of one purpose only while many processes start at once.
 * The files that are not listed are found by a later attempt. */
#define FTA_SEGMENT_LISTED_MAX 16

/* The files of one purpose. */
typedef struct fta_segment_files {
    size_t count; /* Of this user, without the one that was left out. */
    size_t listed;
    char names[FTA_SEGMENT_LISTED_MAX][FTA_SEGMENT_NAME_LENGTH + 1];
    bool has_exposed;           /* Others may use a file of this user. */
    char foreign[NAME_MAX + 1]; /* A file of another user, or empty. */
} fta_segment_files;

/* Lists the files whose names begin with the stem, except one (or NULL).
 * Returns 0, or an errno: a part of the files is not enough. */
int fta_segment_list_files(const char *directory, const char *stem,
                           const char *except, fta_segment_files *out);

/* Removes files of this user that nobody uses and nothing keeps. Others may do
 * the same, or begin to use them, at the same time. */
void fta_segment_sweep(const char *directory,
                       const uint8_t boot[FTA_SEGMENT_DIGEST]);

#endif
