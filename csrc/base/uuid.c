#include "base/uuid.h"

#include <string.h>

#include "base/big_endian.h"

/* X(i, place): where in the text the first digit of byte i stands. Lists, so
 * that no loop has to look for it: every token has two UUIDs. */
#define FIRST_BYTES(X)                                                         \
    X(0, 0) X(1, 2) X(2, 4) X(3, 6) X(4, 9) X(5, 11) X(6, 14) X(7, 16)
#define LAST_BYTES(X)                                                          \
    X(8, 19)                                                                   \
    X(9, 21) X(10, 24) X(11, 26) X(12, 28) X(13, 30) X(14, 32) X(15, 34)

/* The value of a hexadecimal digit of either case, and the bit VALID; 0 for any
 * other octet. A table, because which digits a UUID has cannot be predicted, so
 * neither could a branch. */
#define VALID 0x10
#define V(digit, value) [digit] = VALID | (value)
static const uint8_t digit_values[256] = {
    V('0', 0),  V('1', 1),  V('2', 2),  V('3', 3),  V('4', 4),  V('5', 5),
    V('6', 6),  V('7', 7),  V('8', 8),  V('9', 9),  V('a', 10), V('b', 11),
    V('c', 12), V('d', 13), V('e', 14), V('f', 15), V('A', 10), V('B', 11),
    V('C', 12), V('D', 13), V('E', 14), V('F', 15)};

bool
fta_uuid_parse(const char *text, size_t length, fta_uuid *out)
{
    if (length != FTA_UUID_TEXT || text[8] != '-' || text[13] != '-' ||
        text[18] != '-' || text[23] != '-') {
        return false;
    }
    const uint8_t *digits = (const uint8_t *)text;
    unsigned valid = VALID;
    uint64_t first = 0, last = 0;
#define READ(half, place)                                                      \
    {                                                                          \
        unsigned high = digit_values[digits[place]];                           \
        unsigned low = digit_values[digits[(place) + 1]];                      \
        valid &= high & low;                                                   \
        half = half << 8 | (high & 0x0F) << 4 | (low & 0x0F);                  \
    }
#define READ_FIRST(i, place) READ(first, place)
#define READ_LAST(i, place) READ(last, place)
    FIRST_BYTES(READ_FIRST)
    LAST_BYTES(READ_LAST)
    if (valid == 0) {
        return false;
    }
    fta_write_big_endian(first, out->bytes);
    fta_write_big_endian(last, out->bytes + 8);
    return true;
}

void
fta_uuid_format(const fta_uuid *uuid, char out[FTA_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    out[8] = out[13] = out[18] = out[23] = '-';
#define X(i, place)                                                            \
    out[place] = digits[uuid->bytes[i] >> 4];                                  \
    out[(place) + 1] = digits[uuid->bytes[i] & 0x0F];
    FIRST_BYTES(X)
    LAST_BYTES(X)
#undef X
}

bool
fta_uuid_equal(const fta_uuid *a, const fta_uuid *b)
{
    return memcmp(a->bytes, b->bytes, FTA_UUID_BYTES) == 0;
}
