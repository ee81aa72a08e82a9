/* What rests is offered to the store: a list of slots, and turns.
 *
 * A turn is one compare-and-swap of the time of the last one. So one process of
 * the host has each turn, nobody has to be told, and a process that is killed
 * in its turn leaves nothing held: after FTA_LEASE_PAUSE_US the next one may
 * take a turn. What it had taken out is lost.
 *
 * Permits are taken out before they are offered, and put back only if the store
 * says that it has not taken them. */
#include "limit/lease/table_internal.h"

#include <string.h>

#include "base/clock.h"

#define US_PER_SECOND INT64_C(1000000)

void
fta_lease_table_list(fta_lease_table *table, size_t slot)
{
    fta_lease_header *h = table->header;
    if (atomic_exchange(&table->slots[slot].is_listed, 1) != 0) {
        return;
    }
    /* One too many replaces the oldest, which then ends with its window. */
    fta_lease_listed *entry = &h->listed[atomic_fetch_add(&h->listed_count, 1) %
                                         FTA_LEASE_LISTED_MAX];
    atomic_store(&entry->seen, 0);
    uint64_t old = atomic_exchange(&entry->slot, slot + 1);
    if (old != 0) {
        atomic_store(&table->slots[old - 1].is_listed, 0);
    }
}

bool
fta_lease_table_rests(const fta_lease_table *table)
{
    for (size_t i = 0; i < FTA_LEASE_LISTED_MAX; i++) {
        if (atomic_load(&table->header->listed[i].slot) != 0) {
            return true;
        }
    }
    return false;
}

static bool
has_turn(fta_lease_table *table, int64_t now_us)
{
    uint64_t last = fta_lease_load(&table->header->turn_us);
    return now_us - (int64_t)last >= FTA_LEASE_PAUSE_US &&
           fta_lease_swap(&table->header->turn_us, last, (uint64_t)now_us);
}

/* Takes out what a slot has left; false: nothing that may go. */
static bool
take_out(fta_lease_table *table, size_t place, const fta_lease_view *view,
         fta_lease_offer *out)
{
    fta_lease_slot *slot = &table->slots[place];
    size_t length = (uint32_t)view->words[FTA_LEASE_EPOCH];
    fta_lease lease = view->lease;
    /* What melts has no window. */
    uint32_t permits =
        fta_lease_take_out(&lease, fta_lease_table_epoch(table),
                           lease.window == 0, fta_clock_boottime_us());
    if (permits == 0 || length == 0 || length > FTA_LEASE_KEY_MAX) {
        return false;
    }
    uint64_t key[FTA_LEASE_KEY_MAX / 8];
    for (size_t i = 0; i < FTA_LEASE_KEY_MAX / 8; i++) {
        key[i] = fta_lease_load(&slot->key[i]);
    }
    *out = (fta_lease_offer){
        .key_length = length,
        .limit = (uint32_t)(view->words[FTA_LEASE_RATE] >> 32),
        .period_us =
            (int64_t)(uint32_t)view->words[FTA_LEASE_RATE] * US_PER_SECOND,
        .nonce = lease.nonce,
        .window = lease.window,
        .permits = permits,
        .from = {place, fta_lease_tag(view->permits)},
    };
    memcpy(out->key, key, sizeof out->key);
    return fta_siphash(&table->header->secret, out->key, length) ==
               view->words[FTA_LEASE_HASH] &&
           fta_lease_swap(&slot->permits, view->permits,
                          fta_lease_permits(out->from.tag, lease.left));
}

/* Removes an entry of the list. Whoever has a lease in the slot next adds
 * another. */
static void
remove_listed(fta_lease_table *table, fta_lease_listed *entry, uint64_t slot)
{
    if (fta_lease_swap(&entry->slot, slot, 0)) {
        atomic_store(&table->slots[slot - 1].is_listed, 0);
    }
}

static void
wait_for(fta_lease_listed *entry, uint64_t seen, int64_t now_us,
         int64_t pause_us)
{
    fta_lease_store(&entry->seen, seen);
    fta_lease_store(&entry->pause_us, (uint64_t)pause_us);
    fta_lease_store(&entry->due_us, (uint64_t)(now_us + pause_us));
}

size_t
fta_lease_table_take_turn(fta_lease_table *table,
                          fta_lease_offer out[FTA_LEASE_OFFERS_MAX])
{
    size_t count = 0;
    int64_t now_us = fta_clock_boottime_us();
    if (!has_turn(table, now_us)) {
        return 0;
    }
    for (size_t i = 0; i < FTA_LEASE_LISTED_MAX && count < FTA_LEASE_OFFERS_MAX;
         i++) {
        fta_lease_listed *entry = &table->header->listed[i];
        uint64_t slot = fta_lease_load(&entry->slot);
        if (slot == 0) {
            continue;
        }
        fta_lease_view view;
        if (!fta_lease_view_read(&table->slots[slot - 1], &view) ||
            view.lease.left == 0 || view.lease.end_us <= now_us) {
            remove_listed(table, entry, slot);
        } else if (fta_lease_load(&entry->seen) != view.permits) {
            wait_for(entry, view.permits, now_us, FTA_LEASE_PAUSE_US);
        } else if (now_us >= (int64_t)fta_lease_load(&entry->due_us)) {
            if (take_out(table, slot - 1, &view, &out[count])) {
                out[count++].entry = i;
            } else {
                remove_listed(table, entry, slot);
            }
        }
    }
    return count;
}

void
fta_lease_table_settle(fta_lease_table *table, const fta_lease_offer *offers,
                       size_t count)
{
    int64_t now_us = fta_clock_boottime_us();
    for (size_t i = 0; i < count; i++) {
        const fta_lease_offer *offer = &offers[i];
        fta_lease_slot *slot = &table->slots[offer->from.slot];
        if (offer->fate == FTA_LEASE_KEPT || offer->fate == FTA_LEASE_ALONE) {
            fta_lease_listed *entry = &table->header->listed[offer->entry];
            fta_lease_table_put_back(table, offer->from, offer->permits);
            int64_t pause_us = fta_lease_pause(
                (int64_t)fta_lease_load(&entry->pause_us), offer->period_us,
                offer->fate == FTA_LEASE_ALONE);
            wait_for(entry, fta_lease_load(&slot->permits), now_us, pause_us);
        } else {
            /* They were not spent. */
            atomic_fetch_sub(&slot->received, offer->permits);
        }
    }
}

size_t
fta_lease_table_take_all(fta_lease_table *table, size_t *slot,
                         fta_lease_offer out[FTA_LEASE_OFFERS_MAX])
{
    size_t count = 0;
    size_t slots = table->set_count * FTA_LEASE_WAYS;
    for (; *slot < slots && count < FTA_LEASE_OFFERS_MAX; (*slot)++) {
        fta_lease_view view;
        if (fta_lease_view_read(&table->slots[*slot], &view) &&
            view.lease.left > 0) {
            count += take_out(table, *slot, &view, &out[count]);
        }
    }
    return count;
}
