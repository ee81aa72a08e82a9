#include "base64url.h"

#define COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char url_alphabet[] = COMMON "-_";
static const char plain_alphabet[] = COMMON "+/";

/* Value of a character with the bit VALID set; 0 for a foreign one, so that
 * the AND over many characters keeps VALID only if all of them have it. */
#define VALID 0x40u
#define V(character, value) [character] = VALID | (value)
#define COMMON_VALUES                                                          \
    V('A', 0), V('B', 1), V('C', 2), V('D', 3), V('E', 4), V('F', 5),          \
        V('G', 6), V('H', 7), V('I', 8), V('J', 9), V('K', 10), V('L', 11),    \
        V('M', 12), V('N', 13), V('O', 14), V('P', 15), V('Q', 16),            \
        V('R', 17), V('S', 18), V('T', 19), V('U', 20), V('V', 21),            \
        V('W', 22), V('X', 23), V('Y', 24), V('Z', 25), V('a', 26),            \
        V('b', 27), V('c', 28), V('d', 29), V('e', 30), V('f', 31),            \
        V('g', 32), V('h', 33), V('i', 34), V('j', 35), V('k', 36),            \
        V('l', 37), V('m', 38), V('n', 39), V('o', 40), V('p', 41),            \
        V('q', 42), V('r', 43), V('s', 44), V('t', 45), V('u', 46),            \
        V('v', 47), V('w', 48), V('x', 49), V('y', 50), V('z', 51),            \
        V('0', 52), V('1', 53), V('2', 54), V('3', 55), V('4', 56),            \
        V('5', 57), V('6', 58), V('7', 59), V('8', 60), V('9', 61)

static const uint8_t url_values[256] = {COMMON_VALUES, V('-', 62), V('_', 63)};
static const uint8_t plain_values[256] = {COMMON_VALUES, V('+', 62),
                                          V('/', 63)};

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
decode(const uint8_t values[256], const char *text, size_t length, uint8_t *out)
{
    const uint8_t *in = (const uint8_t *)text;
    uint32_t all = VALID;
    for (; length >= 4; in += 4, length -= 4, out += 3) {
        uint32_t a = values[in[0]], b = values[in[1]];
        uint32_t c = values[in[2]], d = values[in[3]];
        all &= a & b & c & d;
        uint32_t bits =
            (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63);
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    if (length == 0) {
        return all != 0;
    }
    if (length == 1) {
        return false;
    }
    uint32_t a = values[in[0]], b = values[in[1]];
    uint32_t c = length == 3 ? values[in[2]] : VALID;
    all &= a & b & c;
    out[0] = (uint8_t)((a & 63) << 2 | (b & 63) >> 4);
    if (length == 2) {
        return all != 0 && (b & 15) == 0;
    }
    out[1] = (uint8_t)((b & 15) << 4 | (c & 63) >> 2);
    return all != 0 && (c & 3) == 0;
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
    return decode(url_values, text, length, out);
}

bool
fta_base64_decode(const char *text, size_t length, uint8_t *out)
{
    return decode(plain_values, text, length, out);
}
