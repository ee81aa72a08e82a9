#include "limit/hit.h"

bool
fta_verdict_closer(const fta_verdict *a, const fta_verdict *b)
{
    if (a->allowed != b->allowed) {
        return b->allowed;
    }
    if (!a->allowed) {
        return a->retry_after_us > b->retry_after_us;
    }
    /* a.remaining / a.limit < b.remaining / b.limit, without dividing. */
    return (uint64_t)a->remaining * b->limit <
           (uint64_t)b->remaining * a->limit;
}
