#include "base/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"

bool
fta_segment_lock(int fd, int operation)
{
    int result;
    do {
        result = flock(fd, operation | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

int
fta_segment_reserve(int fd, size_t bytes)
{
#ifdef __APPLE__
    fstore_t store = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, (off_t)bytes, 0};
    if (fcntl(fd, F_PREALLOCATE, &store) != 0 ||
        ftruncate(fd, (off_t)bytes) != 0) {
        return errno;
    }
    return 0;
#else
    int error;
    do {
        error = posix_fallocate(fd, 0, (off_t)bytes);
    } while (error == EINTR);
    return error;
#endif
}

bool
fta_segment_is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
           (st->st_mode & (S_IRWXG | S_IRWXO)) == 0 && st->st_nlink == 1;
}

static bool
is_same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool
fta_segment_leads_to(const char *path, int fd)
{
    struct stat there, here;
    FTA_BETWEEN_CALLS();
    return lstat(path, &there) == 0 && fstat(fd, &here) == 0 &&
           is_same_inode(&there, &here) && here.st_nlink > 0;
}

bool
fta_segment_remove_locked(const char *path, int fd)
{
    if (!fta_segment_leads_to(path, fd)) {
        return true;
    }
    FTA_BETWEEN_CALLS();
    return unlink(path) == 0;
}

void
fta_segment_close_unlocked(int fd)
{
    (void)fta_segment_lock(fd, LOCK_UN);
    close(fd);
}

fta_segment_preamble *
fta_segment_map(int fd, size_t bytes)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void
fta_segment_unmap(fta_segment *segment)
{
    if (segment->mapping != NULL) {
        (void)munmap(segment->mapping, segment->bytes);
        segment->mapping = NULL;
    }
}

bool
fta_segment_has_ended(const fta_segment_preamble *p)
{
    return atomic_load(&p->keep_until_us) <= fta_clock_monotonic_us();
}

bool
fta_segment_read_preamble(int fd, fta_segment_preamble *out)
{
    return pread(fd, out, sizeof *out, 0) == (ssize_t)sizeof *out;
}

bool
fta_segment_has_holes(const struct stat *st)
{
#ifdef __linux__
    return (int64_t)st->st_blocks * 512 < (int64_t)st->st_size;
#else
    (void)st;
    return false;
#endif
}
