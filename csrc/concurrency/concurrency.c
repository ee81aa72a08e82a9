#include "concurrency/concurrency.h"

bool
fta_concurrency_key_of(const fta_concurrency_limit *limit,
                       const fta_requester *requester, fta_concurrency_key *out)
{
    const fta_limit of_subject = {.per = limit->per, .scope = limit->scope};
    fta_subject subject;
    size_t custom_at = 0;
    if (!fta_subject_find(&of_subject, requester, &custom_at, &subject)) {
        return false;
    }
    out->bytes[0] = (uint8_t)limit->per;
    out->bytes[1] = subject.kind;
    const uint8_t *end =
        fta_subject_put_names(&subject, limit->scope, out->bytes + 2);
    out->length = (size_t)(end - out->bytes);
    return true;
}

fta_status
fta_concurrency_begin(fta_permits *permits, const fta_concurrency_limit *limit,
                      const fta_requester *requester, fta_permit *out)
{
    fta_concurrency_key key;
    *out = (fta_permit){0};
    if (!fta_concurrency_key_of(limit, requester, &key)) {
        return FTA_CRYPTO;
    }
    return fta_permits_take(permits, key.bytes, key.length, limit->most, out);
}
