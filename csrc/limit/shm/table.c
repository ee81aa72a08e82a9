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
 *     word  = generation 3 | end 28 | guarded 1 | sealed 1 | value 31
 *
 * bucket.latest is an entry, and slot.entry is the entry of whoever lives in
 * the slot, a copy of the announcement that brought it there. slot.word is all
 * that is known about that key's counter: the tick that it ends with and a
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
 * Giving back. A receipt of a count names the entry that it was counted under
 * and the time. The count is taken out of the word, by a swap as well, only
 * where the key still has that entry, and the strategy decides by both times. A
 * reset swaps in an empty word of the next generation, which is step (a) for
 * nobody. Whoever comes next announces that nobody is there and completes it by
 * (b). So a key that was reset has another entry afterwards, and no receipt
 * from before the reset gives back what was counted since.
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
#include "limit/shm/table_internal.h"

#include "base/clock.h"

/* What is announced after latest: that a key, or with tag 0 nobody, moves into
 * the slot as that generation. */
static inline uint64_t
announcement(uint64_t latest, uint64_t tag, size_t at, unsigned generation,
             bool force)
{
    return tag << FTA_ENTRY_TAG_SHIFT | (uint64_t)at << FTA_ENTRY_SLOT_SHIFT |
           (uint64_t)generation << FTA_ENTRY_GENERATION_SHIFT |
           (force ? FTA_ENTRY_FORCE : 0) |
           ((latest + 1) & FTA_ENTRY_SEQUENCE_MASK);
}

/* Step 4 for the announcement entry, which was read from b->latest. Returns
 * when it is done or called off, or no longer the latest. */
static void
settle(fta_shm_table *table, fta_shm_bucket *b, uint64_t entry)
{
    size_t at = fta_entry_slot(entry);
    unsigned generation = fta_entry_generation(entry);
    fta_shm_slot *s = &b->slots[at];
    for (;;) {
        uint64_t resident = fta_shm_read(&s->entry);
        uint64_t word = fta_shm_read(&s->word);
        if (fta_entry_generation(resident) == generation ||
            fta_shm_read(&b->latest) != entry) {
            return;
        }
        if (fta_word_generation(word) == generation) {
            (void)fta_shm_swap(&s->entry, resident, entry); /* (b) */
            continue;
        }
        if (fta_entry_tag(entry) == 0) {
            return; /* Nobody moves in, and (a) was not done. */
        }
        int64_t now_us = fta_clock_monotonic_us();
        bool is_free = fta_word_is_free(word, now_us);
        if (!is_free && !(entry & FTA_ENTRY_FORCE)) {
            (void)fta_shm_swap(
                &b->latest, entry,
                announcement(entry, 0, at, generation, false)); /* (c) */
            continue;
        }
        if (fta_shm_swap(&s->word, word,
                         fta_word_fresh(generation, now_us)) && /* (a) */
            !is_free) {
            atomic_fetch_add_explicit(&table->header->evictions, 1,
                                      memory_order_relaxed);
        }
    }
}

/* The word of the key that was seen to live here as entry, or false if it has
 * moved out. */
bool
fta_shm_settled_word(fta_shm_table *table, fta_shm_bucket *b, uint64_t entry,
                     uint64_t *out)
{
    fta_shm_slot *s = fta_shm_slot_of(b, entry);
    for (;;) {
        uint64_t word = fta_shm_read(&s->word);
        if (fta_shm_read(&s->entry) != entry) {
            return false;
        }
        if (fta_word_generation(word) == fta_entry_generation(entry)) {
            *out = word;
            return true;
        }
        /* Somebody is moving in; or, if that was called off before (a), nobody
         * is, and the owner moves out for nobody and in again. */
        uint64_t latest = fta_shm_read(&b->latest);
        settle(table, b, latest);
        if (fta_shm_read(&s->entry) == entry) {
            (void)fta_shm_swap(&b->latest, latest,
                               announcement(latest, 0, fta_entry_slot(entry),
                                            fta_word_generation(word), false));
        }
    }
}

/* Where the search for a tag starts, so that most keys are found at once. */
static inline size_t
first_slot(uint64_t tag)
{
    return (size_t)((tag * FTA_SLOTS_PER_BUCKET) >> FTA_TAG_BITS);
}

static inline size_t
next_slot(size_t i)
{
    return i + 1 == FTA_SLOTS_PER_BUCKET ? 0 : i + 1;
}

/* The entry of the key, or 0. */
void
fta_shm_prefetch(const fta_shm_bucket *b, uint64_t tag)
{
    __builtin_prefetch(&b->slots[first_slot(tag)]);
}

uint64_t
fta_shm_find(fta_shm_bucket *b, uint64_t tag)
{
    size_t at = first_slot(tag);
    for (size_t i = 0; i < FTA_SLOTS_PER_BUCKET; i++, at = next_slot(at)) {
        uint64_t resident = fta_shm_read(&b->slots[at].entry);
        if (fta_entry_tag(resident) == tag) {
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
    return fta_word_is_fresh(word) ? 2 : (word & FTA_WORD_GUARDED) != 0;
}

/* The slot for a new key: the first that is free, else the one that hurts
 * least. */
static size_t
choose_slot(fta_shm_bucket *b, uint64_t tag, bool *force)
{
    int64_t now_us = fta_clock_monotonic_us();
    size_t at = first_slot(tag), best = at;
    int best_weight = 3;
    int64_t best_left = 0;
    *force = false;
    for (size_t i = 0; i < FTA_SLOTS_PER_BUCKET; i++, at = next_slot(at)) {
        uint64_t word = fta_shm_read(&b->slots[at].word);
        if (fta_word_is_free(word, now_us)) {
            return at;
        }
        int w = weight(word);
        int64_t left = fta_word_ticks_left(word, now_us);
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
uint64_t
fta_shm_find_or_insert(fta_shm_table *table, fta_shm_bucket *b, uint64_t tag)
{
    uint64_t entry = fta_shm_find(b, tag);
    while (entry == 0) {
        uint64_t latest = fta_shm_read(&b->latest);
        settle(table, b, latest);
        entry = fta_shm_find(b, tag);
        if (entry != 0) {
            break;
        }
        bool force;
        size_t at = choose_slot(b, tag, &force);
        uint64_t resident = fta_shm_read(&b->slots[at].entry);
        uint64_t announced = announcement(
            latest, tag, at,
            (fta_entry_generation(resident) + 1) & FTA_GENERATION_MASK, force);
        if (fta_shm_swap(&b->latest, latest, announced)) {
            settle(table, b, announced);
        }
        entry = fta_shm_find(b, tag);
    }
    return entry;
}
