#include "base/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/alloc.h"
#include "base/clock.h"

#define PATH_SIZE 1024

/* Before the caller's part, in a page of its own. A later version may add to
 * it behind what is here, but has to change the mark if it changes this part:
 * fta_segment_shared reads it in the files of other purposes and layouts. */
typedef struct preamble {
    _Atomic uint64_t mark; /* COMPLETE once all the rest is there, else 0. */
    uint64_t bytes;
    _Atomic int64_t keep_until_us; /* Monotonic, of this boot. */
    uint8_t boot[SHA256_DIGEST_LENGTH];
    uint8_t purpose[SHA256_DIGEST_LENGTH];
} preamble;

#define COMPLETE UINT64_C(0x4654412073656732) /* "FTA seg2" */
#define PREAMBLE_BYTES ((size_t)4096)

/* How long to wait for somebody who is making or removing the segment, which
 * takes a few milliseconds unless the process is stopped in the middle or the
 * machine is very busy. Who gives up counts alone, so that is not done soon. */
#define PATIENCE_MS 10000

/* Two who make a segment at once both give way for a random time up to this,
 * in milliseconds. */
#define BACKOFF_MS 8

/* What is to be kept is written down in steps of this, so that the word that
 * all processes share changes once a second and not with every request. */
#define KEEP_STEP_US INT64_C(1000000)

#define PURPOSE_DIGITS 32
#define RANDOM_DIGITS 16
/* "fta-", purpose, "-", random */
#define NAME_LENGTH (4 + PURPOSE_DIGITS + 1 + RANDOM_DIGITS)

struct fta_segment {
    preamble *mapping; /* Owned. */
    size_t bytes;      /* Of the mapping. */
    atomic_int fd;     /* Owned: holds the lock; -1 once given up. */
    dev_t device;      /* Which file fd was opened as: daemons close */
    ino_t inode;       /* descriptors that are not theirs. */
    char path[PATH_SIZE];
    char foreign[NAME_MAX + 1]; /* Empty: there is none. */
};

/* Here a test stops a process between two calls to the system, lets others
 * run, and perhaps never comes back. */
#ifndef FTA_BETWEEN_CALLS
#define FTA_BETWEEN_CALLS() ((void)0)
#endif

/* -- names ----------------------------------------------------------------- */

/* All that two processes have to agree on to meet. Zeroed before it is filled:
 * its padding is digested too. */
typedef struct identity {
    uint64_t format;
    uint64_t layout;
    uint64_t user;
    uint8_t boot[SHA256_DIGEST_LENGTH];
    uint8_t app[SHA256_DIGEST_LENGTH];
    uint8_t prefix[SHA256_DIGEST_LENGTH];
} identity;

static bool
digest(const void *data, size_t length, uint8_t out[SHA256_DIGEST_LENGTH])
{
    return EVP_Digest(length > 0 ? data : "", length, out, NULL, EVP_sha256(),
                      NULL) == 1;
}

#ifndef __APPLE__
/* Appends what is in a small file, if it can be read. */
static size_t
append_file(const char *path, char *out, size_t length, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, out + length, size - length);
        length += got > 0 ? (size_t)got : 0;
        close(fd);
    }
    return length;
}
#endif

/* Monotonic time, which a segment is full of, means nothing after a boot, nor
 * in a time namespace that has another offset. Where the boot has no readable
 * name, the directory is emptied at boot. */
static bool
digest_boot(uint8_t out[SHA256_DIGEST_LENGTH])
{
    char text[256] = "";
#ifdef __APPLE__
    size_t length = sizeof text;
    if (sysctlbyname("kern.bootsessionuuid", text, &length, NULL, 0) != 0) {
        length = 0;
    }
#else
    size_t length =
        append_file("/proc/sys/kernel/random/boot_id", text, 0, sizeof text);
    length =
        append_file("/proc/self/timens_offsets", text, length, sizeof text);
#endif
    return digest(text, length, out);
}

static bool
digest_purpose(const fta_segment_purpose *purpose, uid_t user,
               const uint8_t boot[SHA256_DIGEST_LENGTH],
               uint8_t out[SHA256_DIGEST_LENGTH])
{
    identity who;
    memset(&who, 0, sizeof who);
    who.format = COMPLETE;
    who.layout = purpose->layout;
    who.user = user;
    memcpy(who.boot, boot, sizeof who.boot);
    return digest(purpose->app.data, purpose->app.length, who.app) &&
           digest(purpose->prefix.data, purpose->prefix.length, who.prefix) &&
           digest(&who, sizeof who, out);
}

static void
write_hex(char *out, const uint8_t *bytes, size_t digits)
{
    for (size_t i = 0; i < digits / 2; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* "fta-<purpose>", NUL-terminated. */
static void
write_stem(char out[NAME_LENGTH + 1],
           const uint8_t purpose[SHA256_DIGEST_LENGTH])
{
    memcpy(out, "fta-", 4);
    write_hex(out + 4, purpose, PURPOSE_DIGITS);
}

static bool
are_hex_digits(const char *text, size_t count)
{
    return strspn(text, "0123456789abcdef") >= count;
}

/* Whether a file of that name is one of ours, whatever its purpose. */
static bool
is_segment_name(const char *name)
{
    return strlen(name) == NAME_LENGTH && memcmp(name, "fta-", 4) == 0 &&
           are_hex_digits(name + 4, PURPOSE_DIGITS) &&
           name[4 + PURPOSE_DIGITS] == '-' &&
           are_hex_digits(name + 4 + PURPOSE_DIGITS + 1, RANDOM_DIGITS);
}

static bool
write_path(char out[PATH_SIZE], const char *directory, const char *name)
{
    int length = snprintf(out, PATH_SIZE, "%s/%s", directory, name);
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

static bool
is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
           (st->st_mode & (S_IRWXG | S_IRWXO)) == 0 && st->st_nlink == 1;
}

static bool
is_same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the name leads to the file that fd is. */
static bool
leads_to(const char *path, int fd)
{
    struct stat there, here;
    FTA_BETWEEN_CALLS();
    return lstat(path, &there) == 0 && fstat(fd, &here) == 0 &&
           is_same_inode(&there, &here) && here.st_nlink > 0;
}

/* For who holds the exclusive lock on fd. Nobody else removes the file
 * meanwhile, so the name still leads to it when it is taken away. */
static bool
remove_locked(const char *path, int fd)
{
    if (!leads_to(path, fd)) {
        return true;
    }
    FTA_BETWEEN_CALLS();
    return unlink(path) == 0;
}

/* Ends the lock, too, where a child that another thread has forked meanwhile
 * holds a copy of the descriptor. */
static void
close_unlocked(int fd)
{
    (void)lock(fd, LOCK_UN);
    close(fd);
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

/* Whether nothing in a complete segment of this boot is to be kept. */
static bool
has_ended(const preamble *p)
{
    return atomic_load(&p->keep_until_us) <= fta_clock_monotonic_us();
}

/* Reads the first page without mapping it: nobody may have made it whole. */
static bool
read_preamble(int fd, preamble *out)
{
    return pread(fd, out, sizeof *out, 0) == (ssize_t)sizeof *out;
}

/* -- looking through the directory ----------------------------------------- */

/* More than a few of one purpose are there only while many processes start at
 * once; who does not see all of them sees the others later. */
#define SEEN_MAX 16

/* The files that claim a purpose. */
typedef struct sight {
    size_t count; /* Of our own, but for the one that was left out. */
    size_t noted;
    char names[SEEN_MAX][NAME_LENGTH + 1];
    bool spoilt; /* One of our own user is not this user's alone. */
    char foreign[NAME_MAX + 1]; /* One of another user, or empty. */
} sight;

/* Notes one entry of the directory; 0, or an errno. */
static int
look_at(DIR *dir, const char *name, sight *out)
{
    struct stat st;
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (st.st_nlink == 0) {
        return 0; /* Removed in this very moment. */
    }
    if (st.st_uid != geteuid()) {
        (void)snprintf(out->foreign, sizeof out->foreign, "%s", name);
    } else if (!is_ours(&st)) {
        out->spoilt = true;
    } else if (is_segment_name(name)) {
        out->count++;
        if (out->noted < SEEN_MAX) {
            memcpy(out->names[out->noted++], name, NAME_LENGTH + 1);
        }
    }
    return 0;
}

/* 0, or an errno: who has not seen everything has seen nothing. except may be
 * NULL. */
static int
look_around(const char *directory, const char *stem, const char *except,
            sight *out)
{
    memset(out, 0, sizeof *out);
    FTA_BETWEEN_CALLS();
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return errno;
    }
    size_t stem_length = strlen(stem);
    int error = 0;
    while (error == 0) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            error = errno;
            break;
        }
        if (strncmp(entry->d_name, stem, stem_length) == 0 &&
            (except == NULL || strcmp(entry->d_name, except) != 0)) {
            error = look_at(dir, entry->d_name, out);
        }
    }
    closedir(dir);
    return error;
}

/* Whether a file can go, whatever its purpose. Alone with it. */
static bool
is_left_over(int fd, const uint8_t boot[SHA256_DIGEST_LENGTH])
{
    preamble p;
    struct stat st;
    if (fstat(fd, &st) != 0 || !is_ours(&st)) {
        return false;
    }
    if (!read_preamble(fd, &p)) {
        return st.st_size == 0; /* Its creator was killed. */
    }
    if (atomic_load(&p.mark) != COMPLETE) {
        return atomic_load(&p.mark) == 0; /* As well; else: not known here. */
    }
    return memcmp(p.boot, boot, sizeof p.boot) != 0 || has_ended(&p);
}

/* A start removes at most so many files, and spends at most this time on
 * looking: what is left over is removed by the next ones. */
#define SWEEP_MAX 64
#define SWEEP_US INT64_C(100000)

/* Whether the file was left over, and is gone. */
static bool
remove_left_over(DIR *dir, const char *directory, const char *name,
                 const uint8_t boot[SHA256_DIGEST_LENGTH])
{
    struct stat st;
    char path[PATH_SIZE];
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !is_ours(&st) || !write_path(path, directory, name)) {
        return false;
    }
    FTA_BETWEEN_CALLS();
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    bool removed =
        lock(fd, LOCK_EX) && is_left_over(fd, boot) && remove_locked(path, fd);
    close_unlocked(fd);
    return removed;
}

/* The place of a segment, chosen at random; 0 where there is none. */
static size_t
random_place(DIR *dir)
{
    size_t count = 0, random = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        count += is_segment_name(entry->d_name);
    }
    rewinddir(dir);
    (void)RAND_bytes((unsigned char *)&random, sizeof random);
    return count > 0 ? random % count : 0;
}

/* Removes what nobody uses and nothing keeps. Others may do the same, or start
 * to use it, at the same time. It begins at a random file and goes round, so
 * that none is out of reach behind files that stay. */
static void
sweep(const char *directory, const uint8_t boot[SHA256_DIGEST_LENGTH])
{
    int64_t end = fta_clock_monotonic_us() + SWEEP_US;
    FTA_BETWEEN_CALLS();
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return;
    }
    size_t first = random_place(dir);
    int removed = 0;
    for (int round = 0; round < 2; round++) {
        struct dirent *entry;
        size_t place = 0;
        while (removed < SWEEP_MAX && fta_clock_monotonic_us() < end &&
               (entry = readdir(dir)) != NULL) {
            if (is_segment_name(entry->d_name) &&
                (place++ >= first) == (round == 0)) {
                removed +=
                    remove_left_over(dir, directory, entry->d_name, boot);
            }
        }
        rewinddir(dir);
    }
    closedir(dir);
}

/* -- meeting --------------------------------------------------------------- */

/* What one attempt came to. */
typedef enum outcome {
    MET,    /* The segment is mapped and locked. */
    AGAIN,  /* Somebody is making or removing it. */
    FAILED, /* It cannot be: see the status. */
} outcome;

typedef struct attempt {
    const char *directory; /* Borrowed. */
    uint8_t purpose[SHA256_DIGEST_LENGTH];
    uint8_t boot[SHA256_DIGEST_LENGTH];
    char stem[NAME_LENGTH + 1];
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

/* A hole in the file would be a SIGBUS when the directory is full. */
static bool
has_holes(const struct stat *st)
{
#ifdef __linux__
    return (int64_t)st->st_blocks * 512 < (int64_t)st->st_size;
#else
    (void)st;
    return false;
#endif
}

/* Maps what is in the file. MET if it is a complete segment of our purpose,
 * AGAIN if it is not. What cannot be looked at is neither. */
static outcome
map_complete(fta_segment *segment, int fd, attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fail(a, FTA_SYSTEM, errno);
    }
    if (st.st_size < (off_t)(2 * PREAMBLE_BYTES) || has_holes(&st)) {
        return AGAIN;
    }
    segment->bytes = (size_t)st.st_size;
    FTA_BETWEEN_CALLS();
    segment->mapping = map(fd, segment->bytes);
    if (segment->mapping == NULL) {
        return fail(a, FTA_SYSTEM, errno);
    }
    /* With the mark comes all that was written before it. */
    const preamble *p = segment->mapping;
    if (atomic_load(&p->mark) == COMPLETE && p->bytes == segment->bytes &&
        memcmp(p->purpose, a->purpose, sizeof p->purpose) == 0) {
        return MET;
    }
    unmap(segment);
    return AGAIN;
}

/* Rule 3, last part: alone with an empty file, and no other is there. */
static outcome
make(fta_segment *segment, int fd, attempt *a)
{
    FTA_BETWEEN_CALLS();
    int error = reserve(fd, a->bytes);
    if (error != 0) {
        return fail(a, FTA_SYSTEM, error);
    }
    segment->bytes = a->bytes;
    FTA_BETWEEN_CALLS();
    segment->mapping = map(fd, a->bytes);
    if (segment->mapping == NULL) {
        return fail(a, FTA_SYSTEM, errno);
    }
    preamble *p = segment->mapping;
    p->bytes = a->bytes;
    memcpy(p->boot, a->boot, sizeof p->boot);
    memcpy(p->purpose, a->purpose, sizeof p->purpose);
    fta_status status =
        a->fill(fta_segment_memory(segment), fta_segment_bytes(segment));
    if (status != FTA_OK) {
        return fail(a, status, 0);
    }
    FTA_BETWEEN_CALLS();
    atomic_store(&p->mark, COMPLETE);
    return MET;
}

/* Rule 2, for who holds the exclusive lock on a mapped segment. The lock does
 * not change in one step: another process may take it in between, and even
 * remove the file. It is done when the shared lock is ours; the name tells. */
static outcome
share(fta_segment *segment, int fd)
{
    FTA_BETWEEN_CALLS();
    if (lock(fd, LOCK_SH) && leads_to(segment->path, fd)) {
        return MET;
    }
    unmap(segment);
    return AGAIN;
}

/* Alone with a file that somebody left: goes on with what is in it if that is
 * what we want, else removes it. Never shortens one: a process whose
 * descriptor was closed by others may still have it mapped. */
static outcome
take_up(fta_segment *segment, int fd, attempt *a)
{
    if (!leads_to(segment->path, fd)) {
        return AGAIN;
    }
    outcome found = map_complete(segment, fd, a);
    if (found == FAILED) {
        return FAILED;
    }
    if (found == MET) {
        if (segment->bytes == a->bytes || !has_ended(segment->mapping)) {
            return share(segment, fd);
        }
        unmap(segment);
    }
    if (!remove_locked(segment->path, fd)) {
        return fail(a, FTA_SYSTEM, errno);
    }
    return AGAIN;
}

/* Others are using the file, or making it. */
static outcome
join(fta_segment *segment, int fd, attempt *a)
{
    FTA_BETWEEN_CALLS();
    if (lock(fd, LOCK_SH) && leads_to(segment->path, fd)) {
        return map_complete(segment, fd, a);
    }
    return AGAIN;
}

static outcome
keep(fta_segment *segment, int fd, attempt *a)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        unmap(segment);
        return fail(a, FTA_SYSTEM, errno);
    }
    segment->device = st.st_dev;
    segment->inode = st.st_ino;
    atomic_store(&segment->fd, fd);
    return MET;
}

static outcome
try_existing(fta_segment *segment, const char *name, attempt *a)
{
    struct stat st;
    (void)write_path(segment->path, a->directory, name);
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        /* Gone, and perhaps somebody has made something else in its place. */
        int error = errno;
        return error == ENOENT || error == ELOOP || error == ENXIO ||
                       error == EACCES || error == EISDIR
                   ? AGAIN
                   : fail(a, FTA_SYSTEM, error);
    }
    outcome result = AGAIN;
    if (fstat(fd, &st) == 0 && is_ours(&st)) {
        FTA_BETWEEN_CALLS();
        result =
            lock(fd, LOCK_EX) ? take_up(segment, fd, a) : join(segment, fd, a);
    }
    if (result == MET) {
        result = keep(segment, fd, a);
    }
    if (result != MET) {
        close_unlocked(fd);
    }
    return result;
}

/* Rule 3: the file, the lock on it, the look around, and then the mark. */
static outcome
make_alone(fta_segment *segment, int fd, const char *name, attempt *a)
{
    struct stat st;
    if (fchmod(fd, 0600) != 0 || fstat(fd, &st) != 0) { /* Despite any umask. */
        int error = errno;
        (void)unlink(segment->path);
        return fail(a, FTA_SYSTEM, error);
    }
    FTA_BETWEEN_CALLS();
    if (!lock(fd, LOCK_EX) || !leads_to(segment->path, fd)) {
        return AGAIN; /* Somebody takes it for left over, and removes it. */
    }
    sight others;
    outcome result = MET;
    int error = look_around(a->directory, a->stem, name, &others);
    if (error != 0) {
        result = fail(a, FTA_SYSTEM, error);
    } else if (!is_ours(&st) || others.spoilt) {
        result = fail(a, FTA_SEGMENT_FOREIGN, 0);
    } else if (others.count > 0) {
        result = AGAIN;
        a->back_off_ms = BACKOFF_MS;
    } else {
        result = make(segment, fd, a);
    }
    if (result != MET) {
        unmap(segment);
        (void)remove_locked(segment->path, fd);
        return result;
    }
    return share(segment, fd);
}

static outcome
try_new(fta_segment *segment, attempt *a)
{
    uint8_t random[RANDOM_DIGITS / 2];
    char name[NAME_LENGTH + 1];
    if (RAND_bytes(random, sizeof random) != 1) {
        return fail(a, FTA_CRYPTO, 0);
    }
    memcpy(name, a->stem, strlen(a->stem));
    name[strlen(a->stem)] = '-';
    write_hex(name + strlen(a->stem) + 1, random, RANDOM_DIGITS);
    (void)write_path(segment->path, a->directory, name);
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path,
                  O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        return errno == EEXIST ? AGAIN : fail(a, FTA_SYSTEM, errno);
    }
    outcome result = make_alone(segment, fd, name, a);
    if (result == MET) {
        result = keep(segment, fd, a);
    }
    if (result != MET) {
        close_unlocked(fd);
    }
    return result;
}

static outcome
meet_once(fta_segment *segment, attempt *a)
{
    sight there;
    a->back_off_ms = 0;
    int error = look_around(a->directory, a->stem, NULL, &there);
    if (error != 0) {
        return fail(a, FTA_SYSTEM, error);
    }
    memcpy(segment->foreign, there.foreign, sizeof segment->foreign);
    if (there.spoilt) {
        return fail(a, FTA_SEGMENT_FOREIGN, 0);
    }
    if (there.count == 0) {
        return try_new(segment, a);
    }
    outcome result = AGAIN;
    for (size_t i = 0; i < there.noted && result == AGAIN; i++) {
        result = try_existing(segment, there.names[i], a);
    }
    return result;
}

/* Waits before the next attempt. */
static void
wait_a_moment(const attempt *a)
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
    char usual[PATH_SIZE], longest[PATH_SIZE];
    attempt a = {.bytes = bytes, .fill = fill, .status = FTA_OK};
    *error = 0;
    if (directory == NULL) {
        if (!usual_directory(usual)) {
            *error = ENOENT;
            return FTA_SYSTEM;
        }
        directory = usual;
    }
    a.directory = directory;
    if (!digest_boot(a.boot) ||
        !digest_purpose(purpose, geteuid(), a.boot, a.purpose)) {
        return FTA_CRYPTO;
    }
    write_stem(a.stem, a.purpose);
    int length =
        snprintf(longest, sizeof longest, "%s/%*s", directory, NAME_LENGTH, "");
    if (length < 0 || (size_t)length >= sizeof longest) {
        *error = ENAMETOOLONG;
        return FTA_SYSTEM;
    }
    fta_segment *segment = fta_calloc(1, sizeof *segment);
    if (segment == NULL) {
        return FTA_NO_MEMORY;
    }
    atomic_init(&segment->fd, -1);
    sweep(directory, a.boot);
    outcome result;
    int64_t end = fta_clock_monotonic_us() + PATIENCE_MS * INT64_C(1000);
    while ((result = meet_once(segment, &a)) == AGAIN) {
        if (fta_clock_monotonic_us() >= end) {
            result = fail(&a, FTA_SYSTEM, EBUSY);
            break;
        }
        wait_a_moment(&a);
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
fta_segment_of_others(const char *directory, const fta_segment_purpose *purpose,
                      fta_segment_owner *out)
{
    char usual[PATH_SIZE];
    uint8_t boot[SHA256_DIGEST_LENGTH], theirs[SHA256_DIGEST_LENGTH];
    char stem[NAME_LENGTH + 1] = "";
    struct dirent *entry;
    _Static_assert(sizeof out->name > NAME_LENGTH, "a name fits");
    memset(out, 0, sizeof *out);
    if (directory == NULL) {
        if (!usual_directory(usual)) {
            return FTA_SYSTEM;
        }
        directory = usual;
    }
    if (!digest_boot(boot)) {
        return FTA_CRYPTO;
    }
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return FTA_SYSTEM;
    }
    fta_status status = FTA_OK;
    while (out->name[0] == '\0' && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (!is_segment_name(entry->d_name) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_uid == geteuid()) {
            continue;
        }
        if (!digest_purpose(purpose, st.st_uid, boot, theirs)) {
            status = FTA_CRYPTO;
            break;
        }
        write_stem(stem, theirs);
        if (strncmp(entry->d_name, stem, strlen(stem)) == 0) {
            out->user = st.st_uid;
            memcpy(out->name, entry->d_name, NAME_LENGTH + 1);
        }
    }
    closedir(dir);
    return status;
}

uint64_t
fta_segment_room(const char *directory)
{
    char usual[PATH_SIZE];
    struct statvfs room;
    if (directory == NULL) {
        if (!usual_directory(usual)) {
            return 0;
        }
        directory = usual;
    }
    return statvfs(directory, &room) != 0
               ? 0
               : (uint64_t)room.f_bavail * (uint64_t)room.f_frsize;
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

/* -- keeping and leaving --------------------------------------------------- */

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

/* Removes the file if nobody uses it, and nothing in it is to be kept. */
static void
remove_unused(const fta_segment *segment)
{
    preamble p;
    FTA_BETWEEN_CALLS();
    int fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (is_same_file(segment, fd) && lock(fd, LOCK_EX) &&
        read_preamble(fd, &p) && has_ended(&p)) {
        (void)remove_locked(segment->path, fd);
    }
    close_unlocked(fd);
}

void
fta_segment_leave(fta_segment *segment)
{
    if (atomic_load(&segment->fd) < 0 || !has_ended(segment->mapping)) {
        return; /* Private, left before, or still to be kept. */
    }
    int fd = atomic_exchange(&segment->fd, -1);
    if (fd < 0) {
        return;
    }
    /* In Linux a mapping holds on to the lock as well. It is replaced in one
     * step, so that a thread that is still inside finds memory, if blank. */
    FTA_BETWEEN_CALLS();
    void *blank = mmap(segment->mapping, segment->bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (!is_same_file(segment, fd)) {
        return; /* The number is somebody else's by now. */
    }
    /* The lock belongs to what a fork shares. So our copy is closed, and a
     * look through a descriptor of its own tells whether a relative's copy,
     * or anybody else, still holds it. */
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

const char *
fta_segment_foreign(const fta_segment *segment)
{
    return segment->foreign[0] == '\0' ? NULL : segment->foreign;
}
