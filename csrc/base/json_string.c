#include "base/hex.h"
#include "base/json_internal.h"
#include "base/utf8.h"

/* The value of four hexadecimal digits; -1 for anything else. */
static long
read_hex4(const char *text, const char *end)
{
    if (end - text < 4) {
        return -1;
    }
    long value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = fta_hex_value((unsigned char)text[i]);
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

static char *
write_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* Reads the escape after a backslash at *in and appends its character to *out,
 * which is never ahead of *in: the shortest escape of a character is at least
 * as long as its UTF-8. */
static fta_status
read_escape(const char **in, const char *end, char **out)
{
    const char *text = *in;
    if (text == end) {
        return FTA_JSON_INVALID;
    }
    char c = *text++;
    switch (c) {
    case '"':
    case '\\':
    case '/':
        break;
    case 'b':
        c = '\b';
        break;
    case 'f':
        c = '\f';
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 't':
        c = '\t';
        break;
    case 'u': {
        long code = read_hex4(text, end);
        if (code < 0) {
            return FTA_JSON_INVALID;
        }
        text += 4;
        if (code >= 0xDC00 && code <= 0xDFFF) {
            return FTA_JSON_NOT_UTF8;
        }
        if (code >= 0xD800 && code <= 0xDBFF) {
            if (end - text < 2 || text[0] != '\\' || text[1] != 'u') {
                return FTA_JSON_NOT_UTF8;
            }
            long low = read_hex4(text + 2, end);
            if (low < 0xDC00 || low > 0xDFFF) {
                return FTA_JSON_NOT_UTF8;
            }
            text += 6;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        *out = write_utf8(*out, (unsigned long)code);
        *in = text;
        return FTA_OK;
    }
    default:
        return FTA_JSON_INVALID;
    }
    *(*out)++ = c;
    *in = text;
    return FTA_OK;
}

fta_status
fta_json_read_rest(const char **cursor, const char *end, char **out)
{
    const char *in = *cursor;
    while (in < end && *in != '"') {
        if (*in == '\\') {
            in++;
            fta_status status = read_escape(&in, end, out);
            if (status != FTA_OK) {
                return status;
            }
        } else if ((uint8_t)*in < 0x20) {
            return FTA_JSON_INVALID;
        } else {
            const char *next = fta_json_skip_plain(in, end);
            size_t length =
                next != in ? (size_t)(next - in) : fta_utf8_length(in, end);
            if (length == 0) {
                return FTA_JSON_NOT_UTF8;
            }
            if (*out != in) {
                memmove(*out, in, length);
            }
            in += length;
            *out += length;
        }
    }
    *cursor = in;
    return in < end ? FTA_OK : FTA_JSON_INVALID;
}
