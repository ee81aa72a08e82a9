/* May be included by csrc/concurrency/permits*.c alone. The layout of a table;
 * the head of permits.c says how it works. */
#ifndef FTA_CONCURRENCY_PERMITS_INTERNAL_H
#define FTA_CONCURRENCY_PERMITS_INTERNAL_H

#include <stdatomic.h>

#include "base/process_number.h"
#include "base/siphash.h"
#include "concurrency/permits.h"

/* A lock hidden in an emulated atomic would be private to each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

/* A test stops a process here, between any two accesses to shared memory, lets
 * others run, and may never resume it. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

/* word = taken 1 | tag 26 | process 10 | slot 11 | sequence 16 */
#define FTA_PERMIT_TAKEN (UINT64_C(1) << 63)
#define FTA_PERMIT_TAG_SHIFT 37
#define FTA_PERMIT_TAG_MASK ((UINT64_C(1) << 26) - 1)
#define FTA_PERMIT_PROCESS_SHIFT 27
#define FTA_PERMIT_SLOT_SHIFT 16
#define FTA_PERMIT_SLOT_MASK UINT64_C(0x7FF)
#define FTA_PERMIT_SEQUENCE_MASK UINT64_C(0xFFFF)

#define FTA_PERMIT_SLOTS 2046u
#define FTA_PERMIT_BUCKETS 64u

_Static_assert(FTA_PERMIT_SLOTS - 1 <= FTA_PERMIT_SLOT_MASK, "a slot fits");

typedef struct fta_permit_bucket {
    _Atomic uint64_t latest; /* The announcement of the latest permit. */
    _Atomic uint64_t used;   /* No slot from this on was ever taken. */
    _Atomic uint64_t slots[FTA_PERMIT_SLOTS];
} fta_permit_bucket;

_Static_assert(sizeof(fta_permit_bucket) == 16384, "a bucket is four pages");

typedef struct fta_permit_memory {
    fta_siphash_key secret;
    uint64_t unused[510]; /* The buckets start on a page of their own. */
    fta_permit_bucket buckets[FTA_PERMIT_BUCKETS];
} fta_permit_memory;

/* Changes with everything that is in shared memory. */
#define FTA_PERMITS_LAYOUT 0x43000001u

struct fta_permits {
    fta_segment *segment;         /* Owned; NULL: of this process alone. */
    fta_permit_memory *memory;    /* Owned without a segment, else Borrowed. */
    fta_process_numbers *numbers; /* Owned. */
};

/* Frees what a process that had this number has left (permits.c). */
void fta_permits_sweep(void *permits, unsigned number);

#endif
