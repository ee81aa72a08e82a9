/* What the store said of API keys, shared by the processes of a host.
 *
 * Epochs. A key belongs to a bucket of four slots. There is a counter for each
 * bucket, and one for all. They only grow. The epoch of a key is the sum of its
 * two counters, so it is the same at two times only if neither has moved.
 * Whoever is about to ask the store reads the epoch first, and the slot keeps
 * that epoch. A slot counts only while the epoch is still the same.
 *
 * To drop a key adds one to the counter of its bucket. This is why an answer of
 * the store is never used after a revocation that ran meanwhile: the epoch was
 * read before the store was asked, the counter moves after the store has the
 * revocation, and a reader compares the two after it has copied the slot. It
 * makes no difference whether the answer is put before or after that. The other
 * keys of the bucket have to be asked for again, which costs one question each.
 * To drop takes one atomic addition. A process that was stopped or killed
 * anywhere cannot keep another one from it.
 *
 * Slots. A slot has a sequence number, which is odd while one process writes
 * (a seqlock). A writer that finds it odd takes another slot, or puts nothing.
 * A writer that is killed meanwhile leaves the slot odd: it is then of no use
 * until the memory is made anew. A reader copies the slot and takes the copy
 * only if the number was even, and the same before and after. All words are
 * atomic, so a copy that is thrown away is no data race. They are written with
 * release and read with acquire, which keeps them between the two numbers.
 *
 * Time. A slot ends by the monotonic clock, at most FTA_KEY_CACHE_MS_MAX after
 * the store was asked, and not after it has answered. */
#include "session/key_cache.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/segment.h"
#include "base/siphash.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

#define SLOTS_PER_BUCKET ((size_t)4)
#define ID_WORDS ((size_t)FTA_API_KEY_ID / 8)
#define VALUE_WORDS (FTA_KEY_CACHE_VALUE_MAX / 8)

/* What a segment itself takes of the bytes that are asked for. */
#define SEGMENT_BYTES ((size_t)4096)

/* A test lets others run here, between two accesses to the memory. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

typedef struct slot {
    _Atomic uint64_t sequence;
    _Atomic uint64_t epoch;
    _Atomic int64_t until_us; /* 0: empty */
    _Atomic uint64_t length;
    _Atomic uint64_t id[ID_WORDS];
    _Atomic uint64_t value[VALUE_WORDS];
    uint64_t unused;
} slot;

_Static_assert(FTA_KEY_CACHE_VALUE_MAX % 8 == 0, "a value is whole words");
_Static_assert(sizeof(slot) == 1024, "a slot is 16 cache lines");

typedef struct bucket {
    _Atomic uint64_t epoch;
    uint64_t unused[7]; /* A cache line of its own. */
    slot slots[SLOTS_PER_BUCKET];
} bucket;

typedef struct header {
    _Atomic uint64_t epoch;
    uint64_t unused[7];
} header;

/* Changes with everything that is in shared memory, the values included. */
#define LAYOUT 0x6b657931 /* "key1" */

struct fta_key_cache {
    fta_segment *segment; /* Owned. */
    header *header;       /* Borrowed: inside the segment. */
    bucket *buckets;      /* Borrowed: inside the segment. */
    size_t bucket_count;
};

static fta_status
fill_with_nothing(void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
    return FTA_OK;
}

fta_status
fta_key_cache_open(const fta_key_cache_options *options, fta_key_cache **out,
                   int *error)
{
    *error = 0;
    if (options->slots < FTA_KEY_CACHE_SLOTS_MIN ||
        options->slots > FTA_KEY_CACHE_SLOTS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    fta_key_cache *cache = fta_calloc(1, sizeof *cache);
    if (cache == NULL) {
        return FTA_NO_MEMORY;
    }
    size_t bytes = SEGMENT_BYTES + sizeof(header) +
                   options->slots / SLOTS_PER_BUCKET * sizeof(bucket);
    const fta_segment_purpose purpose = {LAYOUT, options->app, options->name};
    fta_status status =
        options->shared
            ? fta_segment_shared(options->directory, &purpose, bytes,
                                 fill_with_nothing, &cache->segment, error)
            : fta_segment_private(bytes, fill_with_nothing, &cache->segment);
    if (status == FTA_OK &&
        fta_segment_bytes(cache->segment) < sizeof(header) + sizeof(bucket)) {
        status = FTA_SEGMENT_FOREIGN;
    }
    if (status != FTA_OK) {
        fta_segment_close(cache->segment);
        fta_free(cache);
        return status;
    }
    char *memory = fta_segment_memory(cache->segment);
    cache->header = (header *)(void *)memory;
    cache->buckets = (bucket *)(void *)(memory + sizeof(header));
    /* Another process may have made it in another size. */
    cache->bucket_count =
        (fta_segment_bytes(cache->segment) - sizeof(header)) / sizeof(bucket);
    *out = cache;
    return FTA_OK;
}

void
fta_key_cache_close(fta_key_cache *cache)
{
    if (cache != NULL) {
        fta_segment_close(cache->segment);
        fta_free(cache);
    }
}

/* The ids in the cache are random. The hash only spreads their characters, so
 * it needs no secret. */
static bucket *
bucket_of(const fta_key_cache *cache, const char id[FTA_API_KEY_ID])
{
    static const fta_siphash_key no_secret = {0, 0};
    uint64_t hash =
        fta_siphash_1_3(&no_secret, 0, (const uint8_t *)id, FTA_API_KEY_ID);
    return &cache->buckets[hash % cache->bucket_count];
}

static uint64_t
epoch_of(const fta_key_cache *cache, bucket *in)
{
    FTA_BETWEEN_ACCESSES();
    uint64_t of_all = atomic_load(&cache->header->epoch);
    FTA_BETWEEN_ACCESSES();
    return of_all + atomic_load(&in->epoch);
}

void
fta_key_cache_begin(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                    fta_key_cache_ticket *out)
{
    out->epoch = epoch_of(cache, bucket_of(cache, id));
    out->us = fta_clock_monotonic_us();
}

static bool
holds(slot *s, const char id[FTA_API_KEY_ID])
{
    for (size_t i = 0; i < ID_WORDS; i++) {
        uint64_t word;
        memcpy(&word, id + 8 * i, 8);
        if (atomic_load_explicit(&s->id[i], memory_order_acquire) != word) {
            return false;
        }
    }
    return true;
}

/* The slot to write a key into: its own, or the one that ends first. What a
 * writer changes meanwhile makes the choice a worse one, not a wrong one. NULL:
 * every slot is being written. */
static slot *
slot_for(bucket *in, const char id[FTA_API_KEY_ID], uint64_t *sequence)
{
    slot *best = NULL;
    int64_t best_until = 0;
    for (size_t i = 0; i < SLOTS_PER_BUCKET; i++) {
        slot *s = &in->slots[i];
        uint64_t seen =
            atomic_load_explicit(&s->sequence, memory_order_acquire);
        int64_t until =
            atomic_load_explicit(&s->until_us, memory_order_relaxed);
        if ((seen & 1) != 0) {
            continue;
        }
        bool is_own = holds(s, id);
        if (is_own || best == NULL || until < best_until) {
            best = s;
            best_until = until;
            *sequence = seen;
        }
        if (is_own) {
            break;
        }
    }
    return best;
}

void
fta_key_cache_put(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                  const fta_key_cache_ticket *ticket, int64_t ms,
                  fta_text value)
{
    if (value.length > FTA_KEY_CACHE_VALUE_MAX || ms <= 0) {
        return;
    }
    if (ms > FTA_KEY_CACHE_MS_MAX) {
        ms = FTA_KEY_CACHE_MS_MAX;
    }
    uint64_t sequence = 0;
    slot *s = slot_for(bucket_of(cache, id), id, &sequence);
    FTA_BETWEEN_ACCESSES();
    if (s == NULL || !atomic_compare_exchange_strong_explicit(
                         &s->sequence, &sequence, sequence + 1,
                         memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    /* Each word is released: a reader that sees it sees the odd number too. */
    FTA_BETWEEN_ACCESSES();
    atomic_store_explicit(&s->epoch, ticket->epoch, memory_order_release);
    atomic_store_explicit(&s->until_us, ticket->us + ms * 1000,
                          memory_order_release);
    atomic_store_explicit(&s->length, value.length, memory_order_release);
    for (size_t i = 0; i < ID_WORDS; i++) {
        uint64_t word;
        memcpy(&word, id + 8 * i, 8);
        atomic_store_explicit(&s->id[i], word, memory_order_release);
        FTA_BETWEEN_ACCESSES();
    }
    for (size_t at = 0; at < value.length; at += 8) {
        size_t left = value.length - at;
        uint64_t word = 0;
        memcpy(&word, value.data + at, left < 8 ? left : 8);
        atomic_store_explicit(&s->value[at / 8], word, memory_order_release);
        FTA_BETWEEN_ACCESSES();
    }
    atomic_store_explicit(&s->sequence, sequence + 2, memory_order_release);
}

/* Copies a slot. False: it is of another key or has ended, or it was written
 * meanwhile. */
static bool
copy_slot(slot *s, const char id[FTA_API_KEY_ID], int64_t now_us,
          char out[FTA_KEY_CACHE_VALUE_MAX], size_t *length, uint64_t *epoch)
{
    uint64_t before = atomic_load_explicit(&s->sequence, memory_order_acquire);
    if ((before & 1) != 0 || !holds(s, id) ||
        now_us >= atomic_load_explicit(&s->until_us, memory_order_acquire)) {
        return false;
    }
    uint64_t size = atomic_load_explicit(&s->length, memory_order_acquire);
    *epoch = atomic_load_explicit(&s->epoch, memory_order_acquire);
    if (size > FTA_KEY_CACHE_VALUE_MAX) {
        return false;
    }
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word =
            atomic_load_explicit(&s->value[at / 8], memory_order_acquire);
        memcpy(out + at, &word, size - at < 8 ? (size_t)(size - at) : 8);
        FTA_BETWEEN_ACCESSES();
    }
    *length = (size_t)size;
    return atomic_load_explicit(&s->sequence, memory_order_acquire) == before;
}

bool
fta_key_cache_find(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                   char out[FTA_KEY_CACHE_VALUE_MAX], size_t *length)
{
    bucket *in = bucket_of(cache, id);
    int64_t now_us = fta_clock_monotonic_us();
    for (size_t i = 0; i < SLOTS_PER_BUCKET; i++) {
        uint64_t epoch;
        if (copy_slot(&in->slots[i], id, now_us, out, length, &epoch) &&
            epoch == epoch_of(cache, in)) {
            return true;
        }
    }
    return false;
}

void
fta_key_cache_drop(fta_key_cache *cache, const char id[FTA_API_KEY_ID])
{
    atomic_fetch_add(&bucket_of(cache, id)->epoch, 1);
}

void
fta_key_cache_clear(fta_key_cache *cache)
{
    atomic_fetch_add(&cache->header->epoch, 1);
}
