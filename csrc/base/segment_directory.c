#include "base/segment_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/clock.h"

/* -- The files of a purpose ------------------------------------------------ */

/* Adds one entry of the directory to out. Returns 0 or an errno. */
static int
list_entry(DIR *dir, const char *name, fta_segment_files *out)
{
    struct stat st;
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (st.st_nlink == 0) {
        return 0; /* It is being removed now. */
    }
    if (st.st_uid != geteuid()) {
        (void)snprintf(out->foreign, sizeof out->foreign, "%s", name);
    } else if (!fta_segment_is_ours(&st)) {
        out->has_exposed = true;
    } else if (fta_segment_is_name(name)) {
        out->count++;
        if (out->listed < FTA_SEGMENT_LISTED_MAX) {
            memcpy(out->names[out->listed++], name,
                   FTA_SEGMENT_NAME_LENGTH + 1);
        }
    }
    return 0;
}

int
fta_segment_list_files(const char *directory, const char *stem,
                       const char *except, fta_segment_files *out)
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
            error = list_entry(dir, entry->d_name, out);
        }
    }
    closedir(dir);
    return error;
}

/* -- Removing what nobody uses --------------------------------------------- */

/* Whether a file of any purpose may be removed. Exclusive lock held. */
static bool
is_abandoned(int fd, const uint8_t boot[FTA_SEGMENT_DIGEST])
{
    fta_segment_preamble p;
    struct stat st;
    if (fstat(fd, &st) != 0 || !fta_segment_is_ours(&st)) {
        return false;
    }
    if (!fta_segment_read_preamble(fd, &p)) {
        return st.st_size == 0; /* Its creator was killed. */
    }
    if (atomic_load(&p.mark) != FTA_SEGMENT_COMPLETE) {
        return atomic_load(&p.mark) == 0; /* Killed too; else a newer format. */
    }
    return memcmp(p.boot, boot, sizeof p.boot) != 0 ||
           fta_segment_has_ended(&p);
}

/* Bounds of one sweep, in files and in time. Later sweeps remove the rest. */
#define SWEEP_MAX 64
#define SWEEP_US INT64_C(100000)

/* Removes the file if it is abandoned; whether it did. */
static bool
remove_abandoned(DIR *dir, const char *directory, const char *name,
                 const uint8_t boot[FTA_SEGMENT_DIGEST])
{
    struct stat st;
    char path[FTA_SEGMENT_PATH_SIZE];
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !fta_segment_is_ours(&st) ||
        !fta_segment_write_path(path, directory, name)) {
        return false;
    }
    FTA_BETWEEN_CALLS();
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    bool removed = fta_segment_lock(fd, LOCK_EX) && is_abandoned(fd, boot) &&
                   fta_segment_remove_locked(path, fd);
    fta_segment_close_unlocked(fd);
    return removed;
}

/* The index of a segment, chosen at random; 0 where there is none. */
static size_t
random_start(DIR *dir)
{
    size_t count = 0, random = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        count += fta_segment_is_name(entry->d_name);
    }
    rewinddir(dir);
    (void)RAND_bytes((unsigned char *)&random, sizeof random);
    return count > 0 ? random % count : 0;
}

/* Begins at a random file and wraps around, so that files that stay do not keep
 * it from the files behind them. */
void
fta_segment_sweep(const char *directory, const uint8_t boot[FTA_SEGMENT_DIGEST])
{
    int64_t end = fta_clock_monotonic_us() + SWEEP_US;
    FTA_BETWEEN_CALLS();
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return;
    }
    size_t first = random_start(dir);
    int removed = 0;
    for (int round = 0; round < 2; round++) {
        struct dirent *entry;
        size_t place = 0;
        while (removed < SWEEP_MAX && fta_clock_monotonic_us() < end &&
               (entry = readdir(dir)) != NULL) {
            if (fta_segment_is_name(entry->d_name) &&
                (place++ >= first) == (round == 0)) {
                removed +=
                    remove_abandoned(dir, directory, entry->d_name, boot);
            }
        }
        rewinddir(dir);
    }
    closedir(dir);
}

/* -- For people ------------------------------------------------------------ */

fta_status
fta_segment_of_others(const char *directory, const fta_segment_purpose *purpose,
                      fta_segment_owner *out)
{
    char usual[FTA_SEGMENT_PATH_SIZE];
    uint8_t boot[FTA_SEGMENT_DIGEST], theirs[FTA_SEGMENT_DIGEST];
    char stem[FTA_SEGMENT_NAME_LENGTH + 1] = "";
    struct dirent *entry;
    _Static_assert(sizeof out->name > FTA_SEGMENT_NAME_LENGTH, "a name fits");
    memset(out, 0, sizeof *out);
    directory = fta_segment_directory(directory, usual);
    if (directory == NULL) {
        return FTA_SYSTEM;
    }
    if (!fta_segment_digest_boot(boot)) {
        return FTA_CRYPTO;
    }
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return FTA_SYSTEM;
    }
    fta_status status = FTA_OK;
    while (out->name[0] == '\0' && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (!fta_segment_is_name(entry->d_name) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_uid == geteuid()) {
            continue;
        }
        if (!fta_segment_digest_purpose(purpose, st.st_uid, boot, theirs)) {
            status = FTA_CRYPTO;
            break;
        }
        fta_segment_write_stem(stem, theirs);
        if (strncmp(entry->d_name, stem, strlen(stem)) == 0) {
            out->user = st.st_uid;
            memcpy(out->name, entry->d_name, FTA_SEGMENT_NAME_LENGTH + 1);
        }
    }
    closedir(dir);
    return status;
}

uint64_t
fta_segment_free_bytes(const char *directory)
{
    char usual[FTA_SEGMENT_PATH_SIZE];
    struct statvfs info;
    directory = fta_segment_directory(directory, usual);
    if (directory == NULL) {
        return 0;
    }
    return statvfs(directory, &info) != 0
               ? 0
               : (uint64_t)info.f_bavail * (uint64_t)info.f_frsize;
}
