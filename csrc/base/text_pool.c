#include "base/text_pool.h"

#include "base/alloc.h"

typedef struct fta_pooled {
    struct fta_pooled *before; /* Owned */
    char text[];
} fta_pooled;

fta_status
fta_text_pool_add(fta_text_pool *pool, fta_text text, fta_text *out)
{
    fta_pooled *made = fta_malloc(sizeof *made + text.length + 1);
    if (made == NULL) {
        return FTA_NO_MEMORY;
    }
    if (text.length != 0) {
        memcpy(made->text, text.data, text.length);
    }
    made->text[text.length] = '\0';
    made->before = pool->last;
    pool->last = made;
    *out = (fta_text){made->text, text.length};
    return FTA_OK;
}

void
fta_text_pool_clear(fta_text_pool *pool)
{
    while (pool->last != NULL) {
        fta_pooled *last = pool->last;
        pool->last = last->before;
        fta_free(last);
    }
}
