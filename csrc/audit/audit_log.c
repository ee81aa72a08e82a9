#include "audit/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/line.h"
#include "base/alloc.h"
#include "base/clock.h"

#define CHECK_EVERY_US 1000000

struct fta_audit_log {
    /* The number never changes while the log exists. A new file is duplicated
     * onto it, so that a write in another thread goes to the old file or to the
     * new one, and never to a closed descriptor. */
    int descriptor;
    _Atomic int64_t
        check_at_us;       /* monotonic; the thread that advances it checks */
    _Atomic uint64_t lost; /* lines, since the first failure in a row */
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
open_first(fta_audit_log *log)
{
    int descriptor = inherited_descriptor(log->path);
    if (descriptor < 0) {
        return open_path(log->path, &log->descriptor, &log->kind);
    }
    log->inherited = true;
    log->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return log->descriptor < 0 ? FTA_SYSTEM : FTA_OK;
}

fta_status
fta_audit_log_open(fta_text path, fta_audit_log **out)
{
    fta_status status = FTA_BAD_ARGUMENT;
    fta_audit_log *log = NULL;

    if (path.length == 0 || memchr(path.data, 0, path.length) != NULL) {
        goto done;
    }
    status = FTA_NO_MEMORY;
    log = fta_calloc(1, sizeof *log + path.length + 1);
    if (log == NULL) {
        goto done;
    }
    memcpy(log->path, path.data, path.length);
    status = open_first(log);
    if (status != FTA_OK) {
        goto done;
    }
    atomic_init(&log->check_at_us, fta_clock_monotonic_us() + CHECK_EVERY_US);
    *out = log;
    log = NULL;
done:;
    int error = errno;
    fta_free(log);
    errno = error;
    return status;
}

void
fta_audit_log_close(fta_audit_log *log)
{
    if (log != NULL) {
        (void)close(log->descriptor);
        fta_free(log);
    }
}

void
fta_audit_log_reopen(fta_audit_log *log)
{
    atomic_store_explicit(&log->check_at_us, INT64_MIN, memory_order_relaxed);
}

/* lstat, because a symbolic link to the open file is another file too. */
static bool
path_leads_elsewhere(const fta_audit_log *log)
{
    struct stat here, there;
    return fstat(log->descriptor, &here) == 0 &&
           (lstat(log->path, &there) != 0 || here.st_ino != there.st_ino ||
            here.st_dev != there.st_dev);
}

/* Opens the path again, under the number of the old descriptor. */
static fta_status
replace_file(fta_audit_log *log)
{
    int opened;
    mode_t kind;
    fta_status status = open_path(log->path, &opened, &kind);
    if (status != FTA_OK) {
        return status;
    }
    if (kind != S_IFREG && kind != log->kind) {
        status = FTA_AUDIT_NO_FILE;
    } else {
#ifdef __linux__
        int replaced = dup3(opened, log->descriptor, O_CLOEXEC);
#else
        /* Between the two calls a fork with exec would inherit the descriptor.
         */
        int replaced = dup2(opened, log->descriptor);
        (void)fcntl(log->descriptor, F_SETFD, FD_CLOEXEC);
#endif
        status = replaced < 0 ? FTA_SYSTEM : FTA_OK;
    }
    int error = errno;
    (void)close(opened);
    errno = error;
    return status;
}

static void
check_path(fta_audit_log *log, fta_audit_outcome *outcome)
{
    int64_t now = fta_clock_monotonic_us();
    int64_t due = atomic_load_explicit(&log->check_at_us, memory_order_relaxed);
    if (log->inherited || now < due ||
        !atomic_compare_exchange_strong(&log->check_at_us, &due,
                                        now + CHECK_EVERY_US)) {
        return;
    }
    if (path_leads_elsewhere(log)) {
        fta_status status = replace_file(log);
        if (status != FTA_OK) {
            if (!atomic_exchange(&log->keeps_old, true)) {
                outcome->change = FTA_AUDIT_KEEPS_OLD_FILE;
                outcome->status = status;
                outcome->error = errno;
            }
            return;
        }
        atomic_store(&log->torn, false);
    }
    atomic_store(&log->keeps_old, false);
}

/* 0, or the errno of what went wrong. */
static int
write_line(fta_audit_log *log, const fta_audit_line *line)
{
    /* The first line feed is for use after a torn line. */
    size_t skip = atomic_exchange(&log->torn, false) ? 0 : 1;
    size_t length = line->used - skip;
    ssize_t written;
    do {
        written = write(log->descriptor, line->text + skip, length);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)length) {
        return 0;
    }
    /* A short write: the disk has become full, or a pipe has not enough space
     * for a line of more than PIPE_BUF octets. */
    int error = written < 0 ? errno : S_ISFIFO(log->kind) ? EAGAIN : ENOSPC;
    if (written > 0 || skip == 0) {
        atomic_store(&log->torn, true);
    }
    return error;
}

fta_audit_outcome
fta_audit_log_write(fta_audit_log *log, const fta_audit_entry *entry)
{
    fta_audit_outcome outcome = {.change = FTA_AUDIT_UNCHANGED};
    check_path(log, &outcome);

    fta_audit_line line;
    int error = ENOMEM;
    if (fta_audit_line_make(&line, entry)) {
        error = write_line(log, &line);
        fta_audit_line_free(&line);
    }
    if (error != 0) {
        outcome.is_lost = true;
        if (atomic_fetch_add(&log->lost, 1) == 0) {
            outcome.change = FTA_AUDIT_LOSING;
            outcome.status = FTA_SYSTEM;
            outcome.error = error;
        }
    } else if (atomic_load_explicit(&log->lost, memory_order_relaxed) != 0) {
        outcome.lost = atomic_exchange(&log->lost, 0);
        if (outcome.lost != 0) {
            outcome.change = FTA_AUDIT_RESUMED;
        }
    }
    return outcome;
}
