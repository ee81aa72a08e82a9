/* Fails the nth allocation of this thread, be it the core's or OpenSSL's. Used
 * like failing_alloc.h; failing_malloc_install must come before the first use
 * of OpenSSL. libjwt's own are left alone: 1.10 crashes without memory. */
#ifndef FTA_TESTS_FAILING_MALLOC_H
#define FTA_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/alloc.h"

static _Thread_local long failing_malloc_left = -1;
static _Thread_local bool failing_malloc_failed;

static inline bool
failing_malloc_now(void)
{
    if (failing_malloc_left < 0 || failing_malloc_left-- != 0) {
        return false;
    }
    failing_malloc_failed = true;
    return true;
}

static void *
failing_malloc_malloc(size_t size)
{
    return failing_malloc_now() ? NULL : malloc(size);
}

static void *
failing_malloc_calloc(size_t count, size_t size)
{
    return failing_malloc_now() ? NULL : calloc(count, size);
}

static void *
failing_malloc_realloc(void *memory, size_t size)
{
    return failing_malloc_now() ? NULL : realloc(memory, size);
}

static void *
failing_malloc_crypto_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return size == 0 ? NULL : failing_malloc_malloc(size);
}

static void *
failing_malloc_crypto_realloc(void *memory, size_t size, const char *file,
                              int line)
{
    (void)file, (void)line;
    if (size == 0) {
        free(memory);
        return NULL;
    }
    return failing_malloc_realloc(memory, size);
}

static void
failing_malloc_crypto_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    free(memory);
}

static inline void
failing_malloc_install(void)
{
    static const fta_allocator allocator = {failing_malloc_malloc,
                                            failing_malloc_calloc,
                                            failing_malloc_realloc, free};
    fta_set_allocator(&allocator);
    if (!CRYPTO_set_mem_functions(failing_malloc_crypto_malloc,
                                  failing_malloc_crypto_realloc,
                                  failing_malloc_crypto_free)) {
        abort();
    }
}

static inline void
failing_malloc_start(long n)
{
    failing_malloc_left = n;
    failing_malloc_failed = false;
}

/* Tells whether an allocation was refused. */
static inline bool
failing_malloc_stop(void)
{
    failing_malloc_left = -1;
    return failing_malloc_failed;
}

#endif
