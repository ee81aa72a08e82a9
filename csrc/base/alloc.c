#include "base/alloc.h"

#include <stdlib.h>

#include <openssl/crypto.h>

static const fta_allocator system_allocator = {malloc, calloc, realloc, free};

static const fta_allocator *current = &system_allocator;

void
fta_set_allocator(const fta_allocator *allocator)
{
    current = allocator != NULL ? allocator : &system_allocator;
}

void *
fta_malloc(size_t size)
{
    return current->malloc(size);
}

void *
fta_calloc(size_t count, size_t size)
{
    return current->calloc(count, size);
}

void *
fta_realloc(void *memory, size_t size)
{
    return current->realloc(memory, size);
}

void
fta_free(void *memory)
{
    current->free(memory);
}

void
fta_free_secret(void *memory, size_t size)
{
    if (memory != NULL) {
        OPENSSL_cleanse(memory, size);
        fta_free(memory);
    }
}
