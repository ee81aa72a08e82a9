/* May be included by csrc/limit/lease/table*.c alone. The parts of a table of
 * leases; the head of table.c says how they work together. */
#ifndef FTA_LIMIT_LEASE_TABLE_INTERNAL_H
#define FTA_LIMIT_LEASE_TABLE_INTERNAL_H

#include <stdatomic.h>

#include "base/process_number.h"
#include "base/segment.h"
#include "base/siphash.h"
#include "limit/lease/table.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

/* A test stops a process here, between any two accesses to shared memory, lets
 * others run, and may never resume it. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

/* What a slot says of its lease. All change together, with the tag. */
enum {
    FTA_LEASE_HASH, /* of the key */
    FTA_LEASE_END,
    FTA_LEASE_ASKED,
    FTA_LEASE_NONCE,
    FTA_LEASE_WINDOW,
    FTA_LEASE_EPOCH, /* epoch 32 | length of the key 32 */
    FTA_LEASE_RATE,  /* limit 32 | period in seconds 32 */
    FTA_LEASE_WORDS,
};

typedef struct fta_lease_slot {
    _Atomic uint64_t permits; /* tag 32 | left 32 */
    _Atomic uint64_t check;   /* of the words, with the tag */
    _Atomic uint64_t words[FTA_LEASE_WORDS];
    /* What follows may belong to another lease, or be half old: nothing that
     * matters depends on it. */
    _Atomic uint64_t remaining; /* at the store, when it last answered */
    _Atomic uint64_t resets_us;
    /* Permits that came, less those that the store has been told are spent or
     * has taken back: what is left of them, and those that it has yet to be
     * told of. May be below what is left for a moment. Since when. */
    _Atomic uint64_t received;
    _Atomic uint64_t received_us;
    _Atomic uint64_t is_listed;
    uint64_t unused[2];
    _Atomic uint64_t key[FTA_LEASE_KEY_MAX / 8]; /* The hash checks it. */
} fta_lease_slot;

_Static_assert(sizeof(fta_lease_slot) == 256, "a slot is four cache lines");

/* A key belongs to one set of slots. */
#define FTA_LEASE_WAYS 8u

#define FTA_LEASE_LISTED_MAX 1024u

/* A lease that may be offered. */
typedef struct fta_lease_listed {
    _Atomic uint64_t slot; /* One more than its number; 0: none. */
    _Atomic uint64_t seen; /* Its permits at the last turn. */
    _Atomic uint64_t due_us;
    _Atomic uint64_t pause_us;
} fta_lease_listed;

typedef struct fta_lease_header {
    fta_siphash_key secret;
    uint64_t host;
    _Atomic uint64_t tags; /* How many were given. */
    _Atomic uint64_t epoch;
    _Atomic uint64_t losses;
    _Atomic uint64_t turn_us;
    _Atomic uint64_t listed_count; /* Ever. */
    /* A bit for the number of each process that uses leases no longer. */
    _Atomic uint64_t has_left[FTA_PROCESS_NUMBER_MAX / 64 + 1];
    fta_lease_listed listed[FTA_LEASE_LISTED_MAX];
} fta_lease_header;

#define FTA_LEASE_HEADER_BYTES ((size_t)40960)

_Static_assert(sizeof(fta_lease_header) <= FTA_LEASE_HEADER_BYTES,
               "the slots start on a page of their own");

/* Changes with everything that is in shared memory. */
#define FTA_LEASE_LAYOUT 0x4C000002u

struct fta_lease_table {
    fta_segment *segment;         /* Owned. */
    fta_process_numbers *numbers; /* Owned; NULL: not to be had. */
    fta_lease_header *header;     /* Borrowed: inside the segment. */
    fta_lease_slot *slots;        /* Borrowed: inside the segment. */
    size_t set_count;
};

/* -- Accesses -------------------------------------------------------------- */

static inline uint64_t
fta_lease_load(_Atomic uint64_t *word)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load(word);
}

static inline void
fta_lease_store(_Atomic uint64_t *word, uint64_t value)
{
    FTA_BETWEEN_ACCESSES();
    atomic_store(word, value);
}

/* expected is by value: callers start again from what they read themselves. */
static inline bool
fta_lease_swap(_Atomic uint64_t *word, uint64_t expected, uint64_t desired)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_compare_exchange_strong(word, &expected, desired);
}

static inline uint32_t
fta_lease_tag(uint64_t permits)
{
    return (uint32_t)(permits >> 32);
}

static inline uint32_t
fta_lease_left(uint64_t permits)
{
    return (uint32_t)permits;
}

/* What remains of a limit for whoever asks this host: at the store, and here.
 * Another answer may have come in between, so the sum may be too large. */
static inline uint32_t
fta_lease_remaining(const fta_hit *hit, bool counted, uint64_t at_store,
                    uint32_t left)
{
    uint32_t most = hit->limit - (counted ? hit->cost : 0);
    uint64_t sum = at_store + left;
    return sum < most ? (uint32_t)sum : most;
}

static inline uint64_t
fta_lease_permits(uint32_t tag, uint32_t left)
{
    return (uint64_t)tag << 32 | left;
}

/* -- Leases in slots (table.c) --------------------------------------------- */

/* One reading of a slot that was whole. */
typedef struct fta_lease_view {
    uint64_t permits;
    uint64_t words[FTA_LEASE_WORDS];
    fta_lease lease;
} fta_lease_view;

/* Of a key; the number of the first slot of its set; and the i-th place of the
 * set that is looked into, so that most keys are found at once. */
uint64_t fta_lease_hash_of(const fta_lease_table *table, const fta_hit *hit);
size_t fta_lease_set_of(const fta_lease_table *table, uint64_t hash);
size_t fta_lease_way_of(uint64_t hash, size_t i);

uint64_t fta_lease_check_of(uint32_t tag,
                            const uint64_t words[FTA_LEASE_WORDS]);

/* False: the slot holds nothing that belongs together. */
bool fta_lease_view_read(fta_lease_slot *slot, fta_lease_view *out);

/* Lists a slot, so that it is offered when it rests (table_offer.c). */
void fta_lease_table_list(fta_lease_table *table, size_t slot);

#endif
