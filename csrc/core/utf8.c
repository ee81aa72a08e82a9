#include "utf8.h"

#include <stdint.h>

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
