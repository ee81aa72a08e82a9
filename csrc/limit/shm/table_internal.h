/* May be included by csrc/limit/shm/table*.c alone. The parts of a table; the
 * head of table.c says how they work together. */
#ifndef FTA_LIMIT_SHM_TABLE_INTERNAL_H
#define FTA_LIMIT_SHM_TABLE_INTERNAL_H

#include <stdatomic.h>

#include "base/segment.h"
#include "base/siphash.h"
#include "limit/shm/table.h"
#include "limit/shm/word.h"

/* A lock hidden in an emulated atomic would be private to each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

/* A test stops a process here, between any two accesses to shared memory, lets
 * others run, and may never resume it. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

/* -- Layout ---------------------------------------------------------------- */

#define FTA_SLOTS_PER_BUCKET 15u

typedef struct fta_shm_slot {
    _Atomic uint64_t entry;
    _Atomic uint64_t word;
} fta_shm_slot;

typedef struct fta_shm_bucket {
    _Atomic uint64_t latest;
    uint64_t unused;
    fta_shm_slot slots[FTA_SLOTS_PER_BUCKET];
} fta_shm_bucket;

_Static_assert(sizeof(fta_shm_bucket) == 256, "a bucket is four cache lines");

typedef struct fta_shm_header {
    fta_siphash_key secret;
    _Atomic uint64_t evictions;
} fta_shm_header;

/* The buckets start on a page of their own. */
#define FTA_SHM_HEADER_BYTES ((size_t)4096)

_Static_assert(sizeof(fta_shm_header) <= FTA_SHM_HEADER_BYTES,
               "the header is one page");

/* Changes with everything that is in shared memory, the words included. */
#define FTA_SHM_LAYOUT 2

struct fta_shm_table {
    fta_segment *segment; /* Owned. */
    size_t bytes_wanted;
    fta_shm_header *header;  /* Borrowed: inside the segment. */
    fta_shm_bucket *buckets; /* Borrowed: inside the segment. */
    size_t bucket_count;
};

/* -- Accesses -------------------------------------------------------------- */

static inline uint64_t
fta_shm_read(_Atomic uint64_t *word)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load(word);
}

/* expected is by value: callers start again from what they read themselves. */
static inline bool
fta_shm_swap(_Atomic uint64_t *word, uint64_t expected, uint64_t desired)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_compare_exchange_strong(word, &expected, desired);
}

/* The slot that an entry is about. */
static inline fta_shm_slot *
fta_shm_slot_of(fta_shm_bucket *bucket, uint64_t entry)
{
    return &bucket->slots[fta_entry_slot(entry)];
}

/* -- Keys in slots (table.c) ----------------------------------------------- */

/* Begins to load what fta_shm_find of the key reads first. */
void fta_shm_prefetch(const fta_shm_bucket *bucket, uint64_t tag);

/* The entry of the key, or 0. */
uint64_t fta_shm_find(fta_shm_bucket *bucket, uint64_t tag);

/* The entry of the key, which is inserted if it has none. */
uint64_t fta_shm_find_or_insert(fta_shm_table *table, fta_shm_bucket *bucket,
                                uint64_t tag);

/* The word of the key that was seen to live here as entry, or false if it has
 * moved out. */
bool fta_shm_settled_word(fta_shm_table *table, fta_shm_bucket *bucket,
                          uint64_t entry, uint64_t *out);

#endif
