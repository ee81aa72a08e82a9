#include "base/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"

/* How long to wait for another process that is making or removing the segment.
 * That takes a few milliseconds, unless the process is stopped in the middle or
 * the machine is very busy. A process that gives up counts alone, so the time
 * is long. */
#define PATIENCE_MS 10000

/* Two processes that make a segment at once both wait for a random time up to
 * this, in milliseconds. */
#define BACKOFF_MS 8

/* What became of one attempt. */
typedef enum outcome {
    OPENED, /* The segment is mapped and locked. */
    RETRY,  /* Another process is making or removing it. */
    FAILED, /* The status says why. */
} outcome;

typedef struct attempt {
    const char *directory; /* Borrowed. */
    uint8_t purpose[FTA_SEGMENT_DIGEST];
    uint8_t boot[FTA_SEGMENT_DIGEST];
    char stem[FTA_SEGMENT_NAME_LENGTH + 1];
    size_t bytes;           /* Asked for. */
    fta_segment_fill *fill; /* Of the caller's part. */
    int back_off_ms;        /* Before the next attempt. */
    fta_status status;
    int error; /* An errno with FTA_SYSTEM. */
} attempt;

static outcome
fail(attempt *a, fta_status status, int error)
{
    a->status = status;
    a->error = error;
    return FAILED;
}

/* Maps the file. OPENED if it is a complete segment of this purpose, RETRY if
 * it is not, FAILED if the system does not say. */
static outcome
map_complete(fta_segment *segment, int fd, attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fail(a, FTA_SYSTEM, errno);
    }
    if (st.st_size < (off_t)(2 * FTA_SEGMENT_PREAMBLE_BYTES) ||
        fta_segment_has_holes(&st)) {
        return RETRY;
    }
    segment->bytes = (size_t)st.st_size;
    FTA_BETWEEN_CALLS();
    segment->mapping = fta_segment_map(fd, segment->bytes);
    if (segment->mapping == NULL) {
        return fail(a, FTA_SYSTEM, errno);
    }
    /* The load acquires: a process that reads the mark also sees all that the
     * creator wrote before it. */
    const fta_segment_preamble *p = segment->mapping;
    if (atomic_load(&p->mark) == FTA_SEGMENT_COMPLETE &&
        p->bytes == segment->bytes &&
        memcmp(p->purpose, a->purpose, sizeof p->purpose) == 0) {
        return OPENED;
    }
    fta_segment_unmap(segment);
    return RETRY;
}

/* Rule 3, last part: fills an empty file, on which this process holds the
 * exclusive lock, and sets the mark. No other file of the purpose exists. */
static outcome
fill_new(fta_segment *segment, int fd, attempt *a)
{
    FTA_BETWEEN_CALLS();
    int error = fta_segment_reserve(fd, a->bytes);
    if (error != 0) {
        return fail(a, FTA_SYSTEM, error);
    }
    segment->bytes = a->bytes;
    FTA_BETWEEN_CALLS();
    segment->mapping = fta_segment_map(fd, a->bytes);
    if (segment->mapping == NULL) {
        return fail(a, FTA_SYSTEM, errno);
    }
    fta_segment_preamble *p = segment->mapping;
    p->bytes = a->bytes;
    memcpy(p->boot, a->boot, sizeof p->boot);
    memcpy(p->purpose, a->purpose, sizeof p->purpose);
    fta_status status =
        a->fill(fta_segment_memory(segment), fta_segment_bytes(segment));
    if (status != FTA_OK) {
        return fail(a, status, 0);
    }
    FTA_BETWEEN_CALLS();
    atomic_store(&p->mark, FTA_SEGMENT_COMPLETE);
    return OPENED;
}

/* Rule 2: changes the exclusive lock on a mapped segment into a shared one.
 * That is not one step. Another process may lock the file in between and even
 * remove it. So the name is checked once the shared lock is held. */
static outcome
share_lock(fta_segment *segment, int fd)
{
    FTA_BETWEEN_CALLS();
    if (fta_segment_lock(fd, LOCK_SH) &&
        fta_segment_leads_to(segment->path, fd)) {
        return OPENED;
    }
    fta_segment_unmap(segment);
    return RETRY;
}

/* For a file that nobody uses, exclusive lock held: uses its content if it is
 * complete and of this purpose, else removes it. Never truncates a file: a
 * process whose descriptor was closed by other code may still have it mapped.
 */
static outcome
reuse_unused(fta_segment *segment, int fd, attempt *a)
{
    if (!fta_segment_leads_to(segment->path, fd)) {
        return RETRY;
    }
    outcome found = map_complete(segment, fd, a);
    if (found == FAILED) {
        return FAILED;
    }
    if (found == OPENED) {
        if (segment->bytes == a->bytes ||
            !fta_segment_has_ended(segment->mapping)) {
            return share_lock(segment, fd);
        }
        fta_segment_unmap(segment);
    }
    if (!fta_segment_remove_locked(segment->path, fd)) {
        return fail(a, FTA_SYSTEM, errno);
    }
    return RETRY;
}

/* For a file that others use or make. */
static outcome
join(fta_segment *segment, int fd, attempt *a)
{
    FTA_BETWEEN_CALLS();
    if (fta_segment_lock(fd, LOCK_SH) &&
        fta_segment_leads_to(segment->path, fd)) {
        return map_complete(segment, fd, a);
    }
    return RETRY;
}

static outcome
keep_descriptor(fta_segment *segment, int fd, attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        fta_segment_unmap(segment);
        return fail(a, FTA_SYSTEM, errno);
    }
    segment->device = st.st_dev;
    segment->inode = st.st_ino;
    atomic_store(&segment->fd, fd);
    return OPENED;
}

static outcome
try_existing(fta_segment *segment, const char *name, attempt *a)
{
    struct stat st;
    (void)fta_segment_write_path(segment->path, a->directory, name);
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        /* It was removed; something else may have its name now. */
        int error = errno;
        return error == ENOENT || error == ELOOP || error == ENXIO ||
                       error == EACCES || error == EISDIR
                   ? RETRY
                   : fail(a, FTA_SYSTEM, error);
    }
    outcome result = RETRY;
    if (fstat(fd, &st) == 0 && fta_segment_is_ours(&st)) {
        FTA_BETWEEN_CALLS();
        result = fta_segment_lock(fd, LOCK_EX) ? reuse_unused(segment, fd, a)
                                               : join(segment, fd, a);
    }
    if (result == OPENED) {
        result = keep_descriptor(segment, fd, a);
    }
    if (result != OPENED) {
        fta_segment_close_unlocked(fd);
    }
    return result;
}

/* Rule 3, for a new file: takes the lock, lists the others, then fills it. */
static outcome
create(fta_segment *segment, int fd, const char *name, attempt *a)
{
    struct stat st;
    if (fchmod(fd, 0600) != 0 || fstat(fd, &st) != 0) { /* Despite any umask. */
        int error = errno;
        (void)unlink(segment->path);
        return fail(a, FTA_SYSTEM, error);
    }
    FTA_BETWEEN_CALLS();
    if (!fta_segment_lock(fd, LOCK_EX) ||
        !fta_segment_leads_to(segment->path, fd)) {
        return RETRY; /* Another process removes it as abandoned. */
    }
    fta_segment_files others;
    outcome result = OPENED;
    int error = fta_segment_list_files(a->directory, a->stem, name, &others);
    if (error != 0) {
        result = fail(a, FTA_SYSTEM, error);
    } else if (!fta_segment_is_ours(&st) || others.has_exposed) {
        result = fail(a, FTA_SEGMENT_FOREIGN, 0);
    } else if (others.count > 0) {
        result = RETRY;
        a->back_off_ms = BACKOFF_MS;
    } else {
        result = fill_new(segment, fd, a);
    }
    if (result != OPENED) {
        fta_segment_unmap(segment);
        (void)fta_segment_remove_locked(segment->path, fd);
        return result;
    }
    return share_lock(segment, fd);
}

static outcome
try_new(fta_segment *segment, attempt *a)
{
    char name[FTA_SEGMENT_NAME_LENGTH + 1];
    if (!fta_segment_write_random_name(name, a->stem)) {
        return fail(a, FTA_CRYPTO, 0);
    }
    (void)fta_segment_write_path(segment->path, a->directory, name);
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path,
                  O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        return errno == EEXIST ? RETRY : fail(a, FTA_SYSTEM, errno);
    }
    outcome result = create(segment, fd, name, a);
    if (result == OPENED) {
        result = keep_descriptor(segment, fd, a);
    }
    if (result != OPENED) {
        fta_segment_close_unlocked(fd);
    }
    return result;
}

static outcome
open_once(fta_segment *segment, attempt *a)
{
    fta_segment_files files;
    a->back_off_ms = 0;
    int error = fta_segment_list_files(a->directory, a->stem, NULL, &files);
    if (error != 0) {
        return fail(a, FTA_SYSTEM, error);
    }
    memcpy(segment->foreign, files.foreign, sizeof segment->foreign);
    if (files.has_exposed) {
        return fail(a, FTA_SEGMENT_FOREIGN, 0);
    }
    if (files.count == 0) {
        return try_new(segment, a);
    }
    outcome result = RETRY;
    for (size_t i = 0; i < files.listed && result == RETRY; i++) {
        result = try_existing(segment, files.names[i], a);
    }
    return result;
}

static void
wait_before_retry(const attempt *a)
{
    uint8_t random = 0;
    (void)RAND_bytes(&random, 1);
    int ms = 1 + (a->back_off_ms > 0 ? random % a->back_off_ms : 0);
    (void)nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
}

fta_status
fta_segment_shared(const char *directory, const fta_segment_purpose *purpose,
                   size_t bytes, fta_segment_fill *fill, fta_segment **out,
                   int *error)
{
    char usual[FTA_SEGMENT_PATH_SIZE], longest[FTA_SEGMENT_PATH_SIZE];
    attempt a = {.bytes = bytes, .fill = fill, .status = FTA_OK};
    *error = 0;
    a.directory = fta_segment_directory(directory, usual);
    if (a.directory == NULL) {
        *error = ENOENT;
        return FTA_SYSTEM;
    }
    if (!fta_segment_digest_boot(a.boot) ||
        !fta_segment_digest_purpose(purpose, geteuid(), a.boot, a.purpose)) {
        return FTA_CRYPTO;
    }
    fta_segment_write_stem(a.stem, a.purpose);
    int length = snprintf(longest, sizeof longest, "%s/%*s", a.directory,
                          FTA_SEGMENT_NAME_LENGTH, "");
    if (length < 0 || (size_t)length >= sizeof longest) {
        *error = ENAMETOOLONG;
        return FTA_SYSTEM;
    }
    fta_segment *segment = fta_calloc(1, sizeof *segment);
    if (segment == NULL) {
        return FTA_NO_MEMORY;
    }
    atomic_init(&segment->fd, -1);
    fta_segment_sweep(a.directory, a.boot);
    outcome result;
    int64_t end = fta_clock_monotonic_us() + PATIENCE_MS * INT64_C(1000);
    while ((result = open_once(segment, &a)) == RETRY) {
        if (fta_clock_monotonic_us() >= end) {
            result = fail(&a, FTA_SYSTEM, EBUSY);
            break;
        }
        wait_before_retry(&a);
    }
    if (result == FAILED) {
        fta_segment_unmap(segment);
        fta_free(segment);
        *error = a.error;
        return a.status;
    }
    *out = segment;
    return FTA_OK;
}
