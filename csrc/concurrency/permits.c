/* A lock-free table of permits in shared memory.
 *
 * A key belongs to one of the buckets, and is known there by a tag, both from
 * its SipHash. A bucket has slots of one word each: a permit that is taken, or
 * what is left of one that was given back.
 *
 *     word = taken 1 | tag 26 | process 10 | slot 11 | sequence 16
 *
 * There is no count. How many permits of a key are taken is how many words of
 * its bucket say so. So nothing has to be repaired after a process that was
 * killed: a word names its process by a number, and the kernel says whether the
 * process with that number lives (process_number.h).
 *
 * Taking. Between "there are fewer than N" and "now there is one more" other
 * processes may take permits. So the takings in a bucket are put in a line:
 *
 *   1. Read latest. Settle it (4).
 *   2. Count the words of the key. N or more: denied, see below.
 *   3. Compare-and-swap latest to the announcement of a permit in a free slot.
 *      If that fails, start again.
 *   4. Settle: copy the announcement to its slot, unless that was done.
 *
 * Anybody may run step 4, any number of times. Step 3 succeeds only if nothing
 * was announced since step 1, and slots are only taken by what is announced. So
 * at that moment there are at most as many permits as were counted in step 2,
 * and the chosen slot is still free. Hence never more than N.
 *
 * A request is denied only if nothing was announced during the count either.
 * Then all words that were counted were there when it began. So N were taken
 * at that moment, and no request is denied for less.
 *
 * Settling. The slot has either the word that it had when the announcement was
 * made, which says free; or the announcement; or the announcement given back.
 * Only in the first case the announcement is swapped in, and a swap of somebody
 * who slept expects a word that is gone. It does not come back, because every
 * word in a slot is an announcement of that bucket, with its number in the
 * sequence. The announcement is chosen to differ from the word that is there.
 * (To meet an equal word or latest, a process has to sleep between two
 * instructions while the same process takes a permit of the same key in the
 * same slot, exactly k * 65,536 announcements later.)
 *
 * Giving back. One swap of the very word that was taken. It needs no line:
 * there is one permit less than others think.
 *
 * Processes that have ended. Only somebody who would be denied looks for them.
 * Reads a word, then asks whether its process lives, then swaps that word away.
 * If the process had ended, its number may have a new owner by then. But that
 * owner has swept the table before it took its first permit, so the swap fails.
 *
 * A tag and a bucket are 32 bits. Two keys that share them share their permits
 * for as long as both are in use: they get fewer, never more. With 1,000 keys
 * in use the next one meets one of them with a probability of one in four
 * million. Nobody who does not know the secret can look for such keys.
 *
 * Memory order: sequentially consistent, all of it. */
#include "concurrency/permits_internal.h"

static uint64_t
load(_Atomic uint64_t *word)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load(word);
}

/* expected is by value: callers start again from what they read themselves. */
static bool
swap(_Atomic uint64_t *word, uint64_t expected, uint64_t desired)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_compare_exchange_strong(word, &expected, desired);
}

static bool
is_taken(uint64_t word)
{
    return (word & FTA_PERMIT_TAKEN) != 0;
}

static uint64_t
tag_of(uint64_t word)
{
    return (word >> FTA_PERMIT_TAG_SHIFT) & FTA_PERMIT_TAG_MASK;
}

static unsigned
process_of(uint64_t word)
{
    return (unsigned)(word >> FTA_PERMIT_PROCESS_SHIFT) &
           FTA_PROCESS_NUMBER_MAX;
}

/* NULL: only damaged memory names such a slot. */
static _Atomic uint64_t *
slot_of(fta_permit_bucket *bucket, uint64_t word)
{
    size_t at = (size_t)(word >> FTA_PERMIT_SLOT_SHIFT) & FTA_PERMIT_SLOT_MASK;
    return at < FTA_PERMIT_SLOTS ? &bucket->slots[at] : NULL;
}

static size_t
used_slots(fta_permit_bucket *bucket)
{
    uint64_t used = load(&bucket->used);
    return used < FTA_PERMIT_SLOTS ? (size_t)used : FTA_PERMIT_SLOTS;
}

/* Step 4 for the announcement, which was read from latest. */
static void
settle(fta_permit_bucket *bucket, uint64_t announced)
{
    _Atomic uint64_t *slot = slot_of(bucket, announced);
    if (!is_taken(announced) || slot == NULL) {
        return; /* Nothing was ever announced. */
    }
    uint64_t there = load(slot);
    if ((there | FTA_PERMIT_TAKEN) == announced || is_taken(there) ||
        load(&bucket->latest) != announced) {
        return; /* It was done, by this or for a later announcement. */
    }
    (void)swap(slot, there, announced);
}

/* What is announced after latest. It differs from what is in the slot. */
static uint64_t
announcement(uint64_t latest, uint64_t tag, unsigned process, size_t at,
             uint64_t there)
{
    uint64_t fixed = FTA_PERMIT_TAKEN | tag << FTA_PERMIT_TAG_SHIFT |
                     (uint64_t)process << FTA_PERMIT_PROCESS_SHIFT |
                     (uint64_t)at << FTA_PERMIT_SLOT_SHIFT;
    uint64_t sequence = latest + 1;
    if ((fixed | (sequence & FTA_PERMIT_SEQUENCE_MASK)) ==
        (there | FTA_PERMIT_TAKEN)) {
        sequence++;
    }
    return fixed | (sequence & FTA_PERMIT_SEQUENCE_MASK);
}

/* What a walk over a bucket has found. */
typedef struct finding {
    unsigned taken;   /* Of the key. */
    size_t free_slot; /* The first; FTA_PERMIT_SLOTS: none. */
    uint64_t there;   /* The word in it. */
} finding;

static finding
count_taken(fta_permit_bucket *bucket, uint64_t tag)
{
    finding found = {.free_slot = FTA_PERMIT_SLOTS};
    size_t used = used_slots(bucket);
    for (size_t i = 0; i < used; i++) {
        uint64_t word = load(&bucket->slots[i]);
        if (is_taken(word)) {
            found.taken += tag_of(word) == tag;
        } else if (found.free_slot == FTA_PERMIT_SLOTS) {
            found.free_slot = i;
            found.there = word;
        }
    }
    if (found.free_slot == FTA_PERMIT_SLOTS) {
        found.free_slot = used; /* Never taken so far: its word is 0. */
    }
    return found;
}

/* Before the slot is announced, so that whoever sees the announcement counts
 * the slot too. */
static void
use_slot(fta_permit_bucket *bucket, size_t at)
{
    uint64_t used = load(&bucket->used);
    while (used <= at && !swap(&bucket->used, used, at + 1)) {
        used = load(&bucket->used);
    }
}

/* Frees the permits of processes that have ended; whether there were any. */
static bool
free_ended(fta_permits *permits, fta_permit_bucket *bucket)
{
    bool found = false;
    size_t used = used_slots(bucket);
    fta_process_look look;
    fta_process_look_begin(permits->numbers, &look);
    for (size_t i = 0; i < used; i++) {
        uint64_t word = load(&bucket->slots[i]);
        if (is_taken(word) && !fta_process_lives(&look, process_of(word))) {
            (void)swap(&bucket->slots[i], word, word & ~FTA_PERMIT_TAKEN);
            found = true;
        }
    }
    fta_process_look_end(&look);
    return found;
}

fta_status
fta_permits_take(fta_permits *permits, const uint8_t *key, size_t key_length,
                 unsigned most, fta_permit *out)
{
    *out = (fta_permit){0};
    unsigned process = fta_process_number_take(permits->numbers);
    if (process == 0) {
        return FTA_PROCESS_NUMBER;
    }
    uint64_t hash = fta_siphash(&permits->memory->secret, key, key_length);
    uint64_t tag = hash & FTA_PERMIT_TAG_MASK;
    size_t at = (size_t)(hash >> 32) % FTA_PERMIT_BUCKETS;
    fta_permit_bucket *bucket = &permits->memory->buckets[at];
    for (;;) {
        uint64_t latest = load(&bucket->latest);
        settle(bucket, latest);
        finding found = count_taken(bucket, tag);
        bool is_full = found.free_slot == FTA_PERMIT_SLOTS;
        if (found.taken >= most || is_full) {
            if ((found.taken > 0 || is_full) && free_ended(permits, bucket)) {
                continue;
            }
            if (load(&bucket->latest) != latest) {
                continue;
            }
            return found.taken >= most ? FTA_OK : FTA_PERMITS_FULL;
        }
        use_slot(bucket, found.free_slot);
        uint64_t announced =
            announcement(latest, tag, process, found.free_slot, found.there);
        if (swap(&bucket->latest, latest, announced)) {
            settle(bucket, announced);
            *out = (fta_permit){announced, at};
            return FTA_OK;
        }
    }
}

void
fta_permits_release(fta_permits *permits, const fta_permit *permit)
{
    if (!is_taken(permit->word) ||
        process_of(permit->word) != fta_process_number(permits->numbers)) {
        return;
    }
    fta_permit_bucket *bucket = &permits->memory->buckets[permit->bucket];
    _Atomic uint64_t *slot = slot_of(bucket, permit->word);
    (void)swap(slot, permit->word, permit->word & ~FTA_PERMIT_TAKEN);
}

void
fta_permits_sweep(void *permits, unsigned number)
{
    fta_permit_memory *memory = ((fta_permits *)permits)->memory;
    for (size_t k = 0; k < FTA_PERMIT_BUCKETS; k++) {
        fta_permit_bucket *bucket = &memory->buckets[k];
        settle(bucket, load(&bucket->latest));
        size_t used = used_slots(bucket);
        for (size_t i = 0; i < used; i++) {
            uint64_t word = load(&bucket->slots[i]);
            if (is_taken(word) && process_of(word) == number) {
                (void)swap(&bucket->slots[i], word, word & ~FTA_PERMIT_TAKEN);
            }
        }
    }
}

void
fta_permits_usage_read(const fta_permits *permits, fta_permits_usage *out)
{
    const fta_segment *segment = permits->segment;
    *out = (fta_permits_usage){
        .path = segment == NULL ? NULL : fta_segment_path(segment),
        .foreign = segment == NULL ? NULL : fta_segment_foreign(segment),
    };
    for (size_t k = 0; k < FTA_PERMIT_BUCKETS; k++) {
        fta_permit_bucket *bucket = &permits->memory->buckets[k];
        size_t used = used_slots(bucket);
        for (size_t i = 0; i < used; i++) {
            out->taken += is_taken(load(&bucket->slots[i]));
        }
    }
}
