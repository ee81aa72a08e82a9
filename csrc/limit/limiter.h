/* Counts requests against limits, in the first of its stores that answers. */
#ifndef FTA_LIMIT_LIMITER_H
#define FTA_LIMIT_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/facts.h"
#include "limit/limit.h"
#include "limit/reservation.h"
#include "limit/store.h"
#include "limit/strategy.h"
#include "limit/subject.h"

/* What happens to a request that the first store does not count. */
typedef enum fta_on_store_error {
    FTA_ON_STORE_ERROR_MEMORY, /* The next store counts: this host alone. */
    FTA_ON_STORE_ERROR_ALLOW,
    FTA_ON_STORE_ERROR_DENY,
} fta_on_store_error;

/* In this order. */
extern const fta_words fta_on_store_error_words;

typedef struct fta_limiter_options {
    const fta_strategy *strategy;
    fta_on_store_error on_store_error;
    fta_store_options store;
} fta_limiter_options;

typedef struct fta_limiter fta_limiter;

/* Connects to nothing: Redis may be away now and come later. Where an option is
 * at fault, problem says which and how. */
fta_status fta_limiter_open(const fta_limiter_options *options,
                            fta_limiter **out, fta_store_problem *problem);

/* Ends what runs in the background, and gives up what other processes use too.
 * May be called while other threads are inside; what they count from then on,
 * this process counts alone. */
void fta_limiter_leave(fta_limiter *limiter);

/* NULL is allowed. No other thread may be inside the limiter. */
void fta_limiter_close(fta_limiter *limiter);

/* What a caller wants to be done around a wait for the network, say to let
 * other threads run meanwhile. */
typedef struct fta_waiting {
    void (*begin)(void *context);
    void (*end)(void *context);
    void *context;
} fta_waiting;

/* What to do, with which limits, for whom. */
typedef struct fta_limiter_request {
    fta_action action;
    const fta_limit *const *limits; /* Borrowed. */
    size_t count;                   /* Up to FTA_HITS_MAX; may be 0. */
    const fta_requester *requester; /* Borrowed. */
} fta_limiter_request;

typedef struct fta_limiter_answer {
    fta_verdict verdict; /* Its index is one of the limits. */
    const char *store;   /* Borrowed: the name of the store; NULL: none. */
} fta_limiter_answer;

/* Holds a request against all limits. waiting may be NULL.
 *
 * A failure of a store is not one of this call: the next store answers, or the
 * request is allowed or denied uncounted, as the options say. Only FTA_RESET,
 * which resets all stores, returns why one of them did not answer. */
fta_status fta_limiter_hit(fta_limiter *limiter,
                           const fta_limiter_request *request,
                           const fta_waiting *waiting,
                           fta_limiter_answer *answer);

/* Counts a request as FTA_COUNT does, so that it can be given back: *out is
 * NULL where nothing was counted. The action of the request is not looked at.
 * Where the memory for a reservation is missing nothing stays counted. */
fta_status fta_limiter_reserve(fta_limiter *limiter,
                               const fta_limiter_request *request,
                               const fta_waiting *waiting,
                               fta_limiter_answer *answer,
                               fta_reservation **out);

/* Gives the limits from first to end (exclusive) of a reservation of this
 * limiter back, each at most once, to the store that has counted them. Never
 * more than was taken, and not to a counter that has begun anew since. What a
 * store that is away has counted stays counted: returns why. */
fta_status fta_limiter_give_back(fta_limiter *limiter,
                                 fta_reservation *reservation, size_t first,
                                 size_t end, const fta_waiting *waiting);

/* What there is to know, for people: may be slow. */
void fta_limiter_read(const fta_limiter *limiter, fta_facts *out);

/* The events of all stores. */
fta_store_events fta_limiter_events(const fta_limiter *limiter);

/* The store of this type, borrowed; NULL where there is none. */
fta_store *fta_limiter_store(const fta_limiter *limiter,
                             const fta_store_type *type);

#endif
