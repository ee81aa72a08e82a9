/* SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short inputs.
 * Without the key nobody can find two inputs with the same hash. */
#ifndef FTA_BASE_SIPHASH_H
#define FTA_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct fta_siphash_key {
    uint64_t k0, k1;
} fta_siphash_key;

uint64_t fta_siphash(const fta_siphash_key *key, const uint8_t *data,
                     size_t length);

/* SipHash-1-3 is faster, and enough for a table that lives as long as one text.
 * The hashes of two domains have nothing to do with each other. */
uint64_t fta_siphash_1_3(const fta_siphash_key *key, uint64_t domain,
                         const uint8_t *data, size_t length);

#endif
