/* Memory of the core. Tests replace the allocator to fail any allocation in
 * turn; it must not be replaced while memory from another one is alive. */
#ifndef FTA_BASE_ALLOC_H
#define FTA_BASE_ALLOC_H

#include <stddef.h>

typedef struct fta_allocator {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *memory, size_t size);
    void (*free)(void *memory);
} fta_allocator;

/* NULL brings back the C library's own. */
void fta_set_allocator(const fta_allocator *allocator);

/* As their namesakes in <stdlib.h>: NULL when there is no memory. */
void *fta_malloc(size_t size);
void *fta_calloc(size_t count, size_t size);
void *fta_realloc(void *memory, size_t size);
void fta_free(void *memory);

/* Overwrites the bytes in a way no compiler leaves out, then frees.
 * For everything that held a secret. */
void fta_free_secret(void *memory, size_t size);

#endif
