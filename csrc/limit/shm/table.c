/* A lock-free table of counters in shared memory.
 *
 * Layout. A header of one page, then buckets of 256 bytes (four cache lines):
 * one word that announces the bucket's latest insertion, and 15 slots of two
 * words each. A key belongs to one bucket, by the high bits of its SipHash,
 * and is known there by a tag, the low bits. That two of a million keys share
 * a counter has a probability below one in a million per table, and nobody
 * who does not know the segment's secret can look for such a pair.
 *
 *     entry = tag 44 | slot 4 | generation 3 | force 1 | sequence 12
 *     word  = generation 3 | end 36 | guarded 1 | sealed 1 | value 23
 *
 * bucket.latest is an entry, and slot.entry is the entry of whoever lives in
 * the slot, a copy of the announcement that brought it there. slot.word is all
 * that is known about that key's counter: the tick in which it ends and a
 * value that the strategy understands. So every count is one compare-and-swap
 * of one word, and no state exists in which a killed process leaves anything
 * held: there is nothing to hold.
 *
 * Inserting. Between "this key is not here" and "now it is" other processes
 * may insert the same key, so insertions into a bucket are put in a line:
 *
 *   1. Read latest. Settle it: see that what it announces is done or called
 *      off (4, on behalf of whoever announced it).
 *   2. Look for the key. If it is there, use it.
 *   3. Choose a slot; compare-and-swap latest to the announcement of the key
 *      in that slot. If that fails, start again.
 *   4. Settle: (a) compare-and-swap the slot's word, if it is still free, to
 *      a fresh one of the next generation; (b) compare-and-swap the slot's
 *      entry to the announcement. If the word is no longer free, its owner has
 *      come back to life: (c) call the insertion off, by announcing that
 *      nobody moves into the slot.
 *
 * Anybody may run step 4, at any time, any number of times, since a slot only
 * ever goes forward: its word to the next generation by (a), then its entry by
 * (b), to one of that generation. A swap of somebody who slept expects an
 * entry or a word that is gone. What (b) has decided is not undone, also where
 * (a) comes with (c), the one done by a helper who found the word free and the
 * other by one who had found it in use: settling "nobody" completes (b), by
 * emptying the slot, where (a) was done, and nobody announces anything else
 * before that. Should (a) come even later (a reset can make a word equal to
 * what a sleeper expects), the slot's owner, or whoever takes the slot next,
 * finds the word a generation ahead, and goes forward in the same way. In none
 * of these cases was anything counted in the word that (a) replaced.
 *
 * Uniqueness: a key is inserted by step 3 alone, which succeeds only if
 * nothing was announced since step 1, everything announced until then was seen
 * in step 2, and what is in the bucket only changes by what is announced. So a
 * key never has two slots.
 *
 * What never comes back: an entry, because its sequence counts the bucket's
 * announcements; to meet an equal one, a process has to sleep between two
 * instructions while the same key comes into the same slot, in the same
 * generation, exactly k * 4096 announcements later.
 *
 * Counting. Read the entry, the word, and the entry again; the word's
 * generation must be the entry's. Then read the clock, decide, and
 * compare-and-swap the word. Success means that the key still owned the slot
 * at that moment, since a takeover changes the word first (4a). So a count
 * that was reported was counted, and is not lost unless the slot of a live
 * counter is taken by force (below). (To count in a word of another occupant,
 * a process would have to sleep there while the slot changes hands k * 8
 * times, and wake to the same end and the same value; one hit would then be
 * counted for the wrong key.)
 *
 * The clock is read after the word: every process's monotonic clock is the
 * same, so "now" is never before the time the word was written, and a process
 * that slept between reading the clock and swapping finds the word changed.
 * An end more than two periods ahead comes from another clock (a test that
 * moved back) and counts as over.
 *
 * Eviction. A slot is free when its end has passed. If none of the 15 is, the
 * one that ends first goes, by force, and is counted in header.evictions. But
 * not if it is guarded (at least half of its limit is used) while one is there
 * that is not: a flood of fresh keys makes unguarded counters and pushes out
 * its own, and to reset one abuser it has to spend half a limit on each of the
 * slots around it, without knowing which keys those are.
 *
 * Sliding windows need two counts: a key has one slot for even and one for
 * odd windows. Before a window's first count its predecessor is sealed (made,
 * if need be): a swap that is still under way there fails, finds the time
 * changed, and counts in the new window. So the previous count that decisions
 * rest on is final.
 *
 * Memory order. Sequentially consistent, all of it. Settling "nobody" has to
 * see the (a) that another process saw before it saw that the insertion was
 * not called off yet: a chain of reads through three processes, which acquire
 * and release alone do not carry. It costs nothing on x86 and little on ARM. */
#include "limit/shm/table.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/segment.h"
#include "base/siphash.h"

/* A lock hidden in an emulated atomic would be private to each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

#define SLOTS_PER_BUCKET 15u
#define TICK_US INT64_C(10000)
#define FRESH_US INT64_C(1000000)

typedef struct slot {
    _Atomic uint64_t entry;
    _Atomic uint64_t word;
} slot;

typedef struct bucket {
    _Atomic uint64_t latest;
    uint64_t unused;
    slot slots[SLOTS_PER_BUCKET];
} bucket;

_Static_assert(sizeof(bucket) == 256, "a bucket is four cache lines");

typedef struct header {
    fta_siphash_key secret;
    _Atomic uint64_t evictions;
} header;

/* The buckets start on a page of their own. */
#define HEADER_BYTES ((size_t)4096)

_Static_assert(sizeof(header) <= HEADER_BYTES, "the header is one page");

/* Changes with everything above that is in shared memory. */
#define LAYOUT 1

struct fta_shm_table {
    fta_segment *segment; /* Owned. */
    size_t bytes_wanted;
    header *header;  /* Borrowed: inside the segment. */
    bucket *buckets; /* Borrowed: inside the segment. */
    size_t bucket_count;
};

/* -- words ----------------------------------------------------------------- */

#define GENERATION_MASK 0x7u

#define ENTRY_SEQUENCE_MASK UINT64_C(0xFFF)
#define ENTRY_FORCE (UINT64_C(1) << 12)
#define ENTRY_GENERATION_SHIFT 13
#define ENTRY_SLOT_SHIFT 16
#define ENTRY_SLOT_MASK 0xFu
#define ENTRY_TAG_SHIFT 20
#define TAG_MASK ((UINT64_C(1) << 44) - 1)

#define WORD_GENERATION_SHIFT 61
#define WORD_END_SHIFT 25
#define WORD_END_MASK ((UINT64_C(1) << 36) - 1)
#define WORD_GUARDED (UINT64_C(1) << 24)
#define WORD_SEALED (UINT64_C(1) << 23)
#define WORD_VALUE_MASK ((UINT64_C(1) << 23) - 1)

_Static_assert(WORD_VALUE_MASK == FTA_RATE_LIMIT_MAX, "a count has to fit");

static inline uint64_t
entry_tag(uint64_t entry)
{
    return entry >> ENTRY_TAG_SHIFT;
}

static inline size_t
entry_slot(uint64_t entry)
{
    return (size_t)(entry >> ENTRY_SLOT_SHIFT) & ENTRY_SLOT_MASK;
}

static inline unsigned
entry_generation(uint64_t entry)
{
    return (unsigned)(entry >> ENTRY_GENERATION_SHIFT) & GENERATION_MASK;
}

static inline unsigned
word_generation(uint64_t word)
{
    return (unsigned)(word >> WORD_GENERATION_SHIFT);
}

/* A word that says nothing about its key. */
static inline uint64_t
empty_word(unsigned generation)
{
    return (uint64_t)generation << WORD_GENERATION_SHIFT;
}

static inline bool
word_is_empty(uint64_t word)
{
    return (word << 3) == 0;
}

static inline int64_t
tick_of(int64_t us)
{
    return us / TICK_US - (us % TICK_US < 0);
}

/* Ends are kept modulo 2^36 ticks (21 years) and compared by their signed
 * distance, so no uptime is too long. */
static inline int64_t
ticks_left(uint64_t word, int64_t now_us)
{
    uint64_t end = word >> WORD_END_SHIFT;
    uint64_t distance = (end - (uint64_t)tick_of(now_us)) & WORD_END_MASK;
    return (int64_t)(distance << 28) >> 28;
}

static inline int64_t
word_end_us(uint64_t word, int64_t now_us)
{
    return (tick_of(now_us) + ticks_left(word, now_us)) * TICK_US;
}

/* end_us is a whole number of ticks. */
static inline uint64_t
make_word(unsigned generation, int64_t end_us, uint64_t flags, uint32_t value)
{
    uint64_t end = (uint64_t)tick_of(end_us) & WORD_END_MASK;
    return (uint64_t)generation << WORD_GENERATION_SHIFT |
           end << WORD_END_SHIFT | flags | value;
}

/* What a slot says between its insertion and its first count: nothing, but
 * for one second it is not free. */
static inline uint64_t
fresh_word(unsigned generation, int64_t now_us)
{
    return make_word(generation, now_us + FRESH_US, 0, 0);
}

static inline bool
word_is_fresh(uint64_t word)
{
    return (word & (WORD_SEALED | WORD_VALUE_MASK)) == 0;
}

static inline bool
word_is_free(uint64_t word, int64_t now_us)
{
    return word_is_empty(word) || ticks_left(word, now_us) <= 0;
}

/* -- slots ----------------------------------------------------------------- */

/* Here a test stops a process between any two accesses to shared memory, lets
 * others run, and perhaps never comes back. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

static inline uint64_t
read_word(_Atomic uint64_t *word)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load(word);
}

/* expected is by value: callers start again from what they read themselves. */
static inline bool
swap(_Atomic uint64_t *word, uint64_t expected, uint64_t desired)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_compare_exchange_strong(word, &expected, desired);
}

/* What is announced after latest: that a key, or with tag 0 nobody, moves into
 * the slot as that generation. */
static inline uint64_t
announcement(uint64_t latest, uint64_t tag, size_t at, unsigned generation,
             bool force)
{
    return tag << ENTRY_TAG_SHIFT | (uint64_t)at << ENTRY_SLOT_SHIFT |
           (uint64_t)generation << ENTRY_GENERATION_SHIFT |
           (force ? ENTRY_FORCE : 0) | ((latest + 1) & ENTRY_SEQUENCE_MASK);
}

/* Step 4 for the announcement entry, which was read from b->latest. Returns
 * when it is done or called off, or no longer the latest. */
static void
settle(fta_shm_table *counter, bucket *b, uint64_t entry)
{
    size_t at = entry_slot(entry);
    unsigned generation = entry_generation(entry);
    slot *s = &b->slots[at];
    for (;;) {
        uint64_t resident = read_word(&s->entry);
        uint64_t word = read_word(&s->word);
        if (entry_generation(resident) == generation ||
            read_word(&b->latest) != entry) {
            return;
        }
        if (word_generation(word) == generation) {
            (void)swap(&s->entry, resident, entry); /* (b) */
            continue;
        }
        if (entry_tag(entry) == 0) {
            return; /* Nobody moves in, and (a) was not done. */
        }
        int64_t now_us = fta_clock_monotonic_us();
        bool is_free = word_is_free(word, now_us);
        if (!is_free && !(entry & ENTRY_FORCE)) {
            (void)swap(&b->latest, entry,
                       announcement(entry, 0, at, generation, false)); /* (c) */
            continue;
        }
        if (swap(&s->word, word, fresh_word(generation, now_us)) && /* (a) */
            !is_free) {
            atomic_fetch_add_explicit(&counter->header->evictions, 1,
                                      memory_order_relaxed);
        }
    }
}

/* The slot that an entry is about. */
static inline slot *
slot_of(bucket *b, uint64_t entry)
{
    return &b->slots[entry_slot(entry)];
}

/* The word of the key that was seen to live here as entry, or false if it has
 * moved out. */
static bool
settled_word(fta_shm_table *counter, bucket *b, uint64_t entry, uint64_t *out)
{
    slot *s = slot_of(b, entry);
    for (;;) {
        uint64_t word = read_word(&s->word);
        if (read_word(&s->entry) != entry) {
            return false;
        }
        if (word_generation(word) == entry_generation(entry)) {
            *out = word;
            return true;
        }
        /* Somebody is moving in; or, if that was called off before (a), nobody
         * is, and the owner moves out for nobody and in again. */
        uint64_t latest = read_word(&b->latest);
        settle(counter, b, latest);
        if (read_word(&s->entry) == entry) {
            (void)swap(&b->latest, latest,
                       announcement(latest, 0, entry_slot(entry),
                                    word_generation(word), false));
        }
    }
}

/* Where the search for a tag starts, so that most keys are found at once. */
static inline size_t
first_slot(uint64_t tag)
{
    return (size_t)((tag * SLOTS_PER_BUCKET) >> 44);
}

static inline size_t
next_slot(size_t i)
{
    return i + 1 == SLOTS_PER_BUCKET ? 0 : i + 1;
}

/* The entry of the key, or 0. */
static uint64_t
find(bucket *b, uint64_t tag)
{
    size_t at = first_slot(tag);
    for (size_t i = 0; i < SLOTS_PER_BUCKET; i++, at = next_slot(at)) {
        uint64_t resident = read_word(&b->slots[at].entry);
        if (entry_tag(resident) == tag) {
            return resident;
        }
    }
    return 0;
}

/* How much it would hurt to give a slot away, its time left aside. A fresh
 * slot hurts most: whoever inserted it is about to count in it, and two
 * processes that took such slots from each other would not get anywhere. */
static inline int
weight(uint64_t word)
{
    return word_is_fresh(word) ? 2 : (word & WORD_GUARDED) != 0;
}

/* The slot for a new key: the first that is free, else the one that hurts
 * least. */
static size_t
choose_slot(bucket *b, uint64_t tag, bool *force)
{
    int64_t now_us = fta_clock_monotonic_us();
    size_t at = first_slot(tag), best = at;
    int best_weight = 3;
    int64_t best_left = 0;
    *force = false;
    for (size_t i = 0; i < SLOTS_PER_BUCKET; i++, at = next_slot(at)) {
        uint64_t word = read_word(&b->slots[at].word);
        if (word_is_free(word, now_us)) {
            return at;
        }
        int w = weight(word);
        int64_t left = ticks_left(word, now_us);
        if (w < best_weight || (w == best_weight && left < best_left)) {
            best = at;
            best_weight = w;
            best_left = left;
        }
    }
    *force = true;
    return best;
}

/* The entry of the key, which is inserted if it has none. */
static uint64_t
find_or_insert(fta_shm_table *counter, bucket *b, uint64_t tag)
{
    uint64_t entry = find(b, tag);
    while (entry == 0) {
        uint64_t latest = read_word(&b->latest);
        settle(counter, b, latest);
        entry = find(b, tag);
        if (entry != 0) {
            break;
        }
        bool force;
        size_t at = choose_slot(b, tag, &force);
        uint64_t resident = read_word(&b->slots[at].entry);
        uint64_t announced = announcement(
            latest, tag, at, (entry_generation(resident) + 1) & GENERATION_MASK,
            force);
        if (swap(&b->latest, latest, announced)) {
            settle(counter, b, announced);
        }
        entry = find(b, tag);
    }
    return entry;
}

/* -- strategies on words --------------------------------------------------- */

/* Where one hit was counted, to be able to take it back. */
typedef struct count_receipt {
    uint64_t entry;
    uint64_t word; /* As it was swapped in. */
} count_receipt;

typedef struct key_place {
    bucket *bucket; /* Borrowed: inside the table. */
    uint64_t tag;
} key_place;

static key_place
place_of(const fta_shm_table *counter, const fta_hit *hit)
{
    uint64_t hash =
        fta_siphash(&counter->header->secret, hit->key, hit->key_length);
    uint64_t index = ((hash >> 32) * counter->bucket_count) >> 32;
    uint64_t tag = hash & TAG_MASK;
    /* The lowest bit is left to the sliding window, and a tag of 0 means that
     * nobody is there. */
    tag &= ~UINT64_C(1);
    return (key_place){&counter->buckets[index], tag != 0 ? tag : 2};
}

static uint64_t
guard(uint32_t remaining, const fta_hit *hit)
{
    return remaining <= hit->limit / 2 ? WORD_GUARDED : 0;
}

/* Whether the word still counts, as seen by a limit of this period. */
static bool
word_counts(uint64_t word, const fta_hit *hit, int64_t now_us)
{
    return !word_is_fresh(word) &&
           ticks_left(word, now_us) * TICK_US <= 2 * hit->period_us + TICK_US;
}

/* Looks at a word; if the hit is allowed, *next is the word that counts it and
 * the verdict says what remains then. */
static void
window_step(uint64_t word, const fta_hit *hit, int64_t now_us,
            fta_verdict *verdict, uint64_t *next)
{
    fta_window window = {0, 0};
    if (word_counts(word, hit, now_us)) {
        window.end_us = word_end_us(word, now_us);
        window.count = (uint32_t)(word & WORD_VALUE_MASK);
    }
    fta_window_look(&window, hit, now_us, verdict);
    if (next == NULL || !verdict->allowed) {
        return;
    }
    /* A window starts with the tick of its first hit. */
    fta_window_take(&window, hit, tick_of(now_us) * TICK_US);
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = window.end_us - now_us;
    *next = make_word(word_generation(word), window.end_us,
                      guard(verdict->remaining, hit), window.count);
}

/* A tat is kept to the microsecond: the tick after it as the end, and one more
 * than the microseconds into its own tick as the value. */
static int64_t
word_tat_us(uint64_t word, int64_t now_us)
{
    return word_end_us(word, now_us) - TICK_US +
           (int64_t)(word & WORD_VALUE_MASK) - 1;
}

static uint64_t
make_tat_word(unsigned generation, int64_t tat_us, uint64_t flags)
{
    int64_t tick = tick_of(tat_us);
    return make_word(generation, (tick + 1) * TICK_US, flags,
                     (uint32_t)(tat_us - tick * TICK_US) + 1);
}

static void
gcra_step(uint64_t word, const fta_hit *hit, int64_t now_us,
          fta_verdict *verdict, uint64_t *next)
{
    int64_t tat_us = now_us;
    if (word_counts(word, hit, now_us)) {
        tat_us = word_tat_us(word, now_us);
    }
    fta_gcra_look(tat_us, hit, now_us, verdict);
    if (next == NULL || !verdict->allowed) {
        return;
    }
    tat_us = fta_gcra_take(tat_us, hit, now_us);
    verdict->remaining -= hit->cost;
    verdict->reset_after_us = tat_us - now_us;
    *next = make_tat_word(word_generation(word), tat_us,
                          guard(verdict->remaining, hit));
}

static uint64_t
gcra_take_back(uint64_t word, const fta_hit *hit, int64_t now_us)
{
    int64_t tat_us = fta_gcra_take_back(word_tat_us(word, now_us), hit);
    return make_tat_word(word_generation(word), tat_us, word & WORD_GUARDED);
}

typedef void step_function(uint64_t word, const fta_hit *hit, int64_t now_us,
                           fta_verdict *verdict, uint64_t *next);

static bool
count_in_one_slot(fta_shm_table *counter, step_function *step,
                  const key_place *place, const fta_hit *hit,
                  fta_verdict *verdict, count_receipt *receipt)
{
    for (;;) {
        uint64_t word, next;
        uint64_t entry = find_or_insert(counter, place->bucket, place->tag);
        if (!settled_word(counter, place->bucket, entry, &word)) {
            continue;
        }
        int64_t now_us = fta_clock_monotonic_us();
        step(word, hit, now_us, verdict, &next);
        if (!verdict->allowed) {
            return false;
        }
        /* Before it counts: whoever is killed in between leaves a segment
         * that is kept too long, and never one that is removed too early. */
        fta_segment_keep_until(counter->segment, word_end_us(next, now_us));
        if (swap(&slot_of(place->bucket, entry)->word, word, next)) {
            *receipt = (count_receipt){entry, next};
            return true;
        }
    }
}

/* What the table knows of a key: an empty word if it has no slot. */
static uint64_t
known_word(fta_shm_table *counter, bucket *b, uint64_t tag)
{
    uint64_t entry, word;
    while ((entry = find(b, tag)) != 0) {
        if (settled_word(counter, b, entry, &word)) {
            return word;
        }
    }
    return 0;
}

/* Which of a key's two slots a window counts in. */
static uint64_t
window_parity(int64_t start_us, const fta_hit *hit)
{
    return (uint64_t)(start_us / hit->period_us) & 1;
}

/* A window's count is kept until the end of the window after it. */
static bool
word_is_of_window(uint64_t word, int64_t start_us, const fta_hit *hit,
                  int64_t now_us)
{
    return (word & (WORD_SEALED | WORD_VALUE_MASK)) != 0 &&
           word_end_us(word, now_us) == start_us + 2 * hit->period_us;
}

static bool
count_sliding(fta_shm_table *counter, const key_place *place,
              const fta_hit *hit, fta_verdict *verdict, count_receipt *receipt)
{
    bucket *b = place->bucket;
    for (;;) {
        int64_t start_us = fta_sliding_start(hit, fta_clock_monotonic_us());
        int64_t before_us = start_us - hit->period_us;
        uint64_t parity = window_parity(start_us, hit);
        uint64_t word, word_before;
        uint64_t entry = find_or_insert(counter, b, place->tag | parity);
        uint64_t entry_before =
            find_or_insert(counter, b, place->tag | (parity ^ 1));
        if (!settled_word(counter, b, entry, &word) ||
            !settled_word(counter, b, entry_before, &word_before)) {
            continue;
        }
        int64_t now_us = fta_clock_monotonic_us();
        if (fta_sliding_start(hit, now_us) != start_us) {
            continue;
        }
        if (!word_is_of_window(word_before, before_us, hit, now_us)) {
            (void)swap(&slot_of(b, entry_before)->word, word_before,
                       make_word(entry_generation(entry_before),
                                 start_us + hit->period_us, WORD_SEALED, 0));
            continue;
        }
        if ((word_before & WORD_SEALED) == 0) {
            (void)swap(&slot_of(b, entry_before)->word, word_before,
                       word_before | WORD_SEALED);
            continue;
        }
        fta_sliding sliding = {
            .start_us = start_us,
            .previous = (uint32_t)(word_before & WORD_VALUE_MASK),
        };
        if (word_is_of_window(word, start_us, hit, now_us)) {
            sliding.current = (uint32_t)(word & WORD_VALUE_MASK);
        }
        fta_sliding_look(&sliding, hit, now_us, verdict);
        if (!verdict->allowed) {
            return false;
        }
        fta_sliding_take(&sliding, hit);
        int64_t end_us = start_us + 2 * hit->period_us;
        uint64_t next = make_word(entry_generation(entry), end_us,
                                  guard(verdict->remaining - hit->cost, hit),
                                  sliding.current);
        fta_segment_keep_until(counter->segment, end_us);
        if (swap(&slot_of(b, entry)->word, word, next)) {
            fta_verdict after;
            fta_sliding_look(&sliding, hit, now_us, &after);
            verdict->remaining = after.remaining;
            verdict->reset_after_us = after.reset_after_us;
            *receipt = (count_receipt){entry, next};
            return true;
        }
    }
}

static void
peek_sliding(fta_shm_table *counter, const key_place *place, const fta_hit *hit,
             fta_verdict *verdict)
{
    uint64_t words[2] = {
        known_word(counter, place->bucket, place->tag),
        known_word(counter, place->bucket, place->tag | 1),
    };
    int64_t now_us = fta_clock_monotonic_us();
    fta_sliding sliding = {.start_us = fta_sliding_start(hit, now_us)};
    uint64_t parity = window_parity(sliding.start_us, hit);
    if (word_is_of_window(words[parity], sliding.start_us, hit, now_us)) {
        sliding.current = (uint32_t)(words[parity] & WORD_VALUE_MASK);
    }
    if (word_is_of_window(words[parity ^ 1], sliding.start_us - hit->period_us,
                          hit, now_us)) {
        sliding.previous = (uint32_t)(words[parity ^ 1] & WORD_VALUE_MASK);
    }
    fta_sliding_look(&sliding, hit, now_us, verdict);
}

/* -- one hit --------------------------------------------------------------- */

static bool
count(fta_shm_table *counter, fta_strategy strategy, const key_place *place,
      const fta_hit *hit, fta_verdict *verdict, count_receipt *receipt)
{
    if (strategy == FTA_SLIDING_WINDOW_COUNTER) {
        return count_sliding(counter, place, hit, verdict, receipt);
    }
    return count_in_one_slot(counter,
                             strategy == FTA_GCRA ? gcra_step : window_step,
                             place, hit, verdict, receipt);
}

static void
peek(fta_shm_table *counter, fta_strategy strategy, const key_place *place,
     const fta_hit *hit, fta_verdict *verdict)
{
    if (strategy == FTA_SLIDING_WINDOW_COUNTER) {
        peek_sliding(counter, place, hit, verdict);
        return;
    }
    uint64_t word = known_word(counter, place->bucket, place->tag);
    step_function *step = strategy == FTA_GCRA ? gcra_step : window_step;
    step(word, hit, fta_clock_monotonic_us(), verdict, NULL);
}

/* Takes a count back, unless its window is over by now or its slot lost. */
static void
take_back(fta_shm_table *counter, fta_strategy strategy, const key_place *place,
          const fta_hit *hit, const count_receipt *receipt)
{
    uint64_t word, next;
    do {
        if (!settled_word(counter, place->bucket, receipt->entry, &word) ||
            word_is_fresh(word)) {
            return;
        }
        if (strategy == FTA_GCRA) {
            next = gcra_take_back(word, hit, fta_clock_monotonic_us());
        } else if (((word ^ receipt->word) >> WORD_END_SHIFT) != 0 ||
                   (word & WORD_VALUE_MASK) < hit->cost) {
            return;
        } else {
            next = word - hit->cost;
            if (word_is_fresh(next)) {
                next = empty_word(word_generation(word));
            }
        }
    } while (!swap(&slot_of(place->bucket, receipt->entry)->word, word, next));
}

static void
forget(fta_shm_table *counter, bucket *b, uint64_t tag)
{
    uint64_t entry, word;
    while ((entry = find(b, tag)) != 0) {
        if (settled_word(counter, b, entry, &word) &&
            swap(&slot_of(b, entry)->word, word,
                 empty_word(entry_generation(entry)))) {
            return;
        }
    }
}

/* -- several hits ---------------------------------------------------------- */

/* The indices of the hits, those with the least left first: the limit that is
 * most likely to refuse is then asked before the others have counted. */
static void
order_by_remaining(const fta_verdict *verdicts, size_t n, size_t *order)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 &&
               verdicts[order[at - 1]].remaining > verdicts[i].remaining;
             at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

static size_t
closest(const fta_verdict *verdicts, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (fta_verdict_closer(&verdicts[i], &verdicts[best])) {
            best = i;
        }
    }
    return best;
}

void
fta_shm_table_hit(fta_shm_table *counter, fta_strategy strategy,
                  fta_action action, const fta_hit *hits, size_t n,
                  fta_verdict *verdict)
{
    key_place places[FTA_HITS_MAX];
    fta_verdict verdicts[FTA_HITS_MAX];
    count_receipt receipts[FTA_HITS_MAX];
    size_t order[FTA_HITS_MAX];

    /* n is at least 1, which GCC 11 does not know when it warns. */
    verdicts[0] = (fta_verdict){.index = 0};
    for (size_t i = 0; i < n; i++) {
        places[i] = place_of(counter, &hits[i]);
        verdicts[i].index = i;
    }
    if (action == FTA_RESET) {
        for (size_t i = 0; i < n; i++) {
            forget(counter, places[i].bucket, places[i].tag);
            forget(counter, places[i].bucket, places[i].tag | 1);
        }
    }
    if (action == FTA_COUNT && n == 1) {
        (void)count(counter, strategy, &places[0], &hits[0], &verdicts[0],
                    &receipts[0]);
        *verdict = verdicts[0];
        return;
    }

    for (size_t i = 0; i < n; i++) {
        peek(counter, strategy, &places[i], &hits[i], &verdicts[i]);
    }
    *verdict = verdicts[closest(verdicts, n)];
    if (action != FTA_COUNT || !verdict->allowed) {
        return;
    }

    order_by_remaining(verdicts, n, order);
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k];
        if (count(counter, strategy, &places[i], &hits[i], &verdicts[i],
                  &receipts[i])) {
            continue;
        }
        /* Somebody else was faster. */
        *verdict = verdicts[i];
        while (k-- > 0) {
            i = order[k];
            take_back(counter, strategy, &places[i], &hits[i], &receipts[i]);
        }
        return;
    }
    *verdict = verdicts[closest(verdicts, n)];
}

/* -- life ------------------------------------------------------------------ */

static fta_status
fill(void *memory, size_t bytes)
{
    header *h = memory;
    (void)bytes;
    return RAND_bytes((unsigned char *)&h->secret, sizeof h->secret) == 1
               ? FTA_OK
               : FTA_CRYPTO;
}

/* What a table takes that nobody has given a size: never more than an eighth
 * of what is free, so that several applications fit into a container's 64 MiB
 * and leave room for others. */
static size_t
default_bytes(const fta_shm_table_options *options)
{
    uint64_t room =
        options->shared ? fta_segment_free_bytes(options->directory) : 0;
    uint64_t bytes = room / 8 / FTA_SHM_TABLE_MIN * FTA_SHM_TABLE_MIN;
    if (room == 0 || bytes > FTA_SHM_TABLE_DEFAULT) {
        return FTA_SHM_TABLE_DEFAULT;
    }
    return bytes < FTA_SHM_TABLE_MIN ? FTA_SHM_TABLE_MIN : (size_t)bytes;
}

fta_status
fta_shm_table_open(const fta_shm_table_options *options, fta_shm_table **out,
                   int *error)
{
    *error = 0;
    size_t bytes = options->bytes;
    if (bytes == 0) {
        bytes = default_bytes(options);
    } else if (bytes < FTA_SHM_TABLE_MIN || bytes > FTA_SHM_TABLE_MAX) {
        return FTA_SHM_BYTES_INVALID;
    }
    fta_shm_table *counter = fta_calloc(1, sizeof *counter);
    if (counter == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_segment_purpose purpose = {LAYOUT, options->app, options->prefix};
    fta_status status =
        options->shared
            ? fta_segment_shared(options->directory, &purpose, bytes, fill,
                                 &counter->segment, error)
            : fta_segment_private(bytes, fill, &counter->segment);
    if (status != FTA_OK) {
        fta_free(counter);
        return status;
    }
    counter->bytes_wanted = options->bytes;
    char *memory = fta_segment_memory(counter->segment);
    counter->header = (header *)(void *)memory;
    counter->buckets = (bucket *)(void *)(memory + HEADER_BYTES);
    counter->bucket_count =
        (fta_segment_bytes(counter->segment) - HEADER_BYTES) / sizeof(bucket);
    *out = counter;
    return FTA_OK;
}

fta_status
fta_shm_table_of_others(const fta_shm_table_options *options,
                        fta_segment_owner *out)
{
    fta_segment_purpose purpose = {LAYOUT, options->app, options->prefix};
    return fta_segment_of_others(options->directory, &purpose, out);
}

void
fta_shm_table_leave(fta_shm_table *counter)
{
    fta_segment_leave(counter->segment);
}

void
fta_shm_table_close(fta_shm_table *counter)
{
    if (counter != NULL) {
        fta_segment_close(counter->segment);
        fta_free(counter);
    }
}

uint64_t
fta_shm_table_evictions(const fta_shm_table *counter)
{
    return atomic_load_explicit(&counter->header->evictions,
                                memory_order_relaxed);
}

void
fta_shm_table_usage_read(const fta_shm_table *counter, fta_shm_table_usage *out)
{
    int64_t now_us = fta_clock_monotonic_us();
    size_t bytes = fta_segment_whole_bytes(counter->segment);
    *out = (fta_shm_table_usage){
        .bytes = HEADER_BYTES + counter->bucket_count * sizeof(bucket),
        .has_other_size =
            counter->bytes_wanted != 0 && counter->bytes_wanted != bytes,
        .path = fta_segment_path(counter->segment),
        .foreign = fta_segment_foreign(counter->segment),
        .slots = counter->bucket_count * SLOTS_PER_BUCKET,
        .evictions = fta_shm_table_evictions(counter),
    };
    for (size_t i = 0; i < counter->bucket_count; i++) {
        for (size_t k = 0; k < SLOTS_PER_BUCKET; k++) {
            slot *s = &counter->buckets[i].slots[k];
            if (!word_is_free(read_word(&s->word), now_us)) {
                out->slots_used++;
            }
        }
    }
}
