/* Words in memory, the highest octet first. */
#ifndef FTA_BASE_BIG_ENDIAN_H
#define FTA_BASE_BIG_ENDIAN_H

#include <stdint.h>
#include <string.h>

/* One store. A loop over the octets is not always one after compilation. */
static inline void
fta_write_big_endian(uint64_t word, void *out)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(out, &word, sizeof word);
}

static inline uint64_t
fta_read_big_endian(const void *octets)
{
    uint64_t word;
    memcpy(&word, octets, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#endif
