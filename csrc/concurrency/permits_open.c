#include "concurrency/permits_internal.h"

#include <errno.h>

#include <openssl/rand.h>

#include "base/alloc.h"

/* What a segment itself takes of the bytes that are asked for. */
#define SEGMENT_BYTES ((size_t)4096)

static fta_status
fill(void *memory, size_t bytes)
{
    fta_permit_memory *m = memory;
    (void)bytes;
    return RAND_bytes((unsigned char *)&m->secret, sizeof m->secret) == 1
               ? FTA_OK
               : FTA_CRYPTO;
}

static fta_status
open_shared(fta_permits *permits, const fta_permits_options *options,
            int *error)
{
    const fta_segment_purpose purpose = {FTA_PERMITS_LAYOUT, options->app,
                                         options->prefix};
    fta_status status = fta_segment_shared(
        options->directory, &purpose, SEGMENT_BYTES + sizeof(fta_permit_memory),
        fill, &permits->segment, error);
    if (status != FTA_OK) {
        return status;
    }
    if (fta_segment_bytes(permits->segment) < sizeof(fta_permit_memory)) {
        return FTA_SEGMENT_FOREIGN;
    }
    permits->memory = fta_segment_memory(permits->segment);
    *error = ENOTSUP;
    return fta_process_numbers_open(permits->segment, fta_permits_sweep,
                                    permits, &permits->numbers);
}

static fta_status
open_private(fta_permits *permits)
{
    fta_segment_close(permits->segment);
    permits->segment = NULL;
    permits->memory = fta_calloc(1, sizeof *permits->memory);
    if (permits->memory == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = fill(permits->memory, sizeof *permits->memory);
    if (status != FTA_OK) {
        return status;
    }
    return fta_process_numbers_open(NULL, fta_permits_sweep, permits,
                                    &permits->numbers);
}

fta_status
fta_permits_open(const fta_permits_options *options, fta_permits **out,
                 int *unshared)
{
    fta_permits *permits = fta_calloc(1, sizeof *permits);
    if (permits == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_SYSTEM;
    *unshared = 0;
    if (options->shared) {
        status = open_shared(permits, options, unshared);
    }
    if (status == FTA_OK) {
        *unshared = 0;
    } else if (status == FTA_SYSTEM) {
        status = open_private(permits);
    }
    if (status != FTA_OK) {
        fta_permits_close(permits);
        return status;
    }
    *out = permits;
    return FTA_OK;
}

void
fta_permits_leave(fta_permits *permits)
{
    if (permits->segment != NULL) {
        fta_segment_leave(permits->segment);
    }
}

void
fta_permits_close(fta_permits *permits)
{
    if (permits != NULL) {
        fta_process_numbers_close(permits->numbers);
        if (permits->segment != NULL) {
            fta_segment_close(permits->segment);
        } else {
            fta_free(permits->memory);
        }
        fta_free(permits);
    }
}
