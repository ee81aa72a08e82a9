#include "concurrency/concurrency.h"

/* The key of a permit:
 *
 *     1 byte   fta_per of the limit
 *     1 byte   kind of the subject
 *     the names, as fta_subject_put_names writes them
 *
 * How many permits there are is no part of it. Callers with different numbers
 * share what is taken. */
#define KEY_MAX (2 + FTA_SUBJECT_NAMES_MAX)

fta_status
fta_concurrency_begin(fta_permits *permits, const fta_concurrency_limit *limit,
                      const fta_requester *requester, fta_permit *out)
{
    const fta_limit of_subject = {.per = limit->per, .scope = limit->scope};
    uint8_t key[KEY_MAX];
    fta_subject subject;
    size_t custom_at = 0;
    *out = (fta_permit){0};
    if (!fta_subject_find(&of_subject, requester, &custom_at, &subject)) {
        return FTA_CRYPTO;
    }
    key[0] = (uint8_t)limit->per;
    key[1] = subject.kind;
    const uint8_t *end = fta_subject_put_names(&subject, limit->scope, key + 2);
    return fta_permits_take(permits, key, (size_t)(end - key), limit->most,
                            out);
}
