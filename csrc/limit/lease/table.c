/* A lock-free table of leases in shared memory.
 *
 * A key belongs to one set of eight slots. A slot holds permits of one window
 * of one key:
 *
 *     permits = tag 32 | left 32
 *
 * and words that say of which, until when, by which epoch. They are written
 * once for each tag, and a check covers them together with the tag.
 *
 * Taking. Read the permits, the words and the check; the words must be those of
 * the tag. Read the clock, decide (lease.c), and compare-and-swap the permits.
 * Success means that the slot still had this tag, and nobody took in between.
 * Then read the clock again: a process that slept before its swap may have
 * taken what had ended or melted by then. That is lost, and it starts again. So
 * a permit that was spent was spent in time.
 *
 * Taking in. Permits for the window that a slot has are one swap: left grows.
 * For another window: swap in a new tag with none left, write the words and the
 * check, and swap the permits in, if the tag is still there. What was left of
 * the old window is dropped by the first swap, with its tag.
 *
 * Whoever is killed or sleeps in between leaves a slot with nothing left, which
 * anybody may take over, again by a new tag. A sleeper that wakes up then may
 * write words into a slot that is another's by now. The check no longer fits
 * them: the lease is lost, as if its host had died, and nothing is spent twice.
 * The check has 64 bits.
 *
 * A tag does not come back but after 2^32 of them.
 *
 * A key may come to have two slots, where two processes take in its first lease
 * at once. That is no harm: each permit is in one slot. Whoever takes looks
 * into all slots of the key.
 *
 * There is no lock, no owner and no count of anything. No state exists in which
 * a killed process leaves more than its own permits unspent.
 *
 * Memory order: sequentially consistent, all of it. */
#include "limit/lease/table_internal.h"

#include "base/clock.h"

uint64_t
fta_lease_hash_of(const fta_lease_table *table, const fta_hit *hit)
{
    return fta_siphash(&table->header->secret, hit->key, hit->key_length);
}

/* The number of the first slot of the set of a key. */
size_t
fta_lease_set_of(const fta_lease_table *table, uint64_t hash)
{
    return (size_t)(((hash >> 32) * table->set_count) >> 32) * FTA_LEASE_WAYS;
}

/* Where the search in a set starts, so that most keys are found at once. */
size_t
fta_lease_way_of(uint64_t hash, size_t i)
{
    return (size_t)(hash + i) % FTA_LEASE_WAYS;
}

/* -- One slot -------------------------------------------------------------- */

uint64_t
fta_lease_check_of(uint32_t tag, const uint64_t words[FTA_LEASE_WORDS])
{
    uint64_t check = tag;
    for (size_t i = 0; i < FTA_LEASE_WORDS; i++) {
        check = (check ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
        check ^= check >> 29;
    }
    return check;
}

bool
fta_lease_view_read(fta_lease_slot *slot, fta_lease_view *out)
{
    out->permits = fta_lease_load(&slot->permits);
    for (size_t i = 0; i < FTA_LEASE_WORDS; i++) {
        out->words[i] = fta_lease_load(&slot->words[i]);
    }
    uint32_t tag = fta_lease_tag(out->permits);
    if (tag == 0 ||
        fta_lease_load(&slot->check) != fta_lease_check_of(tag, out->words)) {
        return false;
    }
    out->lease = (fta_lease){
        .nonce = out->words[FTA_LEASE_NONCE],
        .window = (int64_t)out->words[FTA_LEASE_WINDOW],
        .asked_us = (int64_t)out->words[FTA_LEASE_ASKED],
        .end_us = (int64_t)out->words[FTA_LEASE_END],
        .epoch = (uint32_t)(out->words[FTA_LEASE_EPOCH] >> 32),
        .left = fta_lease_left(out->permits),
    };
    return true;
}

/* -- Taking ---------------------------------------------------------------- */

static void
answer_from(fta_lease_slot *slot, const fta_hit *hit, bool counted,
            uint32_t left, int64_t now_us, fta_verdict *verdict)
{
    uint64_t at_store =
        atomic_load_explicit(&slot->remaining, memory_order_relaxed);
    int64_t reset_us =
        (int64_t)atomic_load_explicit(&slot->resets_us, memory_order_relaxed) -
        now_us;
    *verdict = (fta_verdict){
        .allowed = true,
        .limit = hit->limit,
        .remaining = fta_lease_remaining(hit, counted, at_store, left),
        .reset_after_us = reset_us > 0 ? reset_us : 0,
    };
}

/* Takes from one slot; false: it has not enough. */
static bool
take_from(fta_lease_slot *slot, uint64_t hash, const fta_hit *hit,
          fta_lease_melt melt, bool looks, fta_lease_taken *taken,
          fta_verdict *verdict)
{
    fta_lease_view view;
    while (fta_lease_load(&slot->words[FTA_LEASE_HASH]) == hash &&
           fta_lease_view_read(slot, &view) &&
           view.words[FTA_LEASE_HASH] == hash) {
        int64_t now_us = fta_clock_boottime_us();
        fta_lease next = view.lease;
        if (!fta_lease_take(&next, hit->cost, melt, now_us)) {
            return false;
        }
        taken->tag = fta_lease_tag(view.permits);
        if (!looks &&
            !fta_lease_swap(&slot->permits, view.permits,
                            fta_lease_permits(taken->tag, next.left))) {
            continue;
        }
        int64_t then_us = fta_clock_boottime_us();
        if (fta_lease_valid(&view.lease, melt, then_us) ==
            fta_lease_valid(&view.lease, melt, now_us)) {
            answer_from(slot, hit, !looks, next.left + (looks ? hit->cost : 0),
                        then_us, verdict);
            return true;
        }
    }
    return false;
}

static bool
take(fta_lease_table *table, const fta_hit *hit, fta_lease_melt melt,
     bool looks, fta_lease_taken *taken, fta_verdict *verdict)
{
    uint64_t hash = fta_lease_hash_of(table, hit);
    size_t set = fta_lease_set_of(table, hash);
    for (size_t i = 0; i < FTA_LEASE_WAYS; i++) {
        taken->slot = set + fta_lease_way_of(hash, i);
        if (take_from(&table->slots[taken->slot], hash, hit, melt, looks, taken,
                      verdict)) {
            return true;
        }
    }
    taken->tag = 0;
    return false;
}

bool
fta_lease_table_take(fta_lease_table *table, const fta_hit *hit,
                     fta_lease_melt melt, fta_lease_taken *taken,
                     fta_verdict *verdict)
{
    return take(table, hit, melt, false, taken, verdict);
}

bool
fta_lease_table_look(fta_lease_table *table, const fta_hit *hit,
                     fta_lease_melt melt, fta_verdict *verdict)
{
    fta_lease_taken ignored;
    return take(table, hit, melt, true, &ignored, verdict);
}

void
fta_lease_table_put_back(fta_lease_table *table, fta_lease_taken taken,
                         uint32_t cost)
{
    fta_lease_slot *slot = &table->slots[taken.slot];
    uint64_t permits;
    do {
        permits = fta_lease_load(&slot->permits);
        if (fta_lease_tag(permits) != taken.tag ||
            fta_lease_left(permits) > FTA_RATE_LIMIT_MAX - cost) {
            return;
        }
    } while (!fta_lease_swap(&slot->permits, permits, permits + cost));
}
