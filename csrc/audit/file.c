#include "audit/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define CHECK_EVERY_US 1000000

struct fta_audit_file {
    /* The number never changes while the file exists. A new file is duplicated
     * onto it, so that a write in another thread goes to the old file or to the
     * new one, and never to a closed descriptor. */
    int descriptor;
    _Atomic int64_t
        check_at_us;       /* monotonic; the thread that advances it checks */
    atomic_bool torn;      /* the file may end in the middle of a line */
    atomic_bool keeps_old; /* that was reported */
    bool inherited;        /* from the process, as /dev/stdout */
    mode_t kind;           /* S_IFREG and so on, at the start */
    char path[];           /* NUL-terminated, for open() */
};

/* Whether lines may be written to what was opened. Checks the descriptor, so
 * that no change of the path makes a difference. */
static fta_status
check_kind(int descriptor, mode_t *kind)
{
    struct stat found;
    if (fstat(descriptor, &found) != 0) {
        return FTA_SYSTEM;
    }
    *kind = found.st_mode & S_IFMT;
    if (S_ISCHR(found.st_mode)) {
        return FTA_OK; /* Only root makes devices. */
    }
    if (!S_ISREG(found.st_mode) && !S_ISFIFO(found.st_mode)) {
        return FTA_AUDIT_NO_FILE;
    }
    if (found.st_uid != geteuid() && found.st_uid != 0) {
        return FTA_AUDIT_OWNER;
    }
    return found.st_nlink > 1 ? FTA_AUDIT_HARD_LINK : FTA_OK;
}

/* Never waits: a pipe that nobody reads, or that is full, is an error. Follows
 * no symbolic link in the place of the file. On FTA_OK *descriptor is the
 * caller's to close; on FTA_SYSTEM errno has the reason. */
static fta_status
open_path(const char *path, int *descriptor, mode_t *kind)
{
    int opened = open(path,
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
                          O_NONBLOCK | O_NOFOLLOW,
                      0640);
    if (opened < 0) {
        struct stat found;
        int error = errno;
        bool is_link = lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
        errno = error;
        return is_link ? FTA_AUDIT_SYMLINK : FTA_SYSTEM;
    }
    fta_status status = check_kind(opened, kind);
    if (status != FTA_OK) {
        (void)close(opened);
        return status;
    }
    *descriptor = opened;
    return FTA_OK;
}

/* These names are symbolic links to descriptors that the process has already.
 * Those are duplicated and left as they are. */
static int
inherited_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdout") == 0   ? STDOUT_FILENO
           : strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO
                                              : -1;
}

static fta_status
open_first(fta_audit_file *file)
{
    int descriptor = inherited_descriptor(file->path);
    if (descriptor < 0) {
        return open_path(file->path, &file->descriptor, &file->kind);
    }
    file->inherited = true;
    file->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return file->descriptor < 0 ? FTA_SYSTEM : FTA_OK;
}

fta_status
fta_audit_file_open(fta_text path, fta_audit_file **out)
{
    fta_status status = FTA_BAD_ARGUMENT;
    fta_audit_file *file = NULL;

    if (path.length == 0 || memchr(path.data, 0, path.length) != NULL) {
        goto done;
    }
    status = FTA_NO_MEMORY;
    file = fta_calloc(1, sizeof *file + path.length + 1);
    if (file == NULL) {
        goto done;
    }
    memcpy(file->path, path.data, path.length);
    status = open_first(file);
    if (status != FTA_OK) {
        goto done;
    }
    atomic_init(&file->check_at_us, fta_clock_monotonic_us() + CHECK_EVERY_US);
    *out = file;
    file = NULL;
done:;
    int error = errno;
    fta_free(file);
    errno = error;
    return status;
}

void
fta_audit_file_close(fta_audit_file *file)
{
    if (file != NULL) {
        (void)close(file->descriptor);
        fta_free(file);
    }
}

void
fta_audit_file_reopen(fta_audit_file *file)
{
    atomic_store_explicit(&file->check_at_us, INT64_MIN, memory_order_relaxed);
}

/* lstat, because a symbolic link to the open file is another file too. */
static bool
path_leads_elsewhere(const fta_audit_file *file)
{
    struct stat here, there;
    return fstat(file->descriptor, &here) == 0 &&
           (lstat(file->path, &there) != 0 || here.st_ino != there.st_ino ||
            here.st_dev != there.st_dev);
}

/* Opens the path again, under the number of the old descriptor. */
static fta_status
replace_file(fta_audit_file *file)
{
    int opened;
    mode_t kind;
    fta_status status = open_path(file->path, &opened, &kind);
    if (status != FTA_OK) {
        return status;
    }
    if (kind != S_IFREG && kind != file->kind) {
        status = FTA_AUDIT_NO_FILE;
    } else {
#ifdef __linux__
        int replaced = dup3(opened, file->descriptor, O_CLOEXEC);
#else
        /* Between the two calls a fork with exec would inherit the descriptor.
         */
        int replaced = dup2(opened, file->descriptor);
        (void)fcntl(file->descriptor, F_SETFD, FD_CLOEXEC);
#endif
        status = replaced < 0 ? FTA_SYSTEM : FTA_OK;
    }
    int error = errno;
    (void)close(opened);
    errno = error;
    return status;
}

static bool
is_due(fta_audit_file *file)
{
    int64_t now = fta_clock_monotonic_us();
    int64_t due =
        atomic_load_explicit(&file->check_at_us, memory_order_relaxed);
    return now >= due && atomic_compare_exchange_strong(
                             &file->check_at_us, &due, now + CHECK_EVERY_US);
}

void
fta_audit_file_follow(fta_audit_file *file, bool at_once,
                      fta_audit_outcome *outcome)
{
    if (file->inherited || !(at_once || is_due(file))) {
        return;
    }
    if (path_leads_elsewhere(file)) {
        fta_status status = replace_file(file);
        if (status != FTA_OK) {
            if (!atomic_exchange(&file->keeps_old, true)) {
                outcome->change = FTA_AUDIT_KEEPS_OLD_FILE;
                outcome->status = status;
                outcome->error = errno;
            }
            return;
        }
        atomic_store(&file->torn, false);
    }
    atomic_store(&file->keeps_old, false);
}

int
fta_audit_file_append(fta_audit_file *file, const char *text, size_t length)
{
    /* The first line feed is for use after a torn line. */
    size_t skip = atomic_exchange(&file->torn, false) ? 0 : 1;
    ssize_t written;
    do {
        written = write(file->descriptor, text + skip, length - skip);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)(length - skip)) {
        return 0;
    }
    /* A short write: the disk has become full, or a pipe has not enough space
     * for a line of more than PIPE_BUF octets. */
    int error = written < 0 ? errno : S_ISFIFO(file->kind) ? EAGAIN : ENOSPC;
    if (written > 0 || skip == 0) {
        atomic_store(&file->torn, true);
    }
    return error;
}

int
fta_audit_file_append_whole(fta_audit_file *file, const struct iovec *parts,
                            int count, off_t size)
{
    ssize_t length = 0, written;
    for (int i = 0; i < count; i++) {
        length += (ssize_t)parts[i].iov_len;
    }
    do {
        written = writev(file->descriptor, parts, count);
    } while (written < 0 && errno == EINTR);
    if (written == length) {
        return 0;
    }
    int error = written < 0 ? errno : ENOSPC;
    if (written > 0) {
        int cut = ftruncate(file->descriptor, size);
        (void)cut; /* What is left over is a torn line. */
    }
    return error;
}

int
fta_audit_file_descriptor(const fta_audit_file *file)
{
    return file->descriptor;
}

mode_t
fta_audit_file_kind(const fta_audit_file *file)
{
    return file->kind;
}

bool
fta_audit_file_stat(const fta_audit_file *file, struct stat *out)
{
    return fstat(file->descriptor, out) == 0;
}
