#include "concurrency/permits.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "check.h"
#include "child.h"
#include "failing_alloc.h"
#include "shared_directory.h"

static fta_permits *
open_in(const char *where, bool shared)
{
    fta_permits_options options = {.app = {"app", 3},
                                   .prefix = {"prefix", 6},
                                   .shared = shared,
                                   .directory = where};
    fta_permits *permits = NULL;
    int unshared;
    CHECK(fta_permits_open(&options, &permits, &unshared) == FTA_OK);
    if (permits == NULL) {
        exit(check_report("test_permits"));
    }
    return permits;
}

static fta_permits *
open_it(void)
{
    return open_in(shared_directory, true);
}

static bool
take(fta_permits *permits, const char *key, unsigned most, fta_permit *out)
{
    CHECK(fta_permits_take(permits, (const uint8_t *)key, strlen(key), most,
                           out) == FTA_OK);
    return out->word != 0;
}

/* How many more can be taken; they are given back. */
static unsigned
left(fta_permits *permits, const char *key, unsigned most)
{
    fta_permit taken[64];
    unsigned count = 0;
    while (count < 64 && take(permits, key, most, &taken[count])) {
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        fta_permits_release(permits, &taken[i]);
    }
    return count;
}

static void
test_there_are_as_many_permits_as_the_caller_says(void)
{
    fta_permits *permits = open_it();
    fta_permit a, b, none;
    CHECK(take(permits, "ann", 2, &a));
    CHECK(take(permits, "ann", 2, &b));
    CHECK(!take(permits, "ann", 2, &none));
    CHECK(none.word == 0);
    CHECK(left(permits, "ben", 2) == 2);
    fta_permits_release(permits, &none);
    fta_permits_release(permits, &a);
    CHECK(left(permits, "ann", 2) == 1);
    fta_permits_release(permits, &a); /* Once more: nothing happens. */
    CHECK(left(permits, "ann", 2) == 1);
    fta_permits_release(permits, &b);
    CHECK(left(permits, "ann", 2) == 2);
    CHECK(left(permits, "ann", 0) == 0);
    fta_permits_close(permits);
}

static void
test_callers_with_other_numbers_share_what_is_taken(void)
{
    fta_permits *permits = open_it();
    fta_permit taken[3], none;
    for (int i = 0; i < 3; i++) {
        CHECK(take(permits, "ann", 5, &taken[i]));
    }
    CHECK(!take(permits, "ann", 2, &none));
    CHECK(left(permits, "ann", 4) == 1);
    fta_permits_release(permits, &taken[0]);
    fta_permits_release(permits, &taken[1]);
    CHECK(left(permits, "ann", 2) == 1);
    fta_permits_close(permits);
}

static void
test_tables_of_one_app_share_their_permits(void)
{
    fta_permits *one = open_it(), *other = open_it();
    fta_permit permit, none;
    fta_permits_usage usage;
    CHECK(take(one, "ann", 1, &permit));
    CHECK(!take(other, "ann", 1, &none));
    fta_permits_usage_read(other, &usage);
    CHECK(usage.path != NULL && usage.foreign == NULL && usage.taken == 1);
    fta_permits_release(other, &permit); /* It is not the other's. */
    CHECK(!take(other, "ann", 1, &none));
    fta_permits_close(one); /* As if its process had ended. */
    CHECK(left(other, "ann", 1) == 1);
    fta_permits_close(other);
}

/* -- Processes ------------------------------------------------------------- */

static void
take_two(void *permits)
{
    fta_permit permit;
    CHECK(take(permits, "ann", 3, &permit));
    CHECK(take(permits, "ann", 3, &permit));
}

static void
test_the_permits_of_a_killed_process_are_free(void)
{
    fta_permits *permits = open_it();
    for (int i = 0; i < 20; i++) {
        pid_t child = child_start(take_two, permits);
        CHECK(left(permits, "ann", 3) == 1);
        child_end(child);
        CHECK(left(permits, "ann", 3) == 3);
    }
    fta_permits_close(permits);
}

static void
test_a_table_whose_file_was_removed_goes_on(void)
{
    fta_permits_usage usage;
    fta_permits *permits = open_it();
    fta_permits_usage_read(permits, &usage);
    CHECK(usage.path != NULL && unlink(usage.path) == 0);
    pid_t child = child_start(take_two, permits);
    CHECK(left(permits, "ann", 3) == 1);
    child_end(child);
    CHECK(left(permits, "ann", 3) == 3);
    fta_permits_close(permits);
}

static fta_permit of_parent;

static void
release_what_the_parent_took(void *permits)
{
    fta_permit none;
    fta_permits_release(permits, &of_parent);
    CHECK(left(permits, "ann", 3) == 2);
    fta_permits_release(permits, &of_parent); /* It has a number by now. */
    CHECK(left(permits, "ann", 3) == 2);
    CHECK(!take(permits, "ann", 1, &none));
}

static void
test_a_child_does_not_own_the_permits_of_its_parent(void)
{
    fta_permits *permits = open_it();
    CHECK(take(permits, "ann", 3, &of_parent));
    child_end(child_start(release_what_the_parent_took, permits));
    CHECK(left(permits, "ann", 3) == 2);
    fta_permits_release(permits, &of_parent);
    CHECK(left(permits, "ann", 3) == 3);
    fta_permits_close(permits);
}

static int lives_on[2];

static void
take_two_and_have_a_child(void *permits)
{
    take_two(permits);
    if (fork() == 0) {
        char byte;
        close(lives_on[1]);
        (void)!read(lives_on[0], &byte, 1); /* Until the test closes it. */
        child_leave(true);
    }
    close(lives_on[1]);
}

static void
test_a_child_that_lives_on_does_not_keep_the_permits_of_its_parent(void)
{
    CHECK(pipe(lives_on) == 0);
    fta_permits *permits = open_it();
    pid_t child = child_start(take_two_and_have_a_child, permits);
    CHECK(left(permits, "ann", 3) == 1);
    child_end(child);
    CHECK(left(permits, "ann", 3) == 3);
    close(lives_on[0]);
    close(lives_on[1]);
    fta_permits_close(permits);
}

static void
take_two_and_close_all_descriptors(void *permits)
{
    take_two(permits);
    /* Daemons do that. Those of the pipe that reports are left open. */
    for (int fd = 3; fd < 64; fd++) {
        if (fcntl(fd, F_GETFD) == FD_CLOEXEC) {
            close(fd);
        }
    }
}

static void
test_a_process_that_closes_all_descriptors_keeps_its_permits(void)
{
    fta_permits *permits = open_it();
    pid_t child = child_start(take_two_and_close_all_descriptors, permits);
    CHECK(left(permits, "ann", 3) == 1);
    child_end(child);
    CHECK(left(permits, "ann", 3) == 3);
    fta_permits_close(permits);
}

static void
test_a_process_that_becomes_another_program_has_no_permits(void)
{
    fta_permits *permits = open_it();
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) {
        take_two(permits);
        (void)execlp("sleep", "sleep", "60", (char *)NULL);
        child_leave(false);
    }
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 0); /* Closed by exec. */
    /* The kernel drops the old memory before the new program runs. */
    for (int i = 0; i < 5000 && left(permits, "ann", 3) != 3; i++) {
        pause_us(1000);
    }
    CHECK(left(permits, "ann", 3) == 3);
    close(ends[0]);
    child_end(child);
    fta_permits_close(permits);
}

/* A process is stopped: it lives, and so do its permits. */
static void
test_a_process_that_is_stopped_keeps_its_permits(void)
{
    fta_permits *permits = open_it();
    pid_t child = child_start(take_two, permits);
    CHECK(kill(child, SIGSTOP) == 0);
    CHECK(waitpid(child, NULL, WUNTRACED) == child);
    CHECK(left(permits, "ann", 3) == 1);
    child_end(child);
    fta_permits_close(permits);
}

/* -- Many at once ---------------------------------------------------------- */

#define PROCESSES 4
#define THREADS 8
#define MOST 5

typedef struct shared {
    atomic_int waiting;
    atomic_int taken;
    atomic_int inside;
    atomic_int most_inside;
    atomic_int rounds;
    atomic_int pids[PROCESSES * THREADS]; /* Who is inside. */
} shared;

static shared *counted;

static shared *
share(void)
{
    void *memory = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void
wait_for_all(atomic_int *count, int all)
{
    atomic_fetch_add(count, 1);
    while (atomic_load(count) < all) {
        pause_us(100);
    }
}

static void *
take_at_once(void *context)
{
    fta_permits *permits = context;
    fta_permit permit;
    wait_for_all(&counted->waiting, PROCESSES * THREADS);
    if (take(permits, "ann", MOST, &permit)) {
        atomic_fetch_add(&counted->taken, 1);
    }
    wait_for_all(&counted->rounds, PROCESSES * THREADS);
    return NULL;
}

static void *
serve(void *context)
{
    fta_permits *permits = context;
    for (int i = 0; i < 300; i++) {
        fta_permit permit;
        if (!take(permits, "ann", MOST, &permit)) {
            pause_us(50);
            continue;
        }
        int now = atomic_fetch_add(&counted->inside, 1) + 1;
        int most = atomic_load(&counted->most_inside);
        while (now > most && !atomic_compare_exchange_weak(
                                 &counted->most_inside, &most, now)) {
        }
        pause_us(20);
        atomic_fetch_sub(&counted->inside, 1);
        fta_permits_release(permits, &permit);
    }
    return NULL;
}

/* Runs a function in threads of processes that meet by the name alone. */
static void
run_everywhere(void *(*run)(void *))
{
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            pthread_t threads[THREADS];
            fta_permits *own = open_it();
            for (int t = 0; t < THREADS; t++) {
                CHECK(pthread_create(&threads[t], NULL, run, own) == 0);
            }
            for (int t = 0; t < THREADS; t++) {
                CHECK(pthread_join(threads[t], NULL) == 0);
            }
            child_leave(atomic_load(&checks_failed) == 0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        CHECK(child_was_good(children[i]));
    }
}

static void
test_threads_of_processes_get_exactly_all_permits(void)
{
    fta_permits *permits = open_it();
    for (int round = 0; round < 10; round++) {
        counted = share();
        run_everywhere(take_at_once);
        CHECK(atomic_load(&counted->taken) == MOST);
        CHECK(left(permits, "ann", MOST) == MOST);
        (void)munmap(counted, sizeof *counted);
    }
    fta_permits_close(permits);
}

static void
test_there_are_never_more_inside_and_all_permits_are_used(void)
{
    fta_permits *permits = open_it();
    counted = share();
    run_everywhere(serve);
    CHECK(atomic_load(&counted->most_inside) == MOST);
    CHECK(atomic_load(&counted->inside) == 0);
    CHECK(left(permits, "ann", MOST) == MOST);
    (void)munmap(counted, sizeof *counted);
    fta_permits_close(permits);
}

/* -- Killed at random ------------------------------------------------------ */

/* Whether a process runs: not a zombie, and not gone. */
static bool
is_running(pid_t pid)
{
    char path[32], text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    const char *state = got > 0 ? strrchr(text, ')') : NULL;
    return state != NULL && state[2] != 'Z' && state[2] != 'X';
}

static int
running_inside(void)
{
    int count = 0;
    for (int i = 0; i < PROCESSES; i++) {
        int pid = atomic_load(&counted->pids[i]);
        count += pid != 0 && is_running(pid);
    }
    return count;
}

static void
serve_until_killed(fta_permits *permits, int place)
{
    for (;;) {
        fta_permit permit;
        if (!take(permits, "ann", 2, &permit)) {
            continue;
        }
        atomic_store(&counted->pids[place], (int)getpid());
        int inside = 0;
        for (int i = 0; i < PROCESSES; i++) {
            inside += atomic_load(&counted->pids[i]) != 0;
        }
        /* A killed one may stand there still. */
        if (inside > 2 && running_inside() > 2) {
            atomic_fetch_add(&counted->taken, 1);
        }
        atomic_fetch_add(&counted->rounds, 1);
        atomic_store(&counted->pids[place], 0);
        fta_permits_release(permits, &permit);
    }
}

static void
test_processes_that_are_killed_at_random_lose_and_double_no_permit(void)
{
    fta_permits *permits = open_it();
    pid_t children[PROCESSES] = {0};
    unsigned seed = 1;
    counted = share();
    for (int kills = 0; kills < 200; kills++) {
        for (int i = 0; i < PROCESSES; i++) {
            if (children[i] == 0) {
                children[i] = fork();
                if (children[i] == 0) {
                    serve_until_killed(permits, i);
                }
            }
        }
        seed = seed * 1103515245u + 12345u;
        pause_us((long)(seed >> 16) % 3000);
        int victim = (int)((seed >> 8) % PROCESSES);
        child_end(children[victim]);
        atomic_store(&counted->pids[victim], 0);
        children[victim] = 0;
    }
    for (int i = 0; i < PROCESSES; i++) {
        if (children[i] != 0) {
            child_end(children[i]);
        }
    }
    CHECK(atomic_load(&counted->taken) == 0); /* Never more than two. */
    CHECK(atomic_load(&counted->rounds) > 200);
    CHECK(left(permits, "ann", 2) == 2);
    (void)munmap(counted, sizeof *counted);
    fta_permits_close(permits);
}

/* -- What can go wrong ----------------------------------------------------- */

static void
test_a_full_table_gives_no_permit_and_works_again_later(void)
{
    enum { MANY = 200000 };
    fta_permits *permits = open_it();
    fta_permit *taken = calloc(MANY, sizeof *taken);
    fta_status status = FTA_OK;
    size_t count = 0, got = 0;
    while (taken != NULL && count < MANY && status == FTA_OK) {
        status = fta_permits_take(permits, (const uint8_t *)&count,
                                  sizeof count, 1, &taken[count]);
        got += taken[count++].word != 0;
    }
    CHECK(status == FTA_PERMITS_FULL);
    CHECK(got + 100 > count); /* Some meet in one tag. */
    for (size_t i = 0; i < count; i++) {
        fta_permits_release(permits, &taken[i]);
    }
    fta_permits_usage usage;
    fta_permits_usage_read(permits, &usage);
    CHECK(usage.taken == 0);
    CHECK(left(permits, "ann", 3) == 3);
    free(taken);
    fta_permits_close(permits);
}

static void
take_all_three(void *permits)
{
    CHECK(left(permits, "ann", 3) == 3);
}

static void
test_without_shared_memory_each_process_has_its_own_permits(void)
{
    fta_permits_options options = {.shared = true,
                                   .directory = "/dev/null/none"};
    fta_permits *permits = NULL;
    int unshared;
    fta_permit permit;
    CHECK(fta_permits_open(&options, &permits, &unshared) == FTA_OK);
    CHECK(unshared != 0);
    CHECK(take(permits, "ann", 3, &permit));
    fta_permits_usage usage;
    fta_permits_usage_read(permits, &usage);
    CHECK(usage.path == NULL && usage.taken == 1);
    child_end(child_start(take_all_three, permits));
    CHECK(left(permits, "ann", 3) == 2);
    fta_permits_leave(permits); /* Changes nothing. */
    CHECK(left(permits, "ann", 3) == 2);
    fta_permits_close(permits);
}

static void
test_a_table_that_was_left_takes_permits_back(void)
{
    fta_permits *permits = open_it();
    fta_permit permit;
    CHECK(take(permits, "ann", 3, &permit));
    fta_permits_leave(permits);
    fta_permits_release(permits, &permit);
    fta_permits_close(permits);
    fta_permits_close(NULL);
}

static void
test_each_allocation_may_fail(void)
{
    for (int i = 0; i < 2; i++) {
        fta_permits_options options = {.shared = i == 1,
                                       .directory = shared_directory};
        for (long n = 0;; n++) {
            fta_permits *permits = NULL;
            int unshared;
            failing_alloc_start(n);
            fta_status status = fta_permits_open(&options, &permits, &unshared);
            bool failed = failing_alloc_stop();
            CHECK((status == FTA_OK) == (permits != NULL));
            fta_permits_close(permits);
            if (!failed) {
                break;
            }
            CHECK(status == FTA_NO_MEMORY);
        }
    }
}

int
main(void)
{
    alarm(300);
    make_shared_directory();
    test_there_are_as_many_permits_as_the_caller_says();
    test_callers_with_other_numbers_share_what_is_taken();
    test_tables_of_one_app_share_their_permits();
    test_the_permits_of_a_killed_process_are_free();
    test_a_table_whose_file_was_removed_goes_on();
    test_a_child_does_not_own_the_permits_of_its_parent();
    test_a_child_that_lives_on_does_not_keep_the_permits_of_its_parent();
    test_a_process_that_closes_all_descriptors_keeps_its_permits();
    test_a_process_that_becomes_another_program_has_no_permits();
    test_a_process_that_is_stopped_keeps_its_permits();
    test_threads_of_processes_get_exactly_all_permits();
    test_there_are_never_more_inside_and_all_permits_are_used();
    test_processes_that_are_killed_at_random_lose_and_double_no_permit();
    test_a_full_table_gives_no_permit_and_works_again_later();
    test_without_shared_memory_each_process_has_its_own_permits();
    test_a_table_that_was_left_takes_permits_back();
    test_each_allocation_may_fail();
    remove_shared_directory();
    return check_report("test_permits");
}
