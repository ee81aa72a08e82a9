#include "base/utf8.h"

size_t
fta_utf8_length(const char *text, const char *end)
{
    size_t left = (size_t)(end - text);
    const uint8_t *s = (const uint8_t *)text;
#define TAIL(i) ((s[i] & 0xC0) == 0x80)
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        return left >= 2 && TAIL(1) ? 2 : 0;
    }
    if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        if (left < 3 || !TAIL(1) || !TAIL(2) || (s[0] == 0xE0 && s[1] < 0xA0) ||
            (s[0] == 0xED && s[1] > 0x9F)) {
            return 0;
        }
        return 3;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        if (left < 4 || !TAIL(1) || !TAIL(2) || !TAIL(3) ||
            (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) {
            return 0;
        }
        return 4;
    }
#undef TAIL
    return 0;
}

uint32_t
fta_utf8_code_point(const char *text, size_t length)
{
    const uint8_t *s = (const uint8_t *)text;
    uint32_t code_point = s[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        code_point = code_point << 6 | (s[i] & 0x3FU);
    }
    return code_point;
}

bool
fta_utf8_is_deceptive(uint32_t code_point)
{
    /* In order. */
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x0080, 0x00A0}, /* controls of ISO 6429, no-break space */
        {0x00AD, 0x00AD}, /* soft hyphen */
        {0x034F, 0x034F}, /* combining grapheme joiner */
        {0x0600, 0x0605}, /* Arabic signs that enclose what follows */
        {0x061C, 0x061C}, /* Arabic letter mark */
        {0x06DD, 0x06DD},   {0x070F, 0x070F},
        {0x0890, 0x0891},   {0x08E2, 0x08E2},
        {0x115F, 0x1160},                     /* Hangul fillers */
        {0x1680, 0x1680},                     /* Ogham space */
        {0x17B4, 0x17B5},   {0x180B, 0x180F}, /* Mongolian selectors */
        {0x2000, 0x200F}, /* spaces, zero width, direction marks */
        {0x2028, 0x202F}, /* separators, embeddings, overrides, a space */
        {0x205F, 0x206F}, /* a space, invisible operators, isolates */
        {0x2800, 0x2800}, /* Braille pattern without a dot */
        {0x3000, 0x3000}, /* ideographic space */
        {0x3164, 0x3164},   {0xFDD0, 0xFDEF}, /* noncharacters */
        {0xFE00, 0xFE0F},                     /* variation selectors */
        {0xFEFF, 0xFEFF},                     /* byte order mark */
        {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB}, /* annotation */
        {0x110BD, 0x110BD}, {0x110CD, 0x110CD},
        {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},
        {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}, /* tags, variation selectors */
    };
    if ((code_point & 0xFFFE) == 0xFFFE) {
        return true; /* the noncharacters at the end of each plane */
    }
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code_point <= ranges[i].last) {
            return code_point >= ranges[i].first;
        }
    }
    return false;
}
