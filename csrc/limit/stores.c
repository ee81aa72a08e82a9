/* The table of stores, and the ranges of their options. The only file of the
 * limiter that includes files of a store: a range is what the store can hold.
 */
#include <stdio.h>

#include "limit/redis/counter.h"
#include "limit/shm/table.h"
#include "limit/store.h"

const fta_store_type *const fta_store_types[] = {
#define X(name) &fta_store_##name,
    FTA_STORE_LIST(X)
#undef X
};

const size_t fta_store_type_count =
    sizeof fta_store_types / sizeof *fta_store_types;

enum { PREFIX, SHM_BYTES, TIMEOUT_MS };

const fta_store_range fta_store_ranges[] = {
    [PREFIX] = {"prefix", 0, FTA_PREFIX_MAX},
    [SHM_BYTES] = {"shm_bytes", FTA_SHM_TABLE_MIN, FTA_SHM_TABLE_MAX},
    [TIMEOUT_MS] = {"timeout_ms", 1, 60000},
};

const size_t fta_store_range_count =
    sizeof fta_store_ranges / sizeof *fta_store_ranges;

fta_status
fta_store_options_check(const fta_store_options *options,
                        fta_store_problem *problem)
{
    const uint64_t values[] = {
        [PREFIX] = options->prefix.length,
        /* Its 0 is a size that suits. */
        [SHM_BYTES] = options->shm_bytes != 0 ? options->shm_bytes
                                              : FTA_SHM_TABLE_DEFAULT,
        [TIMEOUT_MS] =
            options->timeout_ms > 0 ? (uint64_t)options->timeout_ms : 0,
    };
    for (size_t i = 0; i < fta_store_range_count; i++) {
        const fta_store_range *range = &fta_store_ranges[i];
        if (values[i] < range->least || values[i] > range->most) {
            problem->option = range->option;
            (void)snprintf(problem->text, sizeof problem->text,
                           "must be from %llu to %llu%s",
                           (unsigned long long)range->least,
                           (unsigned long long)range->most,
                           i == PREFIX ? " bytes of UTF-8" : "");
            return FTA_BAD_ARGUMENT;
        }
    }
    /* So that NaN is refused as well. */
    if (!(options->lease >= 0 && options->lease <= FTA_LEASE_PART_MAX)) {
        problem->option = "lease";
        (void)snprintf(problem->text, sizeof problem->text,
                       "must be a number from 0 to %g", FTA_LEASE_PART_MAX);
        return FTA_BAD_ARGUMENT;
    }
    return FTA_OK;
}
