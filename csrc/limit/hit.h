/* What a store is asked, and what it answers. Time is in microseconds of
 * whatever clock the store counts by. */
#ifndef FTA_LIMIT_HIT_H
#define FTA_LIMIT_HIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limit/rate.h"

typedef struct fta_strategy fta_strategy; /* See strategy.h. */

/* What to do with the counters of a request. */
typedef enum fta_action {
    FTA_COUNT,     /* Check and count in one step, all limits or none. */
    FTA_PEEK,      /* Answer as FTA_COUNT would, but count nothing. */
    FTA_RESET,     /* Forget what was counted. */
    FTA_GIVE_BACK, /* Undo an FTA_COUNT, by its receipts. */
} fta_action;

/* What a store says of a hit that it has counted: enough to find out later
 * whether the counter still holds it. */
typedef struct fta_receipt {
    int64_t at_us;  /* When the hit was counted, by the clock of the store. */
    uint64_t entry; /* Of the table of this host alone: see shm/table.c. */
} fta_receipt;

/* One limit that a request is held against. The key names the counter: two hits
 * with the same key share it, and have the same limit and period. See subject.h
 * for what is part of it. */
typedef struct fta_hit {
    const uint8_t *key; /* Borrowed. */
    size_t key_length;
    uint32_t limit;    /* 1 .. FTA_RATE_LIMIT_MAX */
    uint32_t cost;     /* 1 .. limit */
    int64_t period_us; /* A whole number of seconds. */
} fta_hit;

/* One request: all of its hits are counted, or none. */
typedef struct fta_hits {
    const fta_strategy *strategy; /* Borrowed. */
    fta_action action;
    const fta_hit *hits; /* Borrowed. */
    size_t count;        /* 1 .. FTA_HITS_MAX */
    /* Borrowed, one a hit. FTA_COUNT writes them if it counts, FTA_GIVE_BACK
     * reads them. NULL: what is counted is never given back. */
    fta_receipt *receipts;
} fta_hits;

/* The answer to one hit; and to a request, where it is the answer of the limit
 * that is closest. */
typedef struct fta_verdict {
    bool allowed;
    size_t index;           /* Which of the hits this is about. */
    uint32_t limit;         /* Its limit. */
    uint32_t remaining;     /* What is left, after this hit if it counted. */
    int64_t reset_after_us; /* Until all of the limit is there again. */
    int64_t retry_after_us; /* Until this cost fits; 0 when allowed. */
} fta_verdict;

/* Whether a is closer to its limit than b: a limited hit before an allowed one,
 * of limited ones the one with the longer wait, of allowed ones the one with
 * the smaller share that remains. */
bool fta_verdict_closer(const fta_verdict *a, const fta_verdict *b);

#endif
