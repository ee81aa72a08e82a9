#include "base/base64url.h"

#include "base/big_endian.h"

#define COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char url_alphabet[] = COMMON "-_";
static const char plain_alphabet[] = COMMON "+/";

/* The value of a character at place p of four, and the bit ONE_VALID. A
 * character outside of the alphabet has 0. So the sum of four has the bit
 * ALL_VALID only if all four characters are in the alphabet. */
#define ONE_VALID ((uint32_t)1 << 26)
#define ALL_VALID ((uint32_t)1 << 28)
#define V(character, value, p)                                                 \
    [character] = ONE_VALID | (uint32_t)(value) << (18 - 6 * (p))

#define COMMON_VALUES(p)                                                       \
    V('A', 0, p), V('B', 1, p), V('C', 2, p), V('D', 3, p), V('E', 4, p),      \
        V('F', 5, p), V('G', 6, p), V('H', 7, p), V('I', 8, p), V('J', 9, p),  \
        V('K', 10, p), V('L', 11, p), V('M', 12, p), V('N', 13, p),            \
        V('O', 14, p), V('P', 15, p), V('Q', 16, p), V('R', 17, p),            \
        V('S', 18, p), V('T', 19, p), V('U', 20, p), V('V', 21, p),            \
        V('W', 22, p), V('X', 23, p), V('Y', 24, p), V('Z', 25, p),            \
        V('a', 26, p), V('b', 27, p), V('c', 28, p), V('d', 29, p),            \
        V('e', 30, p), V('f', 31, p), V('g', 32, p), V('h', 33, p),            \
        V('i', 34, p), V('j', 35, p), V('k', 36, p), V('l', 37, p),            \
        V('m', 38, p), V('n', 39, p), V('o', 40, p), V('p', 41, p),            \
        V('q', 42, p), V('r', 43, p), V('s', 44, p), V('t', 45, p),            \
        V('u', 46, p), V('v', 47, p), V('w', 48, p), V('x', 49, p),            \
        V('y', 50, p), V('z', 51, p), V('0', 52, p), V('1', 53, p),            \
        V('2', 54, p), V('3', 55, p), V('4', 56, p), V('5', 57, p),            \
        V('6', 58, p), V('7', 59, p), V('8', 60, p), V('9', 61, p)
#define URL_VALUES(p) COMMON_VALUES(p), V('-', 62, p), V('_', 63, p)
#define PLAIN_VALUES(p) COMMON_VALUES(p), V('+', 62, p), V('/', 63, p)

typedef struct values {
    uint32_t at[4][256];
} values;

static const values url_values = {
    {{URL_VALUES(0)}, {URL_VALUES(1)}, {URL_VALUES(2)}, {URL_VALUES(3)}}};
static const values plain_values = {{{PLAIN_VALUES(0)},
                                     {PLAIN_VALUES(1)},
                                     {PLAIN_VALUES(2)},
                                     {PLAIN_VALUES(3)}}};

static size_t
encode(const char alphabet[65], const uint8_t *data, size_t size, char *out)
{
    char *start = out;
    for (; size >= 3; data += 3, size -= 3) {
        uint32_t bits = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 |
                        (uint32_t)data[2];
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = alphabet[bits >> 6 & 63];
        *out++ = alphabet[bits & 63];
    }
    if (size == 1) {
        *out++ = alphabet[data[0] >> 2];
        *out++ = alphabet[(data[0] & 3) << 4];
    } else if (size == 2) {
        *out++ = alphabet[data[0] >> 2];
        *out++ = alphabet[(data[0] & 3) << 4 | data[1] >> 4];
        *out++ = alphabet[(data[1] & 15) << 2];
    }
    return (size_t)(out - start);
}

static inline uint32_t
sum_of(const values *table, const uint8_t *in)
{
    return table->at[0][in[0]] + table->at[1][in[1]] + table->at[2][in[2]] +
           table->at[3][in[3]];
}

static bool
decode(const values *table, const char *text, size_t length, uint8_t *out)
{
    const uint8_t *in = (const uint8_t *)text;
    uint32_t valid = ALL_VALID;
    /* Eight characters become six octets, which are written as eight: twelve
     * characters become more than that. A reader that follows closely loads
     * words, which it would have to wait for if they were written in parts. */
    for (; length >= 12; in += 8, length -= 8, out += 6) {
        uint32_t first = sum_of(table, in), second = sum_of(table, in + 4);
        valid &= first & second;
        uint64_t six = (uint64_t)(first & 0xFFFFFF) << 40 |
                       (uint64_t)(second & 0xFFFFFF) << 16;
        fta_write_big_endian(six, out);
    }
    for (; length >= 4; in += 4, length -= 4, out += 3) {
        uint32_t sum = sum_of(table, in);
        valid &= sum;
        out[0] = (uint8_t)(sum >> 16);
        out[1] = (uint8_t)(sum >> 8);
        out[2] = (uint8_t)sum;
    }
    if (length == 0) {
        return valid != 0;
    }
    if (length == 1) {
        return false;
    }
    uint32_t sum = table->at[0][in[0]] + table->at[1][in[1]] + ONE_VALID;
    sum += length == 3 ? table->at[2][in[2]] : ONE_VALID;
    valid &= sum;
    out[0] = (uint8_t)(sum >> 16);
    if (length == 3) {
        out[1] = (uint8_t)(sum >> 8);
    }
    uint32_t unused = length == 3 ? 0xFF : 0xFFFF;
    return valid != 0 && (sum & unused) == 0;
}

size_t
fta_base64url_encode(const uint8_t *data, size_t size, char *out)
{
    return encode(url_alphabet, data, size, out);
}

size_t
fta_base64_encode(const uint8_t *data, size_t size, char *out)
{
    return encode(plain_alphabet, data, size, out);
}

bool
fta_base64url_decode(const char *text, size_t length, uint8_t *out)
{
    return decode(&url_values, text, length, out);
}

bool
fta_base64_decode(const char *text, size_t length, uint8_t *out)
{
    return decode(&plain_values, text, length, out);
}
