/* May be included by csrc/token/claims_read.c and claims_finish.c alone: what
 * one pass over a payload finds. */
#ifndef FTA_TOKEN_CLAIMS_READING_H
#define FTA_TOKEN_CLAIMS_READING_H

#include "token/claims_read.h"

/* What one pass has found so far. */
typedef struct fta_reading {
    const fta_claim_reader *how;
    const fta_claim_rules *rules;
    fta_claims *claims; /* Borrowed: the result */
    uint32_t wrong;     /* 1 << fta_claim of each whose value is invalid */
    uint32_t named;     /* of each id whose value is a name and no UUID */
    uint32_t met;       /* a bit for each required claim that has its value */
    uint32_t member;    /* the number of the value that is read */
    bool audience_matches;
    bool has_role;
    const fta_uuid *shown; /* Borrowed: what the value says that is read, an id;
                            * NULL: it is none */
    /* Only those of claims that are present are set, faults of wrong ones. */
    uint8_t rank[FTA_CLAIM_COUNT];
    fta_status fault[FTA_CLAIM_COUNT];
    uint32_t fault_at[FTA_CLAIM_COUNT];
    fta_text names[FTA_CLAIM_COUNT];
} fta_reading;

#define FTA_BIT(claim) ((uint32_t)1 << (claim))

/* The rules that need the whole payload, once it has been read. */
fta_status fta_claims_finish(fta_reading *found);

#endif
