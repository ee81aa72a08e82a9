/* Copies of texts that live and are freed together. */
#ifndef FTA_BASE_TEXT_POOL_H
#define FTA_BASE_TEXT_POOL_H

#include "base/status.h"
#include "base/text.h"

/* All members 0: empty. */
typedef struct fta_text_pool {
    struct fta_pooled *last; /* Owned */
} fta_text_pool;

/* The copy ends with a NUL and lives as long as the pool. FTA_NO_MEMORY. */
fta_status fta_text_pool_add(fta_text_pool *pool, fta_text text, fta_text *out);

/* Frees every copy and leaves the pool empty. */
void fta_text_pool_clear(fta_text_pool *pool);

#endif
