/* An allocator whose nth allocation fails, once. The way to use it:
 *
 *     for (long n = 0;; n++) {
 *         failing_alloc_start(n);
 *         fta_status status = fta_what_is_tested(...);
 *         if (!failing_alloc_stop()) {
 *             break;              // fewer than n + 1 allocations: all tried
 *         }
 *         CHECK(status == FTA_NO_MEMORY);
 *     }
 *
 * Everything allocated between start and stop must be freed with the C
 * library's own free, which is what fta_free calls when nothing is replaced. */
#ifndef FTA_TESTS_FAILING_ALLOC_H
#define FTA_TESTS_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/alloc.h"

static long failing_alloc_left;
static bool failing_alloc_failed;

static inline bool
failing_alloc_fails_now(void)
{
    if (failing_alloc_left-- != 0) {
        return false;
    }
    failing_alloc_failed = true;
    return true;
}

static inline void *
failing_malloc(size_t size)
{
    return failing_alloc_fails_now() ? NULL : malloc(size);
}

static inline void *
failing_calloc(size_t count, size_t size)
{
    return failing_alloc_fails_now() ? NULL : calloc(count, size);
}

static inline void *
failing_realloc(void *memory, size_t size)
{
    return failing_alloc_fails_now() ? NULL : realloc(memory, size);
}

/* Allocations 0 to n-1 from here on succeed, number n fails, later ones
 * succeed. */
static inline void
failing_alloc_start(long n)
{
    static const fta_allocator failing = {failing_malloc, failing_calloc,
                                          failing_realloc, free};
    failing_alloc_left = n;
    failing_alloc_failed = false;
    fta_set_allocator(&failing);
}

/* Back to the C library's own; tells whether an allocation was refused. */
static inline bool
failing_alloc_stop(void)
{
    fta_set_allocator(NULL);
    return failing_alloc_failed;
}

#endif
