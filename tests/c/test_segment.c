#include "base/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"

#define BYTES ((size_t)64 << 10)

static char directory[64];

static fta_segment_purpose purpose = {
    .layout = 1, .app = {"app", 3}, .prefix = {"prefix", 6}};

static fta_status
fill(void *memory, size_t bytes)
{
    (void)bytes;
    return RAND_bytes(memory, 16) == 1 ? FTA_OK : FTA_CRYPTO;
}

static fta_status
open_of(const fta_segment_purpose *which, size_t bytes, fta_segment **out)
{
    int error;
    *out = NULL;
    fta_status status =
        fta_segment_shared(directory, which, bytes, fill, out, &error);
    CHECK((status == FTA_OK) == (*out != NULL));
    return status;
}

static fta_segment *
open_it(void)
{
    fta_segment *segment;
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_OK);
    if (segment == NULL) {
        exit(check_report("test_segment"));
    }
    return segment;
}

static int
file_count(void)
{
    int count = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

static void
remove_all(void)
{
    DIR *dir = opendir(directory);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            CHECK(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
        }
    }
    closedir(dir);
}

static bool
is_same(fta_segment *a, fta_segment *b)
{
    return memcmp(fta_segment_memory(a), fta_segment_memory(b), 16) == 0;
}

/* Runs in a child; true if it exited with success. */
static bool
in_child(void (*run)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&checks_failed, 0);
        run();
        _exit(atomic_load(&checks_failed) != 0);
    }
    int how;
    return waitpid(child, &how, 0) == child && WIFEXITED(how) &&
           WEXITSTATUS(how) == 0;
}

static void
test_processes_with_one_purpose_use_one_segment(void)
{
    fta_segment *a = open_it(), *b = open_it();
    CHECK(is_same(a, b));
    ((char *)fta_segment_memory(a))[100] = 42;
    CHECK(((char *)fta_segment_memory(b))[100] == 42);
    CHECK(fta_segment_bytes(a) < BYTES);
    CHECK(file_count() == 1);

    struct stat st;
    CHECK(stat(fta_segment_path(a), &st) == 0);
    CHECK((st.st_mode & 07777) == 0600 && st.st_uid == geteuid());

    fta_segment_purpose others[] = {purpose, purpose, purpose};
    others[0].layout = 2;
    others[1].app = (fta_text){"appp", 4}; /* Parts that run together: */
    others[1].prefix = (fta_text){"refix", 5};
    others[2].prefix = (fta_text){NULL, 0};
    for (size_t i = 0; i < 3; i++) {
        fta_segment *other;
        CHECK(open_of(&others[i], BYTES, &other) == FTA_OK);
        CHECK(!is_same(a, other));
        fta_segment_close(other);
    }

    /* Nothing is to be kept: the last user that leaves removes the file. */
    fta_segment_leave(a);
    CHECK(fta_segment_path(a) == NULL);
    CHECK(file_count() == 1);
    CHECK(((char *)fta_segment_memory(a))[100] == 0); /* Blank, but there. */
    fta_segment_leave(a);
    fta_segment_close(b);
    CHECK(file_count() == 0);
    fta_segment_close(a);
    fta_segment_close(NULL);
}

static fta_segment *inherited;

static void
child_leaves(void)
{
    ((char *)fta_segment_memory(inherited))[200] = 7;
    fta_segment_close(inherited);
    CHECK(file_count() == 1);
}

static void
child_opens(void)
{
    fta_segment *segment = open_it();
    CHECK(((char *)fta_segment_memory(segment))[200] == 7);
    fta_segment_close(segment);
    CHECK(file_count() == 1);
}

static void
test_a_child_uses_the_segment_of_its_parent(void)
{
    inherited = open_it();
    CHECK(in_child(child_leaves)); /* The parent is still there. */
    CHECK(((char *)fta_segment_memory(inherited))[200] == 7);
    CHECK(in_child(child_opens));

    /* The parent leaves first: the child that goes on removes the file. */
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ready[1]);
        (void)!read(ready[0], &byte, 1);
        CHECK(file_count() == 1);
        fta_segment_close(inherited);
        _exit(file_count());
    }
    close(ready[0]);
    fta_segment_close(inherited);
    close(ready[1]);
    int how;
    CHECK(waitpid(child, &how, 0) == child);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

#define FAR_US (fta_clock_monotonic_us() + INT64_C(3600000000))

static void
test_a_segment_is_kept_until_its_time(void)
{
    fta_segment *a = open_it();
    ((char *)fta_segment_memory(a))[100] = 42;
    fta_segment_keep_until(a, FAR_US);
    fta_segment_leave(a); /* Changes nothing: */
    CHECK(((char *)fta_segment_memory(a))[100] == 42);
    CHECK(fta_segment_path(a) != NULL);
    fta_segment_close(a);
    CHECK(file_count() == 1);

    /* A later process uses it, whatever the real clock says. */
    fta_clock_shift(-INT64_C(400) * 86400 * 1000000, 0);
    a = open_it();
    CHECK(((char *)fta_segment_memory(a))[100] == 42);
    fta_segment_close(a);
    fta_clock_shift(INT64_C(900) * 86400 * 1000000, 0);
    a = open_it();
    CHECK(((char *)fta_segment_memory(a))[100] == 42);
    CHECK(file_count() == 1);

    /* An earlier time does not shorten it. */
    fta_segment_keep_until(a, 1);
    fta_segment_close(a);
    CHECK(file_count() == 1);

    /* After that time the next process finds an empty segment. */
    fta_clock_shift(0, INT64_C(3602) * 1000000);
    a = open_it();
    CHECK(((char *)fta_segment_memory(a))[100] == 0);
    CHECK(file_count() == 1);
    fta_segment_close(a);
    CHECK(file_count() == 0);
    fta_clock_reset();
}

/* So an app that is never started again leaves no file for ever. */
static void
test_any_opening_removes_abandoned_files(void)
{
    fta_segment_purpose gone = purpose;
    fta_segment *other, *a;
    char corpse[128], stranger[128], used[128];
    gone.app = (fta_text){"gone", 4};
    CHECK(open_of(&gone, BYTES, &other) == FTA_OK);
    snprintf(used, sizeof used, "%s", fta_segment_path(other));
    fta_segment_keep_until(other, FAR_US);
    fta_segment_close(other);
    snprintf(corpse, sizeof corpse, "%s/fta-%032x-%016x", directory, 1, 1);
    close(open(corpse, O_CREAT | O_RDWR, 0600));
    snprintf(stranger, sizeof stranger, "%s/fta-notes", directory);
    close(open(stranger, O_CREAT | O_RDWR, 0600));

    a = open_it();
    CHECK(access(corpse, F_OK) != 0);
    CHECK(access(stranger, F_OK) == 0); /* Has not a name of ours. */
    CHECK(access(used, F_OK) == 0);     /* Is to be kept. */
    fta_segment_close(a);
    fta_clock_shift(0, INT64_C(3602) * 1000000);
    CHECK(open_of(&gone, BYTES, &other) == FTA_OK);
    snprintf(used, sizeof used, "%s", fta_segment_path(other));
    fta_segment_close(open_it());
    CHECK(access(used, F_OK) == 0); /* Is in use. */
    fta_segment_close(other);
    unlink(stranger);
    CHECK(file_count() == 0);

    /* Of another boot: its times mean nothing. */
    fta_clock_reset();
    CHECK(open_of(&gone, BYTES, &other) == FTA_OK);
    fta_segment_keep_until(other, FAR_US);
    snprintf(used, sizeof used, "%s", fta_segment_path(other));
    fta_segment_close(other);
    int fd = open(used, O_RDWR);
    char byte;
    CHECK(pread(fd, &byte, 1, 30) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, 30) == 1);
    close(fd);
    fta_segment_close(open_it());
    CHECK(file_count() == 0);
}

/* The directory is full of files of other purposes. */
static void
test_a_segment_opens_among_many_files(void)
{
    enum { FILES = 300 };
    char path[128];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/fta-%032x-%016x", directory, i, 1);
        close(open(path, O_CREAT | O_RDWR, 0600));
    }
    fta_segment *a = open_it();
    CHECK(file_count() < FILES); /* Some are gone, */
    fta_segment_close(a);
    for (int i = 0; i < 10; i++) {
        fta_segment_close(open_it());
    }
    CHECK(file_count() == 0); /* and the others later. */
}

/* Files that stay do not keep the sweep from those behind them. */
static void
test_abandoned_files_behind_files_that_stay_are_removed(void)
{
    enum { STAY = 200, GONE = 8 };
    char path[128], app[32];
    for (int i = 0; i < STAY; i++) {
        fta_segment *stays;
        fta_segment_purpose which = purpose;
        snprintf(app, sizeof app, "stays %d", i);
        which.app = (fta_text){app, strlen(app)};
        CHECK(open_of(&which, BYTES, &stays) == FTA_OK);
        fta_segment_keep_until(stays, FAR_US);
        fta_segment_close(stays);
    }
    for (int i = 0; i < GONE; i++) {
        snprintf(path, sizeof path, "%s/fta-%032x-%016x", directory, i, 1);
        close(open(path, O_CREAT | O_RDWR, 0600));
    }
    CHECK(file_count() == STAY + GONE);
    fta_segment *a = open_it();
    CHECK(file_count() == STAY + 1);
    fta_segment_keep_until(a, FAR_US);
    fta_segment_close(a);
    CHECK(file_count() == STAY + 1);
    remove_all();
}

/* A daemon closes unknown descriptors, and the number may be reused. */
static void
test_a_descriptor_closed_by_other_code_is_left_alone(void)
{
    fta_segment *segment = open_it();
    for (int fd = 3; fd < 64; fd++) {
        close(fd);
    }
    int theirs = open("/dev/null", O_RDONLY);
    while (theirs < 16) {
        theirs = dup(theirs);
    }
    fta_segment_leave(segment);
    CHECK(fcntl(theirs, F_GETFD) >= 0);
    for (int fd = 3; fd <= theirs; fd++) {
        CHECK(fcntl(fd, F_GETFD) >= 0);
        close(fd);
    }
    fta_segment_close(segment);
    /* The file stayed; the next user removes it. */
    CHECK(file_count() == 1);
    fta_segment_close(open_it());
    CHECK(file_count() == 0);
}

static void
die_in_the_open(void)
{
    fta_segment *segment = open_it();
    ((char *)fta_segment_memory(segment))[300] = 3;
    fta_segment_keep_until(segment, FAR_US);
    raise(SIGKILL);
}

static fta_status
die_while_filling(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    raise(SIGKILL);
    return FTA_SYSTEM;
}

static void
die_while_making(void)
{
    fta_segment *segment;
    int error;
    (void)fta_segment_shared(directory, &purpose, BYTES, die_while_filling,
                             &segment, &error);
}

static void
test_a_killed_process_leaves_a_segment_that_works(void)
{
    /* A crash does not reset the counters: */
    CHECK(!in_child(die_in_the_open));
    CHECK(file_count() == 1);
    fta_segment *segment = open_it();
    CHECK(((char *)fta_segment_memory(segment))[300] == 3);
    fta_segment_close(segment);
    remove_all();
    /* but an incomplete segment is never used. */
    CHECK(!in_child(die_while_making));
    CHECK(file_count() == 1);
    segment = open_it();
    CHECK(((char *)fta_segment_memory(segment))[300] == 0);
    fta_segment_close(segment);
    CHECK(file_count() == 0);
}

static void
path_of(char out[128])
{
    fta_segment *segment = open_it();
    snprintf(out, 128, "%s", fta_segment_path(segment));
    fta_segment_close(segment);
}

static void
write_file(const char *path, const void *data, size_t length, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, data, length) == (ssize_t)length);
    CHECK(fchmod(fd, mode) == 0);
    close(fd);
}

/* Whether what is opened has the byte of test_an_unusable_file_is_replaced in
 * it. */
static bool
holds_copy(void)
{
    fta_segment *segment = open_it();
    bool holds = ((char *)fta_segment_memory(segment))[5000 - 4096] == 1;
    CHECK(file_count() == 1);
    fta_segment_close(segment);
    remove_all();
    return holds;
}

static void
test_an_unusable_file_is_replaced(void)
{
    static char garbage[BYTES];
    char path[128];
    path_of(path);
    memset(garbage, 0xA5, sizeof garbage);
    static const size_t lengths[] = {0, 1, 4096, 8191, 8192, BYTES};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_file(path, garbage, lengths[i], 0600);
        fta_segment *segment = open_it();
        CHECK(((uint8_t *)fta_segment_memory(segment))[5000] == 0);
        fta_segment_close(segment);
        CHECK(file_count() == 0);
    }

    /* A complete segment: truncated, with a hole, or of another purpose. */
    fta_segment *good = open_it();
    fta_segment_keep_until(good, FAR_US);
    int fd = open(fta_segment_path(good), O_RDONLY);
    CHECK(read(fd, garbage, sizeof garbage) == (ssize_t)sizeof garbage);
    close(fd);
    fta_segment_close(good);
    remove_all();
    garbage[5000] = 1;
    write_file(path, garbage, BYTES, 0600);
    CHECK(holds_copy()); /* A positive control: the copy would do. */
    write_file(path, garbage, BYTES - 4096, 0600);
    CHECK(!holds_copy());
#ifdef __linux__
    write_file(path, garbage, 8192, 0600);
    CHECK(truncate(path, BYTES) == 0);
    CHECK(!holds_copy());
#endif
    garbage[60] ^= 1;
    write_file(path, garbage, BYTES, 0600);
    CHECK(!holds_copy());
    garbage[60] ^= 1;
    garbage[7] ^= 1;
    write_file(path, garbage, BYTES, 0600);
    CHECK(!holds_copy());
    CHECK(file_count() == 0);
}

static void
test_a_file_that_others_may_use_is_not_used(void)
{
    char path[128], target[128];
    fta_segment *segment;
    path_of(path);

    write_file(path, "", 0, 0640);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    unlink(path);

    snprintf(target, sizeof target, "%s/target", directory);
    CHECK(symlink(target, path) == 0);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    write_file(target, "", 0, 0600);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    unlink(path);
    unlink(target);

    CHECK(mkdir(path, 0700) == 0);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    rmdir(path);

    CHECK(mkfifo(path, 0600) == 0);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    unlink(path);

    /* A file with a second name. */
    segment = open_it();
    fta_segment_keep_until(segment, FAR_US);
    CHECK(link(fta_segment_path(segment), target) == 0);
    fta_segment_close(segment);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_SEGMENT_FOREIGN);
    unlink(target);
    CHECK(open_of(&purpose, BYTES, &segment) == FTA_OK);
    fta_segment_close(segment);
    remove_all();

    if (geteuid() == 0) { /* Only root can make a file of another user. */
        CHECK(open_of(&purpose, BYTES, &segment) == FTA_OK);
        CHECK(fta_segment_foreign(segment) == NULL);
        fta_segment_close(segment);
        write_file(path, "", 0, 0600);
        CHECK(chown(path, 12345, 12345) == 0);
        CHECK(open_of(&purpose, BYTES, &segment) == FTA_OK);
        CHECK(fta_segment_foreign(segment) != NULL);
        CHECK(strcmp(fta_segment_path(segment), path) != 0);
        fta_segment_close(segment);
        unlink(path);
    }
    CHECK(file_count() == 0);
}

static void
test_an_error_of_the_system_is_returned(void)
{
    fta_segment *segment;
    int error;
    CHECK(fta_segment_shared("/proc", &purpose, BYTES, fill, &segment,
                             &error) == FTA_SYSTEM);
    CHECK(error != 0);
    CHECK(fta_segment_shared("/nowhere", &purpose, BYTES, fill, &segment,
                             &error) == FTA_SYSTEM);
    CHECK(error == ENOENT);
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK(fta_segment_shared(longest, &purpose, BYTES, fill, &segment,
                             &error) == FTA_SYSTEM);
    CHECK(error == ENAMETOOLONG);

    /* A full directory: an error at once, no file left, no SIGBUS later. */
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = BYTES / 2;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK(fta_segment_shared(directory, &purpose, BYTES, fill, &segment,
                             &error) == FTA_SYSTEM);
    CHECK(error == EFBIG);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(file_count() == 0);
}

static void
test_the_size_changes_only_when_nothing_is_kept(void)
{
    fta_segment *a = open_it(), *b;
    CHECK(open_of(&purpose, 2 * BYTES, &b) == FTA_OK);
    CHECK(is_same(a, b) && fta_segment_bytes(a) == fta_segment_bytes(b));
    CHECK(fta_segment_whole_bytes(b) == BYTES);
    fta_segment_close(a);
    fta_segment_close(b);
    /* Content that is to be kept outweighs the size. */
    CHECK(!in_child(die_in_the_open));
    CHECK(open_of(&purpose, 2 * BYTES, &b) == FTA_OK);
    CHECK(((char *)fta_segment_memory(b))[300] == 3);
    CHECK(fta_segment_whole_bytes(b) == BYTES);
    fta_segment_close(b);
    fta_clock_shift(0, INT64_C(3602) * 1000000);
    CHECK(open_of(&purpose, 2 * BYTES, &b) == FTA_OK);
    CHECK(fta_segment_whole_bytes(b) == 2 * BYTES);
    fta_segment_close(b);
    CHECK(file_count() == 0);
    fta_clock_reset();
}

static void
test_the_free_bytes_of_a_directory_are_known(void)
{
    CHECK(fta_segment_free_bytes(directory) > 0);
    CHECK(fta_segment_free_bytes("/nowhere") == 0);
}

/* Many open and leave at once, and some are killed meanwhile. */
static void
come_and_go(void)
{
    for (int i = 0; i < 30; i++) {
        fta_segment *a = open_it(), *b = open_it();
        CHECK(is_same(a, b));
        fta_segment_close(a);
        fta_segment_close(b);
    }
}

static void
test_many_processes_at_once_use_one_segment(void)
{
    enum { PROCESSES = 8, ROUNDS = 6 };
    fflush(NULL);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                atomic_store(&checks_failed, 0);
                come_and_go();
                _exit(atomic_load(&checks_failed) != 0);
            }
        }
        bool killing = round % 2 == 1;
        for (int i = 0; i < PROCESSES / 2 && killing; i++) {
            usleep(500);
            kill(children[i], SIGKILL);
        }
        for (int i = 0; i < PROCESSES; i++) {
            int how;
            CHECK(waitpid(children[i], &how, 0) == children[i]);
            CHECK((WIFEXITED(how) && WEXITSTATUS(how) == 0) ||
                  (killing && i < PROCESSES / 2 && WIFSIGNALED(how)));
        }
        fta_segment_close(open_it());
        CHECK(file_count() == 0);
    }
}

static void
test_private_memory_has_no_file(void)
{
    fta_segment *a, *b;
    CHECK(fta_segment_private(BYTES, fill, &a) == FTA_OK);
    CHECK(fta_segment_private(BYTES, fill, &b) == FTA_OK);
    CHECK(!is_same(a, b));
    CHECK(fta_segment_path(a) == NULL && file_count() == 0);
    fta_segment_leave(a);
    CHECK(!is_same(a, b));
    fta_segment_close(a);
    fta_segment_close(b);
}

static fta_status
fail_to_fill(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    return FTA_CRYPTO;
}

static void
test_a_failing_fill_or_allocation_leaves_no_file(void)
{
    fta_segment *segment;
    int error;
    CHECK(fta_segment_private(BYTES, fail_to_fill, &segment) == FTA_CRYPTO);
    CHECK(fta_segment_shared(directory, &purpose, BYTES, fail_to_fill, &segment,
                             &error) == FTA_CRYPTO);
    CHECK(file_count() == 0);
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status shared = fta_segment_shared(directory, &purpose, BYTES, fill,
                                               &segment, &error);
        if (!failing_alloc_stop()) {
            fta_segment_close(segment);
            break;
        }
        CHECK(shared == FTA_NO_MEMORY);
        CHECK(file_count() == 0);
    }
    failing_alloc_start(0);
    CHECK(fta_segment_private(BYTES, fill, &segment) == FTA_NO_MEMORY);
    CHECK(failing_alloc_stop());
}

int
main(void)
{
    snprintf(directory, sizeof directory, "/tmp/fta-test-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    test_processes_with_one_purpose_use_one_segment();
    test_a_child_uses_the_segment_of_its_parent();
    test_a_segment_is_kept_until_its_time();
    test_any_opening_removes_abandoned_files();
    test_a_segment_opens_among_many_files();
    test_abandoned_files_behind_files_that_stay_are_removed();
    test_a_descriptor_closed_by_other_code_is_left_alone();
    test_a_killed_process_leaves_a_segment_that_works();
    test_an_unusable_file_is_replaced();
    test_a_file_that_others_may_use_is_not_used();
    test_an_error_of_the_system_is_returned();
    test_the_size_changes_only_when_nothing_is_kept();
    test_the_free_bytes_of_a_directory_are_known();
    test_many_processes_at_once_use_one_segment();
    test_private_memory_has_no_file();
    test_a_failing_fill_or_allocation_leaves_no_file();
    CHECK(rmdir(directory) == 0);
    return check_report("test_segment");
}
