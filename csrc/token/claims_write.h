/* The claims of a token as JSON, in the places where they are read. */
#ifndef FTA_TOKEN_CLAIMS_WRITE_H
#define FTA_TOKEN_CLAIMS_WRITE_H

#include "token/claim_rules.h"

/* How many octets fta_claims_write needs at most. */
size_t fta_claims_room(const fta_claims *claims, const fta_claim_rules *rules);

/* Writes what a token of these claims says under these rules, as the members
 * of a JSON object without its braces. Dates become whole seconds of at most
 * 2^53. A role is written as the first word that stands for it, and not at all
 * if none does. Returns how many octets it has written. */
size_t fta_claims_write(const fta_claims *claims, const fta_claim_rules *rules,
                        char *out);

/* The members of the payload that fta_claims_write may write, and nobody else:
 * the node behind another one, the first behind FTA_CLAIM_ROOT; 0 for none. */
uint16_t fta_claims_next_written(const fta_claim_rules *rules, uint16_t node);

#endif
