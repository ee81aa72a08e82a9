#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "alloc.h"

#define PATH_SIZE 1024
#define NAME_DIGITS 32

/* Before the caller's part, in a page of its own. */
typedef struct preamble {
    _Atomic uint64_t complete; /* COMPLETE once all the rest is there. */
    uint64_t bytes;
    uint8_t name[SHA256_DIGEST_LENGTH];
} preamble;

#define COMPLETE UINT64_C(0x4654412073656731) /* "FTA seg1" */
#define PREAMBLE_BYTES ((size_t)4096)

/* How long to wait for somebody who is making or removing the segment, which
 * takes a few milliseconds unless the process is stopped in the middle. */
#define PATIENCE_MS 2000

struct fta_segment {
    preamble *mapping; /* Owned. */
    size_t bytes;      /* Of the mapping. */
    atomic_int fd;     /* Owned: holds the lock; -1 once left. */
    dev_t device;      /* Which file fd was opened as: daemons close */
    ino_t inode;       /* descriptors that are not theirs. */
    char path[PATH_SIZE];
};

/* -- names ----------------------------------------------------------------- */

/* All that two processes have to agree on to meet. Zeroed before it is filled:
 * its padding is digested too. */
typedef struct identity {
    uint64_t layout;
    uint64_t user;
    char boot[64];
    uint8_t app[SHA256_DIGEST_LENGTH];
    uint8_t prefix[SHA256_DIGEST_LENGTH];
} identity;

static bool
digest(const void *data, size_t length, uint8_t out[SHA256_DIGEST_LENGTH])
{
    return EVP_Digest(length > 0 ? data : "", length, out, NULL, EVP_sha256(),
                      NULL) == 1;
}

/* Monotonic time, which a segment may be full of, means nothing after a boot.
 * Where the boot has no readable name, the directory is emptied at boot. */
static void
read_boot(char *out, size_t size)
{
#ifdef __APPLE__
    (void)sysctlbyname("kern.bootsessionuuid", out, &size, NULL, 0);
#else
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, out, size) < 0) {
            memset(out, 0, size);
        }
        close(fd);
    }
#endif
}

static bool
name_segment(const fta_segment_purpose *purpose,
             uint8_t out[SHA256_DIGEST_LENGTH])
{
    identity who;
    memset(&who, 0, sizeof who);
    who.layout = purpose->layout;
    who.user = geteuid();
    read_boot(who.boot, sizeof who.boot);
    return digest(purpose->app.data, purpose->app.length, who.app) &&
           digest(purpose->prefix.data, purpose->prefix.length, who.prefix) &&
           digest(&who, sizeof who, out);
}

static bool
write_path(const char *directory, const uint8_t name[SHA256_DIGEST_LENGTH],
           char out[PATH_SIZE])
{
    char digits[NAME_DIGITS + 1];
    for (size_t i = 0; i < NAME_DIGITS / 2; i++) {
        (void)snprintf(digits + 2 * i, 3, "%02x", name[i]);
    }
    int length = snprintf(out, PATH_SIZE, "%s/fta-%s", directory, digits);
    return length > 0 && length < PATH_SIZE;
}

static bool
usual_directory(char out[PATH_SIZE])
{
#ifdef __APPLE__
    size_t length = confstr(_CS_DARWIN_USER_TEMP_DIR, out, PATH_SIZE);
    return length > 0 && length <= PATH_SIZE;
#else
    memcpy(out, "/dev/shm", sizeof "/dev/shm");
    return true;
#endif
}

/* -- files ----------------------------------------------------------------- */

static bool
lock(int fd, int operation)
{
    int result;
    do {
        result = flock(fd, operation | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

/* Real memory for all of the file: a full directory is an error here and not
 * a SIGBUS in the middle of a request. Returns an errno. */
static int
reserve(int fd, size_t bytes)
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

/* Opens the file, or makes an empty one. -1 with errno; EEXIST: somebody made
 * it in between. */
static int
open_or_create(const char *path)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags);
    if (fd >= 0 || errno != ENOENT) {
        return fd;
    }
    fd = open(path, flags | O_CREAT | O_EXCL, 0600);
    if (fd >= 0 && fchmod(fd, 0600) != 0) { /* Whatever the umask is. */
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool
is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
           (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static preamble *
map(int fd, size_t bytes)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void
unmap(fta_segment *segment)
{
    if (segment->mapping != NULL) {
        (void)munmap(segment->mapping, segment->bytes);
        segment->mapping = NULL;
    }
}

/* -- meeting --------------------------------------------------------------- */

/* What one attempt came to. */
typedef enum outcome {
    MET,    /* The segment is mapped and locked. */
    AGAIN,  /* Somebody is making or removing it. */
    FAILED, /* It cannot be: see the status. */
} outcome;

typedef struct attempt {
    const uint8_t *name;    /* Borrowed: SHA256_DIGEST_LENGTH bytes. */
    size_t bytes;           /* Asked for. */
    fta_segment_fill *fill; /* Of the caller's part. */
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

/* Maps what is in the file; true if it is a complete segment of this name. */
static bool
map_complete(fta_segment *segment, int fd, const attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)(2 * PREAMBLE_BYTES)) {
        return false;
    }
    segment->bytes = (size_t)st.st_size;
    segment->mapping = map(fd, segment->bytes);
    if (segment->mapping == NULL) {
        return false;
    }
    /* Acquire: with the mark comes all that was written before it. */
    if (atomic_load_explicit(&segment->mapping->complete,
                             memory_order_acquire) == COMPLETE &&
        segment->mapping->bytes == segment->bytes &&
        memcmp(segment->mapping->name, a->name, SHA256_DIGEST_LENGTH) == 0) {
        return true;
    }
    unmap(segment);
    return false;
}

/* Alone with an empty file. */
static outcome
make(fta_segment *segment, int fd, attempt *a)
{
    int error = reserve(fd, a->bytes);
    if (error != 0) {
        return fail(a, FTA_SYSTEM, error);
    }
    segment->bytes = a->bytes;
    segment->mapping = map(fd, a->bytes);
    if (segment->mapping == NULL) {
        return fail(a, FTA_SYSTEM, errno);
    }
    segment->mapping->bytes = a->bytes;
    memcpy(segment->mapping->name, a->name, SHA256_DIGEST_LENGTH);
    fta_status status =
        a->fill(fta_segment_memory(segment), fta_segment_bytes(segment));
    if (status != FTA_OK) {
        return fail(a, status, 0);
    }
    atomic_store_explicit(&segment->mapping->complete, COMPLETE,
                          memory_order_release);
    return MET;
}

/* Alone with the file: goes on with what is in it if that is what we want,
 * else sees to a new file. Never shortens one: somebody whose lock was closed
 * under him may still have it mapped. */
static outcome
take_over(fta_segment *segment, int fd, attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fail(a, FTA_SYSTEM, errno);
    }
    if (st.st_nlink == 0) {
        return AGAIN;
    }
    outcome result = MET;
    if (st.st_size == 0) {
        result = make(segment, fd, a);
    } else if (!map_complete(segment, fd, a) || segment->bytes != a->bytes) {
        result = AGAIN;
    }
    if (result != MET) {
        unmap(segment);
        if (unlink(segment->path) != 0 && result == AGAIN) {
            return fail(a, FTA_SYSTEM, errno);
        }
        return result;
    }
    /* Not in one step: somebody may come in between, as far as to remove the
     * file. He is done when this lock is ours, and the links tell. */
    if (!lock(fd, LOCK_SH) || fstat(fd, &st) != 0 || st.st_nlink == 0) {
        unmap(segment);
        return AGAIN;
    }
    return MET;
}

/* Others may be using the file. */
static outcome
join(fta_segment *segment, int fd, const attempt *a)
{
    struct stat st;
    if (!lock(fd, LOCK_SH) || fstat(fd, &st) != 0 || st.st_nlink == 0 ||
        !map_complete(segment, fd, a)) {
        return AGAIN;
    }
    return MET;
}

static outcome
meet_once(fta_segment *segment, attempt *a)
{
    struct stat st;
    int fd = open_or_create(segment->path);
    if (fd < 0) {
        if (errno == EEXIST) {
            return AGAIN;
        }
        /* Something is there, and we may not open it or it is a link? */
        int error = errno;
        bool taken = (error == EACCES || error == ELOOP || error == EISDIR) &&
                     lstat(segment->path, &st) == 0;
        return fail(a, taken ? FTA_SEGMENT_FOREIGN : FTA_SYSTEM, error);
    }
    outcome result;
    if (fstat(fd, &st) != 0) {
        result = fail(a, FTA_SYSTEM, errno);
    } else if (!is_ours(&st)) {
        result = fail(a, FTA_SEGMENT_FOREIGN, 0);
    } else if (lock(fd, LOCK_EX)) {
        result = take_over(segment, fd, a);
    } else {
        result = join(segment, fd, a);
    }
    if (result != MET) {
        close(fd);
        return result;
    }
    segment->device = st.st_dev;
    segment->inode = st.st_ino;
    atomic_store(&segment->fd, fd);
    return MET;
}

fta_status
fta_segment_shared(const char *directory, const fta_segment_purpose *purpose,
                   size_t bytes, fta_segment_fill *fill, fta_segment **out,
                   int *error)
{
    uint8_t name[SHA256_DIGEST_LENGTH];
    char usual[PATH_SIZE];
    attempt a = {.name = name, .bytes = bytes, .fill = fill, .status = FTA_OK};
    *error = 0;
    if (directory == NULL) {
        if (!usual_directory(usual)) {
            *error = ENOENT;
            return FTA_SYSTEM;
        }
        directory = usual;
    }
    if (!name_segment(purpose, name)) {
        return FTA_CRYPTO;
    }
    fta_segment *segment = fta_calloc(1, sizeof *segment);
    if (segment == NULL) {
        return FTA_NO_MEMORY;
    }
    atomic_init(&segment->fd, -1);
    if (!write_path(directory, name, segment->path)) {
        fta_free(segment);
        *error = ENAMETOOLONG;
        return FTA_SYSTEM;
    }
    outcome result;
    for (int waited = 0;; waited++) {
        result = meet_once(segment, &a);
        if (result != AGAIN) {
            break;
        }
        if (waited == PATIENCE_MS) {
            result = fail(&a, FTA_SYSTEM, EBUSY);
            break;
        }
        (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    if (result == FAILED) {
        unmap(segment);
        fta_free(segment);
        *error = a.error;
        return a.status;
    }
    *out = segment;
    return FTA_OK;
}

fta_status
fta_segment_private(size_t bytes, fta_segment_fill *fill, fta_segment **out)
{
    fta_segment *segment = fta_calloc(1, sizeof *segment);
    if (segment == NULL) {
        return FTA_NO_MEMORY;
    }
    atomic_init(&segment->fd, -1);
    segment->bytes = bytes;
    segment->mapping = map(-1, bytes);
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

/* -- leaving --------------------------------------------------------------- */

static bool
is_same_file(const fta_segment *segment, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == segment->device &&
           st.st_ino == segment->inode;
}

void
fta_segment_leave(fta_segment *segment)
{
    int fd = atomic_exchange(&segment->fd, -1);
    if (fd < 0) {
        return; /* Private, or left before. */
    }
    /* In Linux a mapping holds on to the lock as well. It is replaced in one
     * step, so that a thread that is still inside finds memory, if blank. */
    void *blank = mmap(segment->mapping, segment->bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (blank == MAP_FAILED || !is_same_file(segment, fd)) {
        return;
    }
    /* The lock belongs to what a fork shares. So our copy is closed, and a
     * look through a descriptor of its own tells whether a relative's copy,
     * or anybody else, still holds it. */
    close(fd);
    fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (is_same_file(segment, fd) && lock(fd, LOCK_EX)) {
        (void)unlink(segment->path);
    }
    close(fd);
}

void
fta_segment_close(fta_segment *segment)
{
    if (segment != NULL) {
        fta_segment_leave(segment);
        unmap(segment);
        fta_free(segment);
    }
}

/* -- access ---------------------------------------------------------------- */

void *
fta_segment_memory(const fta_segment *segment)
{
    return (char *)segment->mapping + PREAMBLE_BYTES;
}

size_t
fta_segment_bytes(const fta_segment *segment)
{
    return segment->bytes - PREAMBLE_BYTES;
}

const char *
fta_segment_path(const fta_segment *segment)
{
    return atomic_load(&segment->fd) < 0 ? NULL : segment->path;
}
