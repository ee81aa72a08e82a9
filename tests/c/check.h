/* The whole test framework of the core: CHECK, and check_report at the end of
 * main. A check may stand in any thread; a failed one is told and counted, and
 * the program goes on to the next. */
#ifndef FTA_TESTS_CHECK_H
#define FTA_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdio.h>

static atomic_long checks_made;
static atomic_long checks_failed;

#define CHECK(condition)                                                       \
    do {                                                                       \
        atomic_fetch_add_explicit(&checks_made, 1, memory_order_relaxed);      \
        if (!(condition)) {                                                    \
            atomic_fetch_add_explicit(&checks_failed, 1,                       \
                                      memory_order_relaxed);                   \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__,         \
                    #condition);                                               \
        }                                                                      \
    } while (0)

/* Prints the one line of a test program and returns what main returns. No
 * check at all is a failure too: nothing was tested. */
static inline int
check_report(const char *name)
{
    long made = atomic_load(&checks_made);
    long failed = atomic_load(&checks_failed);
    if (failed != 0) {
        printf("%s: %ld of %ld checks failed\n", name, failed, made);
    } else {
        printf("%s: %ld checks\n", name, made);
    }
    return failed == 0 && made > 0 ? 0 : 1;
}

#endif
