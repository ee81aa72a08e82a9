#include "base/json_write.h"

#include <stdint.h>

#include "base/utf8.h"

/* How an octet below 0x80 is written in a JSON string. */
typedef enum octet_class { PLAIN, QUOTED, CONTROL } octet_class;

static octet_class
class_of(unsigned char octet)
{
    if (octet == '"' || octet == '\\') {
        return QUOTED;
    }
    return octet < 0x20 || octet == 0x7F ? CONTROL : PLAIN;
}

static char *
write_bytes(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

/* A code point beyond U+FFFF is four octets of UTF-8 and becomes two escapes:
 * its surrogates. */
static char *
write_escape(char *out, uint32_t code)
{
    static const char hex[] = "0123456789abcdef";
    if (code > 0xFFFF) {
        out = write_escape(out, 0xD800 + ((code - 0x10000) >> 10));
        code = 0xDC00 + ((code - 0x10000) & 0x3FF);
    }
    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) {
        *out++ = hex[code >> shift & 15];
    }
    return out;
}

char *
fta_json_write_string(char *out, fta_text text)
{
    const char *in = text.data;
    const char *end = in + text.length;
    *out++ = '"';
    while (in < end) {
        const char *plain = in;
        while (in < end && (unsigned char)*in < 0x80 &&
               class_of((unsigned char)*in) == PLAIN) {
            in++;
        }
        out = write_bytes(out, plain, (size_t)(in - plain));
        if (in == end) {
            break;
        }
        unsigned char octet = (unsigned char)*in;
        if (octet < 0x80) {
            if (class_of(octet) == QUOTED) {
                *out++ = '\\';
                *out++ = (char)octet;
            } else {
                out = write_escape(out, octet);
            }
            in++;
            continue;
        }
        size_t length = fta_utf8_length(in, end);
        uint32_t code = length == 0 ? 0xFFFD : fta_utf8_code_point(in, length);
        if (length == 0 || fta_utf8_is_deceptive(code)) {
            out = write_escape(out, code);
        } else {
            out = write_bytes(out, in, length);
        }
        in += length == 0 ? 1 : length;
    }
    *out++ = '"';
    return out;
}
