/* May be included by csrc/limit/shm alone. The two words of a slot; the head of
 * table.c says what they mean. */
#ifndef FTA_LIMIT_SHM_WORD_H
#define FTA_LIMIT_SHM_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limit/strategy.h"

/* How long a slot is not free between its insertion and its first count. */
#define FTA_FRESH_US INT64_C(1000000)

#define FTA_GENERATION_MASK 0x7u

/* entry = tag 44 | slot 4 | generation 3 | force 1 | sequence 12 */
#define FTA_ENTRY_SEQUENCE_MASK UINT64_C(0xFFF)
#define FTA_ENTRY_FORCE (UINT64_C(1) << 12)
#define FTA_ENTRY_GENERATION_SHIFT 13
#define FTA_ENTRY_SLOT_SHIFT 16
#define FTA_ENTRY_SLOT_MASK 0xFu
#define FTA_ENTRY_TAG_SHIFT 20
#define FTA_TAG_BITS 44
#define FTA_TAG_MASK ((UINT64_C(1) << FTA_TAG_BITS) - 1)

/* word = generation 3 | end 28 | guarded 1 | sealed 1 | value 31 */
#define FTA_WORD_GENERATION_SHIFT 61
#define FTA_WORD_END_SHIFT 33
#define FTA_WORD_END_MASK ((UINT64_C(1) << 28) - 1)
#define FTA_WORD_GUARDED (UINT64_C(1) << 32)
#define FTA_WORD_SEALED (UINT64_C(1) << 31)
#define FTA_WORD_VALUE_MASK ((UINT64_C(1) << 31) - 1)

_Static_assert(FTA_WORD_VALUE_MASK == FTA_RATE_LIMIT_MAX, "a count has to fit");

/* No end is further ahead: two of the longest periods, and what the rounding of
 * an interval and of an end may add. */
#define FTA_WORD_TICKS_AHEAD                                                   \
    (2 * (FTA_RATE_PERIOD_MAX * INT64_C(1000000) / FTA_TICK_US) + 2)

static inline uint64_t
fta_entry_tag(uint64_t entry)
{
    return entry >> FTA_ENTRY_TAG_SHIFT;
}

static inline size_t
fta_entry_slot(uint64_t entry)
{
    return (size_t)(entry >> FTA_ENTRY_SLOT_SHIFT) & FTA_ENTRY_SLOT_MASK;
}

static inline unsigned
fta_entry_generation(uint64_t entry)
{
    return (unsigned)(entry >> FTA_ENTRY_GENERATION_SHIFT) &
           FTA_GENERATION_MASK;
}

static inline unsigned
fta_word_generation(uint64_t word)
{
    return (unsigned)(word >> FTA_WORD_GENERATION_SHIFT);
}

static inline uint32_t
fta_word_value(uint64_t word)
{
    return (uint32_t)(word & FTA_WORD_VALUE_MASK);
}

/* A word that says nothing about its key. */
static inline uint64_t
fta_word_empty(unsigned generation)
{
    return (uint64_t)generation << FTA_WORD_GENERATION_SHIFT;
}

static inline bool
fta_word_is_empty(uint64_t word)
{
    return (word << 3) == 0;
}

/* Ends are kept modulo 2^28 ticks, 17 years: those that are not among the 10
 * years ahead are among the 7 years before. */
static inline int64_t
fta_word_ticks_left(uint64_t word, int64_t now_us)
{
    uint64_t end = word >> FTA_WORD_END_SHIFT;
    int64_t left =
        (int64_t)((end - (uint64_t)fta_tick_of(now_us)) & FTA_WORD_END_MASK);
    return left <= FTA_WORD_TICKS_AHEAD
               ? left
               : left - (int64_t)(FTA_WORD_END_MASK + 1);
}

static inline int64_t
fta_word_end_us(uint64_t word, int64_t now_us)
{
    return (fta_tick_of(now_us) + fta_word_ticks_left(word, now_us)) *
           FTA_TICK_US;
}

/* What a word keeps of an end, which is rounded up to a tick. */
static inline uint64_t
fta_word_end_of(int64_t end_us)
{
    return ((uint64_t)fta_tick_from(end_us) & FTA_WORD_END_MASK)
           << FTA_WORD_END_SHIFT;
}

static inline bool
fta_word_has_end(uint64_t word, int64_t end_us)
{
    return (word & FTA_WORD_END_MASK << FTA_WORD_END_SHIFT) ==
           fta_word_end_of(end_us);
}

static inline uint64_t
fta_word_make(unsigned generation, int64_t end_us, uint64_t flags,
              uint32_t value)
{
    return (uint64_t)generation << FTA_WORD_GENERATION_SHIFT |
           fta_word_end_of(end_us) | flags | value;
}

/* What a slot says between its insertion and its first count: nothing, but for
 * FTA_FRESH_US it is not free. */
static inline uint64_t
fta_word_fresh(unsigned generation, int64_t now_us)
{
    return fta_word_make(generation, now_us + FTA_FRESH_US, 0, 0);
}

static inline bool
fta_word_is_fresh(uint64_t word)
{
    return (word & (FTA_WORD_SEALED | FTA_WORD_VALUE_MASK)) == 0;
}

static inline bool
fta_word_is_free(uint64_t word, int64_t now_us)
{
    return fta_word_is_empty(word) || fta_word_ticks_left(word, now_us) <= 0;
}

#endif
