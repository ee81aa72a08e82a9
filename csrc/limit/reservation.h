/* What a request has taken from its limits until it is known whether it counts:
 * the receipts of its hits, with all that is needed to give them back. */
#ifndef FTA_LIMIT_RESERVATION_H
#define FTA_LIMIT_RESERVATION_H

#include <stddef.h>

#include "base/status.h"
#include "limit/hit.h"
#include "limit/store.h"

typedef struct fta_reservation fta_reservation;

/* Copies the hits, which the store has counted, with their receipts. Borrows
 * the strategy and the store. */
fta_status fta_reservation_new(const fta_hits *counted, fta_store *store,
                               fta_reservation **out);

/* NULL is allowed. Gives nothing back. */
void fta_reservation_free(fta_reservation *reservation);

fta_store *fta_reservation_store(const fta_reservation *reservation);

/* The hits from first to end (exclusive), without those that were taken out
 * before, as a request that gives them back. Each hit is taken out once,
 * whatever number of threads asks. The arrays are borrowed by out. */
void fta_reservation_take_out(fta_reservation *reservation, size_t first,
                              size_t end, fta_hit hits[FTA_HITS_MAX],
                              fta_receipt receipts[FTA_HITS_MAX],
                              fta_hits *out);

#endif
