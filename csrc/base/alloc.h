/* Memory of the core. Tests replace the allocator to let each allocation fail
 * in turn. It may not be replaced while memory from it is in use. */
#ifndef FTA_BASE_ALLOC_H
#define FTA_BASE_ALLOC_H

#include <stddef.h>

typedef struct fta_allocator {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *memory, size_t size);
    void (*free)(void *memory);
} fta_allocator;

/* NULL restores the allocator of the C library. */
void fta_set_allocator(const fta_allocator *allocator);

/* As the functions of these names in <stdlib.h>: NULL without memory. */
void *fta_malloc(size_t size);
void *fta_calloc(size_t count, size_t size);
void *fta_realloc(void *memory, size_t size);
void fta_free(void *memory);

/* Overwrites the bytes in a way that compilers do not remove, then frees. For
 * all memory that held a secret. */
void fta_free_secret(void *memory, size_t size);

#endif
