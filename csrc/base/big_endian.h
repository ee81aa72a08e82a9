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

#endif
