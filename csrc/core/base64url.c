#include "base64url.h"

#define COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char url_alphabet[] = COMMON "-_";
static const char plain_alphabet[] = COMMON "+/";

/* X(character, value) of what both alphabets share. */
#define COMMON_VALUES                                                          \
    X('A', 0)                                                                  \
    X('B', 1)                                                                  \
    X('C', 2)                                                                  \
    X('D', 3)                                                                  \
    X('E', 4) X('F', 5) X('G', 6) X('H', 7) X('I', 8) X('J', 9) X('K', 10)     \
        X('L', 11) X('M', 12) X('N', 13) X('O', 14) X('P', 15) X('Q', 16)      \
            X('R', 17) X('S', 18) X('T', 19) X('U', 20) X('V', 21) X('W', 22)  \
                X('X', 23) X('Y', 24) X('Z', 25) X('a', 26) X('b', 27)         \
                    X('c', 28) X('d', 29) X('e', 30) X('f', 31) X('g', 32)     \
                        X('h', 33) X('i', 34) X('j', 35) X('k', 36) X('l', 37) \
                            X('m', 38) X('n', 39) X('o', 40) X('p', 41)        \
                                X('q', 42) X('r', 43) X('s', 44) X('t', 45)    \
                                    X('u', 46) X('v', 47) X('w', 48)           \
                                        X('x', 49) X('y', 50) X('z', 51)       \
                                            X('0', 52) X('1', 53) X('2', 54)   \
                                                X('3', 55) X('4', 56)          \
                                                    X('5', 57) X('6', 58)      \
                                                        X('7', 59) X('8', 60)  \
                                                            X('9', 61)

/* A value in its place among four, and a bit that says that it is one: four of
 * these added up have the bit ALL_VALID only if none of them is 0, a foreign
 * character. */
#define ONE_VALID ((uint32_t)1 << 26)
#define ALL_VALID ((uint32_t)1 << 28)
#define AT(character, value, place)                                            \
    [character] = ONE_VALID | (uint32_t)(value) << (18 - 6 * (place)),

typedef struct values {
    uint32_t at[4][256];
} values;

static const values url_values = {{
#define X(character, value) AT(character, value, 0)
    {COMMON_VALUES X('-', 62) X('_', 63)},
#undef X
#define X(character, value) AT(character, value, 1)
    {COMMON_VALUES X('-', 62) X('_', 63)},
#undef X
#define X(character, value) AT(character, value, 2)
    {COMMON_VALUES X('-', 62) X('_', 63)},
#undef X
#define X(character, value) AT(character, value, 3)
    {COMMON_VALUES X('-', 62) X('_', 63)},
#undef X
}};

static const values plain_values = {{
#define X(character, value) AT(character, value, 0)
    {COMMON_VALUES X('+', 62) X('/', 63)},
#undef X
#define X(character, value) AT(character, value, 1)
    {COMMON_VALUES X('+', 62) X('/', 63)},
#undef X
#define X(character, value) AT(character, value, 2)
    {COMMON_VALUES X('+', 62) X('/', 63)},
#undef X
#define X(character, value) AT(character, value, 3)
    {COMMON_VALUES X('+', 62) X('/', 63)},
#undef X
}};

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

static bool
decode(const values *table, const char *text, size_t length, uint8_t *out)
{
    const uint8_t *in = (const uint8_t *)text;
    uint32_t valid = ALL_VALID;
    for (; length >= 4; in += 4, length -= 4, out += 3) {
        uint32_t sum = table->at[0][in[0]] + table->at[1][in[1]] +
                       table->at[2][in[2]] + table->at[3][in[3]];
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
