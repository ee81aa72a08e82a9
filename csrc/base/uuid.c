#include "base/uuid.h"

#include <string.h>

#include "base/hex.h"

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
    unsigned invalid = 0; /* more than four bits once a digit was -1 */
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        const unsigned char *digits = (const unsigned char *)text + position[i];
        unsigned high = (unsigned)fta_hex_value(digits[0]);
        unsigned low = (unsigned)fta_hex_value(digits[1]);
        invalid |= high | low;
        parsed.bytes[i] = (uint8_t)(high << 4 | (low & 0x0F));
    }
    if (invalid > 0x0F) {
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
