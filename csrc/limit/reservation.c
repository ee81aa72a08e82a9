#include "limit/reservation.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"

struct fta_reservation {
    const fta_strategy *strategy; /* Borrowed. */
    fta_store *store;             /* Borrowed: it has counted. */
    atomic_uint left;             /* A bit a hit that was not taken out. */
    size_t count;
    fta_hit hits[FTA_HITS_MAX]; /* Their keys are borrowed from keys. */
    fta_receipt receipts[FTA_HITS_MAX];
    uint8_t keys[];
};

_Static_assert(FTA_HITS_MAX < 32, "every hit has a bit");

fta_status
fta_reservation_new(const fta_hits *counted, fta_store *store,
                    fta_reservation **out)
{
    size_t size = 0;
    *out = NULL;
    for (size_t i = 0; i < counted->count; i++) {
        size += counted->hits[i].key_length;
    }
    fta_reservation *self = fta_calloc(1, sizeof *self + size);
    if (self == NULL) {
        return FTA_NO_MEMORY;
    }
    self->strategy = counted->strategy;
    self->store = store;
    self->count = counted->count;
    atomic_init(&self->left, (1u << counted->count) - 1);
    uint8_t *key = self->keys;
    for (size_t i = 0; i < counted->count; i++) {
        self->hits[i] = counted->hits[i];
        self->receipts[i] = counted->receipts[i];
        memcpy(key, counted->hits[i].key, counted->hits[i].key_length);
        self->hits[i].key = key;
        key += counted->hits[i].key_length;
    }
    *out = self;
    return FTA_OK;
}

void
fta_reservation_free(fta_reservation *reservation)
{
    fta_free(reservation);
}

fta_store *
fta_reservation_store(const fta_reservation *reservation)
{
    return reservation->store;
}

void
fta_reservation_take_out(fta_reservation *reservation, size_t first, size_t end,
                         fta_hit hits[FTA_HITS_MAX],
                         fta_receipt receipts[FTA_HITS_MAX], fta_hits *out)
{
    unsigned wanted = 0;
    for (size_t i = first; i < end && i < reservation->count; i++) {
        wanted |= 1u << i;
    }
    unsigned taken = atomic_fetch_and(&reservation->left, ~wanted) & wanted;
    *out = (fta_hits){reservation->strategy, FTA_GIVE_BACK, hits, 0, receipts};
    for (size_t i = 0; i < reservation->count; i++) {
        if ((taken & 1u << i) != 0) {
            hits[out->count] = reservation->hits[i];
            receipts[out->count++] = reservation->receipts[i];
        }
    }
}
