#include "base/uuid.h"

#include <string.h>

/* The value of a hexadecimal digit, 0xFF for every other octet. */
static uint8_t
digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (uint8_t)(c - '0');
    }
    char lower = (char)(c | 0x20);
    if (lower >= 'a' && lower <= 'f') {
        return (uint8_t)(lower - 'a' + 10);
    }
    return 0xFF;
}

/* Where in the text each byte's first digit stands. */
static const uint8_t position[FTA_UUID_BYTES] = {
    0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};

bool
fta_uuid_parse(const char *text, size_t length, fta_uuid *out)
{
    if (length != FTA_UUID_TEXT || text[8] != '-' || text[13] != '-' ||
        text[18] != '-' || text[23] != '-') {
        return false;
    }
    fta_uuid parsed;
    uint8_t bad = 0;
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        uint8_t high = digit_value(text[position[i]]);
        uint8_t low = digit_value(text[position[i] + 1]);
        bad |= (uint8_t)(high | low);
        parsed.bytes[i] = (uint8_t)((high << 4) | (low & 0x0F));
    }
    if (bad & 0xF0) {
        return false;
    }
    *out = parsed;
    return true;
}

void
fta_uuid_format(const fta_uuid *uuid, char out[FTA_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    out[8] = out[13] = out[18] = out[23] = '-';
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        out[position[i]] = digits[uuid->bytes[i] >> 4];
        out[position[i] + 1] = digits[uuid->bytes[i] & 0x0F];
    }
}

bool
fta_uuid_equal(const fta_uuid *a, const fta_uuid *b)
{
    return memcmp(a->bytes, b->bytes, FTA_UUID_BYTES) == 0;
}
