/* The protocol by which processes find, make, reuse and remove a segment. It is
 * stopped between any two of its system calls.
 *
 * Actors are coroutines that stand for processes. Each has descriptors and
 * mappings of its own, so the kernel's locks (flock) hold between them as they
 * do between processes. A scheduler decides before each call which actor runs.
 * An actor that is killed loses its descriptors and mappings at that moment. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

static void stop_here(void);
static void between_calls(void);
static void *actor_calloc(size_t count, size_t size);
static void actor_free(void *block);
static int actor_closedir(DIR *dir);
static int actor_open(const char *path, int flags, ...);
static int actor_close(int fd);
static void *actor_mmap(void *at, size_t length, int protection, int flags,
                        int fd, off_t offset);
static int actor_munmap(void *at, size_t length);
static int actor_nanosleep(const struct timespec *wanted,
                           struct timespec *left);
static DIR *actor_opendir(const char *path);
static struct dirent *actor_readdir(DIR *dir);
static int actor_flock(int fd, int operation);
static int actor_lstat(const char *path, struct stat *out);
static int actor_fstat(int fd, struct stat *out);

/* The code under test, compiled here with calls that the scheduler intercepts.
 * All parts are here, so the linker takes none of them from the archive of the
 * core. */
#define FTA_BETWEEN_CALLS() between_calls()
#define open actor_open
#define close(fd) actor_close(fd)
#define mmap actor_mmap
#define munmap actor_munmap
#define nanosleep actor_nanosleep
#define fta_calloc actor_calloc
#define fta_free actor_free
#define closedir actor_closedir
#define opendir actor_opendir
#define readdir actor_readdir
#define flock actor_flock
#define lstat actor_lstat
#define fstat actor_fstat
#include "base/segment.c"
#include "base/segment_directory.c"
#include "base/segment_file.c"
#include "base/segment_name.c"
#include "base/segment_open.c"
#undef open
#undef close
#undef mmap
#undef munmap
#undef nanosleep
#undef fta_calloc
#undef fta_free
#undef closedir
#undef opendir
#undef readdir
#undef flock
#undef lstat
#undef fstat

#define BYTES ((size_t)12288)
#define FAR_US INT64_C(1000000000)

/* -- actors ---------------------------------------------------------------- */

#define OWNED_MAX 8
#define ACTOR_FIELDS                                                           \
    bool counts; /* Something that is to be kept. */                           \
    bool other_size;                                                           \
    fta_segment *segment; /* While it uses one. */                             \
    uint64_t *counted;    /* In the segment. */                                \
    dev_t device;         /* Of the segment's file. */                         \
    ino_t inode;                                                               \
    int fds[OWNED_MAX]; /* -1: none */                                         \
    struct {                                                                   \
        void *at;                                                              \
        size_t length;                                                         \
    } mappings[OWNED_MAX];                                                     \
    int last_fd;                                                               \
    void *allocated;                                                           \
    DIR *dir;
#include "actors.h"

static char directory[64];
static uint64_t kept;   /* What has been counted and is to be kept. */
static bool promised;   /* Something was to be kept, counted or not. */
static long violations; /* Of the invariant, since the last reset. */
static long failed;     /* Opens that failed. */

/* Errors of the system, and rules of the protocol that are switched off. */
static struct {
    bool no_memory;      /* Nothing can be mapped. */
    bool no_directory;   /* The directory cannot be read to its end. */
    bool no_second_look; /* The creator does not list the others. */
    bool no_lock;        /* An exclusive lock always succeeds. */
    bool no_name_check;  /* Nobody checks where the name leads. */
    int64_t step_us;     /* How long each step takes. */
} control;

static void
between_calls(void)
{
    if (running != NULL) {
        fta_clock_shift(0, control.step_us);
    }
    stop_here();
}

static int
actor_open(const char *path, int flags, ...)
{
    int fd = open(path, flags, 0600);
    for (size_t i = 0; fd >= 0 && i < OWNED_MAX; i++) {
        if (running->fds[i] < 0) {
            running->fds[i] = running->last_fd = fd;
            return fd;
        }
    }
    if (fd >= 0) {
        abort();
    }
    return fd;
}

static int
actor_close(int fd)
{
    for (size_t i = 0; i < OWNED_MAX; i++) {
        if (running->fds[i] == fd) {
            running->fds[i] = -1;
        }
    }
    return close(fd);
}

static void *
actor_mmap(void *at, size_t length, int protection, int flags, int fd,
           off_t offset)
{
    if (control.no_memory) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *memory = mmap(at, length, protection, flags, fd, offset);
    for (size_t i = 0; at == NULL && i < OWNED_MAX; i++) {
        if (running->mappings[i].at == NULL) {
            running->mappings[i].at = memory;
            running->mappings[i].length = length;
            break;
        }
    }
    return memory;
}

static int
actor_munmap(void *at, size_t length)
{
    for (size_t i = 0; i < OWNED_MAX; i++) {
        if (running->mappings[i].at == at) {
            running->mappings[i].at = NULL;
        }
    }
    return munmap(at, length);
}

static int
actor_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)left;
    fta_clock_shift(0, wanted->tv_nsec / 1000);
    stop_here();
    return 0;
}

/* The creator is the actor that has a file open while it lists the others. */
static DIR *
actor_opendir(const char *path)
{
    bool has_file = false;
    for (size_t i = 0; i < OWNED_MAX; i++) {
        has_file = has_file || running->fds[i] >= 0;
    }
    if (control.no_second_look && has_file) {
        path = "/proc/self/task";
    }
    running->dir = opendir(path);
    return running->dir;
}

static int
actor_closedir(DIR *dir)
{
    running->dir = NULL;
    return closedir(dir);
}

static void *
actor_calloc(size_t count, size_t size)
{
    running->allocated = fta_calloc(count, size);
    return running->allocated;
}

static void
actor_free(void *block)
{
    running->allocated = NULL;
    fta_free(block);
}

static struct dirent *
actor_readdir(DIR *dir)
{
    struct dirent *entry = readdir(dir);
    if (control.no_directory && (entry == NULL || entry->d_name[0] == 'f')) {
        errno = EIO;
        return NULL;
    }
    return entry;
}

static int
actor_flock(int fd, int operation)
{
    if (control.no_lock && (operation & LOCK_EX) != 0) {
        return 0;
    }
    return flock(fd, operation);
}

static int
actor_lstat(const char *path, struct stat *out)
{
    return control.no_name_check ? fstat(running->last_fd, out)
                                 : lstat(path, out);
}

static int
actor_fstat(int fd, struct stat *out)
{
    int result = fstat(fd, out);
    if (control.no_name_check) {
        out->st_nlink = 1;
    }
    return result;
}

/* What the kernel does when a process dies. */
static void
release_all(actor *a)
{
    for (size_t i = 0; i < OWNED_MAX; i++) {
        if (a->fds[i] >= 0) {
            close(a->fds[i]);
            a->fds[i] = -1;
        }
        if (a->mappings[i].at != NULL) {
            munmap(a->mappings[i].at, a->mappings[i].length);
            a->mappings[i].at = NULL;
        }
    }
    if (a->dir != NULL) {
        closedir(a->dir);
        a->dir = NULL;
    }
    fta_free(a->allocated);
    a->allocated = NULL;
    a->segment = NULL;
    a->counted = NULL;
}

/* -- what an actor does ---------------------------------------------------- */

static fta_status
fill(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    stop_here();
    return FTA_OK;
}

static void
note(bool holds)
{
    violations += !holds;
}

static void
live(actor *self)
{
    static const fta_segment_purpose purpose = {
        .layout = 1, .app = {"app", 3}, .prefix = {"prefix", 6}};
    struct stat st;
    int error;
    fta_segment *segment;
    if (fta_segment_shared(directory, &purpose, BYTES * (1 + self->other_size),
                           fill, &segment, &error) != FTA_OK) {
        failed++;
        return;
    }
    (void)fstat(atomic_load(&segment->fd), &st);
    self->device = st.st_dev;
    self->inode = st.st_ino;
    self->segment = segment;
    self->counted = fta_segment_memory(segment);
    /* Nothing that was to be kept is lost. */
    note(*self->counted == kept);
    for (int i = 0; i < 2 && self->counts; i++) {
        between_calls();
        fta_segment_keep_until(segment, fta_clock_monotonic_us() + FAR_US);
        promised = true;
        between_calls();
        ++*self->counted;
        kept++;
    }
    between_calls();
    self->segment = NULL;
    self->counted = NULL;
    fta_segment_close(segment);
}

static actor *
add_process(bool counts, bool other_size)
{
    actor *a = add_actor(live);
    a->counts = counts;
    a->other_size = other_size;
    a->last_fd = -1;
    for (size_t i = 0; i < OWNED_MAX; i++) {
        a->fds[i] = -1;
    }
    return a;
}

/* -- schedules ------------------------------------------------------------- */

/* All who use a segment use the same one. */
static void
look_at_all(void)
{
    const actor *first = NULL;
    for (size_t i = 0; i < actor_count; i++) {
        const actor *a = &actors[i];
        if (a->segment == NULL) {
            continue;
        }
        if (first == NULL) {
            first = a;
        }
        note(a->inode == first->inode && a->device == first->device);
    }
}

/* A run ends after so many steps: an actor that waits for a stopped one would
 * give up much later. */
#define STEPS_MAX 4000

static void
run(uint64_t seed, bool with_kills)
{
    uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    (void)next_random(&state);
    /* Long turns find other races than short ones. */
    uint64_t turn = 1 + next_random(&state) % 12;
    for (int steps = 0; steps < STEPS_MAX;) {
        actor *alive[ACTORS_MAX];
        size_t count = 0;
        for (size_t i = 0; i < actor_count; i++) {
            if (!actors[i].done && !actors[i].killed) {
                alive[count++] = &actors[i];
            }
        }
        if (count == 0) {
            return;
        }
        actor *next = alive[next_random(&state) % count];
        if (with_kills && next_random(&state) % 40 == 0) {
            next->killed = true;
            release_all(next);
            continue;
        }
        for (uint64_t left = 1 + next_random(&state) % turn;
             left > 0 && !next->done; left--, steps++) {
            resume(next);
            look_at_all();
        }
    }
    CHECK(false && "an actor does not end");
}

static size_t
count_files(bool removing)
{
    size_t count = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            count++;
            if (removing) {
                (void)unlinkat(dirfd(dir), entry->d_name, 0);
            }
        }
    }
    closedir(dir);
    return count;
}

/* One history: several start at about the same time, later one alone. */
static void
history(uint64_t seed, bool with_kills)
{
    uint64_t state = seed * UINT64_C(0xD1B54A32D192ED03) + 1;
    (void)next_random(&state);
    kept = 0;
    promised = false;
    for (int generation = 0; generation < 2; generation++) {
        actor_count = 0;
        size_t count = 2 + next_random(&state) % (ACTORS_MAX - 1);
        for (size_t i = 0; i < count; i++) {
            add_process(next_random(&state) % 3 == 0,
                        next_random(&state) % 4 == 0);
        }
        run(next_random(&state), with_kills);
    }
    actor_count = 0;
    actor *last = add_process(false, false);
    for (int steps = 0; !last->done && steps < STEPS_MAX; steps++) {
        resume(last);
    }
    CHECK(last->done);
    /* Whatever happened, only what is to be kept is left. */
    note(count_files(true) == promised);
}

static long
violations_of(uint64_t histories, bool with_kills)
{
    violations = failed = 0;
    for (uint64_t seed = 1; seed <= histories; seed++) {
        history(seed, with_kills);
    }
    return violations;
}

static void
test_all_processes_use_one_segment(uint64_t more)
{
    CHECK(violations_of(SCHEDULES(1000) * more, false) == 0);
    CHECK(failed == 0);
    CHECK(violations_of(SCHEDULES(2000) * more, true) == 0);
    CHECK(failed == 0);
}

static void
test_a_rule_that_is_switched_off_is_noticed(void)
{
    control.no_second_look = true;
    CHECK(violations_of(300, false) > 0);
    control.no_second_look = false;
    control.no_lock = true;
    CHECK(violations_of(300, false) > 0);
    control.no_lock = false;
    control.no_name_check = true;
    CHECK(violations_of(2000, true) > 0);
    control.no_name_check = false;
}

/* A process that is stopped while it makes the segment delays the others, but
 * not for ever. None of them makes a second segment. */
static void
test_a_stopped_maker_delays_others_for_a_bounded_time(void)
{
    violations = failed = 0;
    kept = 0;
    actor_count = 0;
    actor *maker = add_process(false, false),
          *other = add_process(false, false);
    while (maker->mappings[0].at == NULL) {
        resume(maker);
    }
    long steps = 0;
    while (!other->done && steps++ < 40L * PATIENCE_MS) {
        resume(other);
    }
    CHECK(other->done && failed == 1);
    CHECK(count_files(false) == 1);
    while (!maker->done) {
        resume(maker);
    }
    CHECK(failed == 1 && violations == 0);
    CHECK(count_files(true) == 0);
}

/* The attempts count too, not only the sleep between them. */
static void
test_patience_is_a_time_and_not_a_number_of_attempts(void)
{
    violations = failed = 0;
    kept = 0;
    actor_count = 0;
    actor *maker = add_process(false, false),
          *other = add_process(false, false);
    while (maker->mappings[0].at == NULL) {
        resume(maker);
    }
    control.step_us = 100000;
    int64_t start = fta_clock_monotonic_us();
    while (!other->done &&
           fta_clock_monotonic_us() - start < INT64_C(3000) * PATIENCE_MS) {
        resume(other);
    }
    int64_t took = fta_clock_monotonic_us() - start;
    control.step_us = 0;
    CHECK(other->done && failed == 1);
    CHECK(took >= INT64_C(1000) * PATIENCE_MS);
    CHECK(took < INT64_C(2500) * PATIENCE_MS);
    while (!maker->done) {
        resume(maker);
    }
    CHECK(failed == 1 && violations == 0);
    CHECK(count_files(true) == 0);
}

static void
run_alone(bool counts)
{
    actor_count = 0;
    actor *a = add_process(counts, false);
    for (int steps = 0; !a->done && steps < STEPS_MAX; steps++) {
        resume(a);
    }
    CHECK(a->done);
}

/* A process that gets an error of the system neither removes what others have
 * counted nor makes a second segment. */
static void
test_a_process_with_an_error_of_the_system_changes_nothing(void)
{
    violations = failed = 0;
    kept = 0;
    run_alone(true);
    CHECK(kept == 2 && failed == 0 && count_files(false) == 1);
    control.no_memory = true;
    run_alone(true);
    control.no_memory = false;
    CHECK(failed == 1 && count_files(false) == 1);
    control.no_directory = true;
    run_alone(true);
    control.no_directory = false;
    CHECK(failed == 2 && count_files(false) == 1);
    run_alone(true);
    CHECK(kept == 4 && failed == 2 && violations == 0);
    CHECK(count_files(true) == 1);
}

/* An argument multiplies the number of histories. */
int
main(int argc, char **argv)
{
    uint64_t more = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    actors_begin();
    snprintf(directory, sizeof directory, "%s/fta-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    test_all_processes_use_one_segment(more);
    test_a_rule_that_is_switched_off_is_noticed();
    test_a_process_with_an_error_of_the_system_changes_nothing();
    test_a_stopped_maker_delays_others_for_a_bounded_time();
    test_patience_is_a_time_and_not_a_number_of_attempts();

    (void)count_files(true);
    CHECK(rmdir(directory) == 0);
    actors_end();
    return check_report("test_segment_protocol");
}
