#include "base/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

/* The time until which a segment is to be kept is written in steps of this, so
 * that the word that all processes share changes once a second and not with
 * every request. */
#define KEEP_STEP_US INT64_C(1000000)

fta_status
fta_segment_private(size_t bytes, fta_segment_fill *fill, fta_segment **out)
{
    fta_segment *segment = fta_calloc(1, sizeof *segment);
    if (segment == NULL) {
        return FTA_NO_MEMORY;
    }
    atomic_init(&segment->fd, -1);
    segment->bytes = bytes;
    segment->mapping = fta_segment_map(-1, bytes);
    fta_status status = FTA_NO_MEMORY;
    if (segment->mapping != NULL) {
        status = fill(fta_segment_memory(segment), fta_segment_bytes(segment));
    }
    if (status != FTA_OK) {
        fta_segment_close(segment);
        return status;
    }
    *out = segment;
    return FTA_OK;
}

/* -- Keeping and leaving --------------------------------------------------- */

void
fta_segment_keep_until(fta_segment *segment, int64_t us)
{
    _Atomic int64_t *kept = &segment->mapping->keep_until_us;
    int64_t known = atomic_load_explicit(kept, memory_order_relaxed);
    if (us <= known) {
        return;
    }
    us += KEEP_STEP_US;
    while (known < us && !atomic_compare_exchange_weak(kept, &known, us)) {
    }
}

static bool
is_same_file(const fta_segment *segment, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == segment->device &&
           st.st_ino == segment->inode;
}

/* Removes the file if nobody uses it and nothing in it is to be kept. */
static void
remove_unused(const fta_segment *segment)
{
    fta_segment_preamble p;
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (is_same_file(segment, fd) && fta_segment_lock(fd, LOCK_EX) &&
        fta_segment_read_preamble(fd, &p) && fta_segment_has_ended(&p)) {
        (void)fta_segment_remove_locked(segment->path, fd);
    }
    fta_segment_close_unlocked(fd);
}

void
fta_segment_leave(fta_segment *segment)
{
    if (atomic_load(&segment->fd) < 0 ||
        !fta_segment_has_ended(segment->mapping)) {
        return; /* Private, left before, or still to be kept. */
    }
    int fd = atomic_exchange(&segment->fd, -1);
    if (fd < 0) {
        return;
    }
    /* On Linux the mapping holds the lock as well. It is replaced in one step,
     * so that a thread that still uses it finds blank memory. */
    FTA_BETWEEN_CALLS();
    void *blank = mmap(segment->mapping, segment->bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (!is_same_file(segment, fd)) {
        return; /* Other code closed it, and the number is another file now. */
    }
    /* Parents and children share the lock. So this copy is closed, and a new
     * descriptor tells whether a copy of theirs, or another process, still
     * holds it. */
    close(fd);
    if (blank != MAP_FAILED) {
        remove_unused(segment);
    }
}

void
fta_segment_close(fta_segment *segment)
{
    if (segment != NULL) {
        fta_segment_leave(segment);
        int fd = atomic_exchange(&segment->fd, -1);
        if (fd >= 0 && is_same_file(segment, fd)) {
            close(fd);
        }
        fta_segment_unmap(segment);
        fta_free(segment);
    }
}

/* -- Access ---------------------------------------------------------------- */

void *
fta_segment_memory(const fta_segment *segment)
{
    return (char *)segment->mapping + FTA_SEGMENT_PREAMBLE_BYTES;
}

size_t
fta_segment_bytes(const fta_segment *segment)
{
    return segment->bytes - FTA_SEGMENT_PREAMBLE_BYTES;
}

size_t
fta_segment_whole_bytes(const fta_segment *segment)
{
    return segment->bytes;
}

const char *
fta_segment_path(const fta_segment *segment)
{
    return atomic_load(&segment->fd) < 0 ? NULL : segment->path;
}

/* -1 where the path leads to another file, or to none. */
static int
reopen_at(const fta_segment *segment, const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd >= 0 && !is_same_file(segment, fd)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int
fta_segment_reopen(const fta_segment *segment)
{
    int held = atomic_load(&segment->fd);
    if (held < 0) {
        return -1;
    }
    int fd = reopen_at(segment, segment->path, O_NOFOLLOW);
    if (fd < 0) { /* Somebody has removed the file, which goes on without. */
        char path[32];
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", held);
        fd = reopen_at(segment, path, 0);
    }
    return fd;
}

const char *
fta_segment_foreign(const fta_segment *segment)
{
    return segment->foreign[0] == '\0' ? NULL : segment->foreign;
}
