/* Requests against a table: each strategy's counters in the words of slots. The
 * head of table.c says why a count is never lost nor made twice. */
#include "limit/shm/table_internal.h"

#include "base/clock.h"

/* Where a key belongs. */
typedef struct key_place {
    fta_shm_bucket *bucket; /* Borrowed: inside the table. */
    uint64_t tag;
} key_place;

static key_place
place_of(const fta_shm_table *table, const fta_hit *hit)
{
    uint64_t hash =
        fta_siphash(&table->header->secret, hit->key, hit->key_length);
    uint64_t index = ((hash >> 32) * table->bucket_count) >> 32;
    uint64_t tag = hash & FTA_TAG_MASK;
    /* The lowest bit tells a key's two slots apart, and a tag of 0 means that
     * nobody is there. */
    tag &= ~UINT64_C(1);
    return (key_place){&table->buckets[index], tag != 0 ? tag : 2};
}

/* -- Counters in words ----------------------------------------------------- */

static uint64_t
guard(const fta_verdict *verdict)
{
    return verdict->remaining <= verdict->limit / 2 ? FTA_WORD_GUARDED : 0;
}

/* What a word says about its key, as seen by a limit of this period: nothing if
 * its end is further ahead than any that a hit can have left. */
static fta_counter
counter_of(uint64_t word, const fta_hit *hit, int64_t now_us)
{
    int64_t end_us = fta_word_end_us(word, now_us);
    if (fta_word_is_fresh(word) ||
        end_us - now_us > 2 * (hit->period_us + FTA_TICK_US)) {
        return (fta_counter){.value = 0};
    }
    return (fta_counter){.end_us = end_us, .value = fta_word_value(word)};
}

/* What the table knows of a key: an empty word if it has no slot. */
static uint64_t
known_word(fta_shm_table *table, fta_shm_bucket *bucket, uint64_t tag)
{
    uint64_t entry, word;
    while ((entry = fta_shm_find(bucket, tag)) != 0) {
        if (fta_shm_settled_word(table, bucket, entry, &word)) {
            return word;
        }
    }
    return 0;
}

/* -- A strategy with one counter a key ------------------------------------- */

static bool
count_in_one_slot(fta_shm_table *table, const fta_strategy *strategy,
                  const key_place *place, const fta_hit *hit,
                  fta_verdict *verdict, fta_receipt *receipt)
{
    fta_shm_bucket *bucket = place->bucket;
    for (;;) {
        uint64_t word;
        uint64_t entry = fta_shm_find_or_insert(table, bucket, place->tag);
        if (!fta_shm_settled_word(table, bucket, entry, &word)) {
            continue;
        }
        int64_t now_us = fta_clock_monotonic_us();
        fta_counter counter = counter_of(word, hit, now_us);
        if (!strategy->count(&counter, hit, now_us, verdict)) {
            return false;
        }
        uint64_t next = fta_word_make(fta_word_generation(word), counter.end_us,
                                      guard(verdict), counter.value);
        /* Before it counts: whoever is killed in between leaves a segment
         * that is kept too long, and never one that is removed too early. */
        fta_segment_keep_until(table->segment,
                               now_us + verdict->reset_after_us);
        if (fta_shm_swap(&fta_shm_slot_of(bucket, entry)->word, word, next)) {
            *receipt = (fta_receipt){now_us, entry};
            return true;
        }
    }
}

static void
peek_in_one_slot(fta_shm_table *table, const fta_strategy *strategy,
                 const key_place *place, const fta_hit *hit,
                 fta_verdict *verdict)
{
    uint64_t word = known_word(table, place->bucket, place->tag);
    int64_t now_us = fta_clock_monotonic_us();
    fta_counter counter = counter_of(word, hit, now_us);
    strategy->look(&counter, hit, now_us, verdict);
}

/* -- A strategy with one counter a window ---------------------------------- */

/* Which of a key's two slots a window counts in. */
static uint64_t
window_parity(int64_t start_us, const fta_hit *hit)
{
    return (uint64_t)(start_us / hit->period_us) & 1;
}

/* A window's count is kept until the end of the window after it. */
static bool
word_is_of_window(uint64_t word, int64_t start_us, const fta_hit *hit)
{
    return !fta_word_is_fresh(word) &&
           fta_word_has_end(word, fta_counter_end(hit, start_us));
}

/* The counter of the window that starts then, of its word and of the word of
 * the window before. */
static fta_counter
counter_of_windows(uint64_t word, uint64_t word_before, int64_t start_us,
                   const fta_hit *hit)
{
    fta_counter counter = {.end_us = fta_counter_end(hit, start_us)};
    if (word_is_of_window(word, start_us, hit)) {
        counter.value = fta_word_value(word);
    }
    if (word_is_of_window(word_before, start_us - hit->period_us, hit)) {
        counter.previous = fta_word_value(word_before);
    }
    return counter;
}

static bool
count_in_two_slots(fta_shm_table *table, const fta_strategy *strategy,
                   const key_place *place, const fta_hit *hit,
                   fta_verdict *verdict, fta_receipt *receipt)
{
    fta_shm_bucket *b = place->bucket;
    for (;;) {
        int64_t start_us = fta_window_start(hit, fta_clock_monotonic_us());
        uint64_t parity = window_parity(start_us, hit);
        uint64_t word, before;
        uint64_t entry = fta_shm_find_or_insert(table, b, place->tag | parity);
        uint64_t entry_before =
            fta_shm_find_or_insert(table, b, place->tag | (parity ^ 1));
        if (!fta_shm_settled_word(table, b, entry, &word) ||
            !fta_shm_settled_word(table, b, entry_before, &before)) {
            continue;
        }
        int64_t now_us = fta_clock_monotonic_us();
        if (fta_window_start(hit, now_us) != start_us) {
            continue;
        }
        if (!word_is_of_window(before, start_us - hit->period_us, hit)) {
            (void)fta_shm_swap(&fta_shm_slot_of(b, entry_before)->word, before,
                               fta_word_make(fta_entry_generation(entry_before),
                                             start_us + hit->period_us,
                                             FTA_WORD_SEALED, 0));
            continue;
        }
        if ((before & FTA_WORD_SEALED) == 0) {
            (void)fta_shm_swap(&fta_shm_slot_of(b, entry_before)->word, before,
                               before | FTA_WORD_SEALED);
            continue;
        }
        fta_counter counter = counter_of_windows(word, before, start_us, hit);
        if (!strategy->count(&counter, hit, now_us, verdict)) {
            return false;
        }
        uint64_t next =
            fta_word_make(fta_entry_generation(entry), counter.end_us,
                          guard(verdict), counter.value);
        fta_segment_keep_until(table->segment, counter.end_us);
        if (fta_shm_swap(&fta_shm_slot_of(b, entry)->word, word, next)) {
            *receipt = (fta_receipt){now_us, entry};
            return true;
        }
    }
}

static void
peek_in_two_slots(fta_shm_table *table, const fta_strategy *strategy,
                  const key_place *place, const fta_hit *hit,
                  fta_verdict *verdict)
{
    uint64_t words[2] = {
        known_word(table, place->bucket, place->tag),
        known_word(table, place->bucket, place->tag | 1),
    };
    int64_t now_us = fta_clock_monotonic_us();
    int64_t start_us = fta_window_start(hit, now_us);
    uint64_t parity = window_parity(start_us, hit);
    fta_counter counter =
        counter_of_windows(words[parity], words[parity ^ 1], start_us, hit);
    strategy->look(&counter, hit, now_us, verdict);
}

/* -- One hit --------------------------------------------------------------- */

static bool
count(fta_shm_table *table, const fta_strategy *strategy,
      const key_place *place, const fta_hit *hit, fta_verdict *verdict,
      fta_receipt *receipt)
{
    return strategy->keeps_previous ? count_in_two_slots(table, strategy, place,
                                                         hit, verdict, receipt)
                                    : count_in_one_slot(table, strategy, place,
                                                        hit, verdict, receipt);
}

static void
peek(fta_shm_table *table, const fta_strategy *strategy, const key_place *place,
     const fta_hit *hit, fta_verdict *verdict)
{
    if (strategy->keeps_previous) {
        peek_in_two_slots(table, strategy, place, hit, verdict);
    } else {
        peek_in_one_slot(table, strategy, place, hit, verdict);
    }
}

/* Takes a count back, unless its window is over by now, or its slot lost: to
 * another key, or by a reset. */
static void
take_back(fta_shm_table *table, const fta_strategy *strategy,
          const key_place *place, const fta_hit *hit,
          const fta_receipt *receipt)
{
    uint64_t word, next;
    do {
        if (!fta_shm_settled_word(table, place->bucket, receipt->entry,
                                  &word) ||
            fta_word_is_fresh(word)) {
            return;
        }
        int64_t now_us = fta_clock_monotonic_us();
        int64_t start_us = fta_window_start(hit, receipt->at_us);
        fta_counter counter = strategy->keeps_previous
                                  ? counter_of_windows(word, 0, start_us, hit)
                                  : counter_of(word, hit, now_us);
        if (!strategy->take_back(&counter, receipt, hit, now_us)) {
            return;
        }
        unsigned generation = fta_word_generation(word);
        next = fta_word_make(generation, counter.end_us,
                             word & (FTA_WORD_GUARDED | FTA_WORD_SEALED),
                             counter.value);
        if (fta_word_is_fresh(next)) {
            next = fta_word_empty(generation);
        }
    } while (!fta_shm_swap(
        &fta_shm_slot_of(place->bucket, receipt->entry)->word, word, next));
}

/* Empties the slot of a key, and has the key leave it: its next hit gets a new
 * entry, so that no receipt from before fits. */
static void
forget(fta_shm_table *table, fta_shm_bucket *bucket, uint64_t tag)
{
    uint64_t entry, word;
    while ((entry = fta_shm_find(bucket, tag)) != 0) {
        unsigned next = (fta_entry_generation(entry) + 1) & FTA_GENERATION_MASK;
        if (fta_shm_settled_word(table, bucket, entry, &word)) {
            (void)fta_shm_swap(&fta_shm_slot_of(bucket, entry)->word, word,
                               fta_word_empty(next));
        }
    }
}

/* -- Several hits ---------------------------------------------------------- */

/* The indices of the hits, those with the least left first: the limit that is
 * most likely to be reached is then asked before the others have counted. */
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
fta_shm_table_hit(fta_shm_table *table, const fta_hits *request,
                  fta_verdict *verdict)
{
    const fta_strategy *strategy = request->strategy;
    const fta_hit *hits = request->hits;
    size_t n = request->count;
    key_place places[FTA_HITS_MAX];
    fta_verdict verdicts[FTA_HITS_MAX];
    fta_receipt own_receipts[FTA_HITS_MAX];
    fta_receipt *receipts =
        request->receipts != NULL ? request->receipts : own_receipts;
    size_t order[FTA_HITS_MAX];

    /* n is at least 1, which GCC 11 does not know when it warns. */
    verdicts[0] = (fta_verdict){.index = 0};
    /* The slots of all hits are on their way before the first one is read. */
    for (size_t i = 0; i < n; i++) {
        places[i] = place_of(table, &hits[i]);
        fta_shm_prefetch(places[i].bucket, places[i].tag);
        verdicts[i].index = i;
    }
    if (request->action == FTA_RESET) {
        for (size_t i = 0; i < n; i++) {
            forget(table, places[i].bucket, places[i].tag);
            forget(table, places[i].bucket, places[i].tag | 1);
        }
    }
    if (request->action == FTA_GIVE_BACK) {
        for (size_t i = 0; i < n; i++) {
            take_back(table, strategy, &places[i], &hits[i], &receipts[i]);
        }
    }
    if (request->action == FTA_COUNT && n == 1) {
        (void)count(table, strategy, &places[0], &hits[0], &verdicts[0],
                    &receipts[0]);
        *verdict = verdicts[0];
        return;
    }

    for (size_t i = 0; i < n; i++) {
        peek(table, strategy, &places[i], &hits[i], &verdicts[i]);
    }
    *verdict = verdicts[closest(verdicts, n)];
    if (request->action != FTA_COUNT || !verdict->allowed) {
        return;
    }

    order_by_remaining(verdicts, n, order);
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k];
        if (count(table, strategy, &places[i], &hits[i], &verdicts[i],
                  &receipts[i])) {
            continue;
        }
        /* Somebody else was faster. */
        *verdict = verdicts[i];
        while (k-- > 0) {
            i = order[k];
            take_back(table, strategy, &places[i], &hits[i], &receipts[i]);
        }
        return;
    }
    *verdict = verdicts[closest(verdicts, n)];
}
