/* Answers of the store, taken in. The head of table.c says how. */
#include "limit/lease/table_internal.h"

#include <string.h>

#include "base/clock.h"

#define US_PER_SECOND INT64_C(1000000)

/* How often a lease is taken in anew that others were in the way of. */
#define ATTEMPTS_MAX 16

static uint32_t
new_tag(fta_lease_table *table)
{
    uint32_t tag;
    do {
        tag = (uint32_t)atomic_fetch_add(&table->header->tags, 1);
    } while (tag == 0);
    return tag;
}

static void
write_key(fta_lease_slot *slot, const fta_hit *hit)
{
    uint64_t key[FTA_LEASE_KEY_MAX / 8] = {0};
    memcpy(key, hit->key, hit->key_length);
    for (size_t i = 0; i * 8 < hit->key_length; i++) {
        fta_lease_store(&slot->key[i], key[i]);
    }
}

/* Replaces what is in a slot, which was seen with these permits. */
static bool
replace(fta_lease_table *table, fta_lease_slot *slot, uint64_t seen,
        uint64_t hash, const fta_hit *hit, const fta_lease *lease)
{
    uint32_t tag = new_tag(table);
    bool keeps_key = hit->key_length <= FTA_LEASE_KEY_MAX;
    const uint64_t words[FTA_LEASE_WORDS] = {
        [FTA_LEASE_HASH] = hash,
        [FTA_LEASE_END] = (uint64_t)lease->end_us,
        [FTA_LEASE_ASKED] = (uint64_t)lease->asked_us,
        [FTA_LEASE_NONCE] = lease->nonce,
        [FTA_LEASE_WINDOW] = (uint64_t)lease->window,
        [FTA_LEASE_EPOCH] = (uint64_t)lease->epoch << 32 |
                            (keeps_key ? (uint64_t)hit->key_length : 0),
        [FTA_LEASE_RATE] = (uint64_t)hit->limit << 32 |
                           (uint64_t)(hit->period_us / US_PER_SECOND),
    };
    if (!fta_lease_swap(&slot->permits, seen, fta_lease_permits(tag, 0))) {
        return false;
    }
    if (keeps_key) {
        write_key(slot, hit);
    }
    for (size_t i = 0; i < FTA_LEASE_WORDS; i++) {
        fta_lease_store(&slot->words[i], words[i]);
    }
    fta_lease_store(&slot->check, fta_lease_check_of(tag, words));
    return fta_lease_swap(&slot->permits, fta_lease_permits(tag, 0),
                          fta_lease_permits(tag, lease->left));
}

static bool
is_free(const fta_lease_view *view, int64_t now_us)
{
    return view->lease.left == 0 || view->lease.end_us <= now_us;
}

/* The slot of a key, with its view; else, where there is one, a free slot with
 * a lease of nothing. FTA_LEASE_WAYS: there is no room. */
static size_t
find_place(fta_lease_table *table, uint64_t hash, int64_t now_us,
           fta_lease_view *out)
{
    size_t set = fta_lease_set_of(table, hash), free_way = FTA_LEASE_WAYS;
    uint64_t free_permits = 0;
    for (size_t i = 0; i < FTA_LEASE_WAYS; i++) {
        size_t way = fta_lease_way_of(hash, i);
        bool whole = fta_lease_view_read(&table->slots[set + way], out);
        if (whole && out->words[FTA_LEASE_HASH] == hash) {
            return way;
        }
        if (free_way == FTA_LEASE_WAYS && (!whole || is_free(out, now_us))) {
            free_way = way;
            free_permits = out->permits;
        }
    }
    *out = (fta_lease_view){.permits = free_permits};
    return free_way;
}

/* How many permits of a slot were spent that nobody has told the store of. From
 * now on the caller has. */
static uint32_t
claim_spent(fta_lease_slot *slot, uint64_t hash, const fta_hit *hit)
{
    uint64_t received, spent;
    fta_lease_view view;
    do {
        /* Before what is left: permits that come in between are not noted yet,
         * or the swap fails. */
        received = fta_lease_load(&slot->received);
        if (!fta_lease_view_read(slot, &view) ||
            view.words[FTA_LEASE_HASH] != hash) {
            return 0;
        }
        spent = received - view.lease.left;
        if (spent == 0 || spent > hit->limit) {
            return 0; /* Or more is left than is noted. */
        }
    } while (!fta_lease_swap(&slot->received, received, view.lease.left));
    return (uint32_t)spent;
}

fta_lease_demand
fta_lease_table_demand(fta_lease_table *table, const fta_hit *hit)
{
    int64_t now_us = fta_clock_boottime_us();
    uint64_t hash = fta_lease_hash_of(table, hit);
    fta_lease_view view;
    size_t way = find_place(table, hash, now_us, &view);
    if (way == FTA_LEASE_WAYS) {
        return (fta_lease_demand){0, 0};
    }
    if (view.words[FTA_LEASE_HASH] != hash) {
        return (fta_lease_demand){fta_lease_most(0, 0), 0};
    }
    fta_lease_slot *slot = &table->slots[fta_lease_set_of(table, hash) + way];
    uint32_t spent = claim_spent(slot, hash, hit);
    int64_t since_us =
        (int64_t)atomic_exchange(&slot->received_us, (uint64_t)now_us);
    return (fta_lease_demand){fta_lease_most(spent, now_us - since_us), spent};
}

/* Drops what other slots of the key hold of a window that is over. */
static void
drop_others(fta_lease_table *table, uint64_t hash, size_t kept,
            const fta_lease *lease)
{
    size_t set = fta_lease_set_of(table, hash);
    for (size_t i = 0; i < FTA_LEASE_WAYS; i++) {
        fta_lease_slot *slot = &table->slots[set + i];
        fta_lease_view view;
        while (set + i != kept && fta_lease_view_read(slot, &view) &&
               view.words[FTA_LEASE_HASH] == hash && view.lease.left > 0 &&
               (view.lease.nonce != lease->nonce ||
                view.lease.window != lease->window) &&
               view.lease.window <= lease->window &&
               !fta_lease_swap(
                   &slot->permits, view.permits,
                   fta_lease_permits(fta_lease_tag(view.permits), 0))) {
        }
    }
}

static void
note(fta_lease_slot *slot, const fta_lease_answer *answer,
     const fta_verdict *verdict)
{
    atomic_store_explicit(&slot->remaining, verdict->remaining,
                          memory_order_relaxed);
    atomic_store_explicit(
        &slot->resets_us,
        (uint64_t)(answer->asked_us + verdict->reset_after_us),
        memory_order_relaxed);
}

/* What came of the window that the slot had before is added; that of another
 * one counts from now on. */
static void
note_received(fta_lease_slot *slot, const fta_lease *before,
              const fta_lease *after, bool is_new, int64_t asked_us)
{
    if (!is_new && before->nonce == after->nonce &&
        before->window == after->window) {
        atomic_fetch_add(&slot->received, (uint64_t)after->left - before->left);
    } else {
        atomic_store(&slot->received, after->left);
        atomic_store(&slot->received_us, (uint64_t)asked_us);
    }
}

void
fta_lease_table_receive(fta_lease_table *table, const fta_hit *hit,
                        fta_lease_melt melt, const fta_lease_answer *answer,
                        fta_verdict *verdict)
{
    uint64_t hash = fta_lease_hash_of(table, hit);
    fta_grant grant = answer->grant;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        int64_t now_us = fta_clock_boottime_us();
        fta_lease_view view;
        size_t way = find_place(table, hash, now_us, &view);
        bool is_new = view.words[FTA_LEASE_HASH] != hash;
        if (way == FTA_LEASE_WAYS || (is_new && grant.permits == 0)) {
            return;
        }
        size_t place = fta_lease_set_of(table, hash) + way;
        fta_lease_slot *slot = &table->slots[place];
        fta_lease next = view.lease;
        fta_lease_receive(&next, &grant, answer->asked_us, answer->epoch, melt,
                          now_us);
        fta_lease kept = next;
        kept.left = view.lease.left;
        bool grows = !is_new && memcmp(&kept, &view.lease, sizeof kept) == 0;
        /* Before it is taken in: see fta_segment_keep_until. */
        fta_segment_keep_until(table->segment, fta_clock_monotonic_us() +
                                                   (next.end_us - now_us));
        if (grows) {
            uint32_t tag = fta_lease_tag(view.permits);
            if (!fta_lease_swap(&slot->permits, view.permits,
                                fta_lease_permits(tag, next.left))) {
                continue;
            }
        } else if (!replace(table, slot, view.permits, hash, hit, &next)) {
            continue;
        }
        note(slot, answer, verdict);
        note_received(slot, &view.lease, &next, is_new, answer->asked_us);
        if (melt == 0) {
            drop_others(table, hash, place, &next);
            if (next.left > 0) {
                fta_lease_table_list(table, place);
            }
        }
        verdict->remaining = fta_lease_remaining(hit, verdict->allowed,
                                                 verdict->remaining, next.left);
        return;
    }
}

void
fta_lease_table_forget(fta_lease_table *table, const fta_hit *hit)
{
    uint64_t hash = fta_lease_hash_of(table, hit);
    size_t set = fta_lease_set_of(table, hash);
    for (size_t i = 0; i < FTA_LEASE_WAYS; i++) {
        fta_lease_slot *slot = &table->slots[set + i];
        fta_lease_view view;
        while (fta_lease_view_read(slot, &view) &&
               view.words[FTA_LEASE_HASH] == hash && view.lease.left > 0 &&
               !fta_lease_swap(
                   &slot->permits, view.permits,
                   fta_lease_permits(fta_lease_tag(view.permits), 0))) {
        }
    }
}
