#include "json.h"

#include <locale.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "alloc.h"
#include "utf8.h"

enum {
    VALUE,        /* after a colon or an array's comma, or at the start */
    VALUE_OR_END, /* after '[' */
    NAME,         /* after an object's comma */
    NAME_OR_END,  /* after '{' */
    COMMA_OR_END  /* after a value */
};

void
fta_json_start(fta_json *reader, char *text, size_t length,
               const fta_json_seed *seed)
{
    reader->cursor = text;
    reader->end = text + length;
    reader->seed = seed;
    reader->expected = VALUE;
    reader->depth = 0;
    reader->is_object = 0;
    reader->objects = 0;
    reader->name_count = 0;
    reader->slot_mask = 0;
    reader->names = reader->few;
    reader->slots = NULL;
}

void
fta_json_finish(fta_json *reader)
{
    if (reader->names != reader->few) {
        fta_free(reader->names);
        reader->names = reader->few;
        reader->slots = NULL;
    }
}

/* --- names -------------------------------------------------------------- */

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

#define SIP_ROUND                                                              \
    do {                                                                       \
        v0 += v1, v2 += v3;                                                    \
        v1 = ROTATE(v1, 13) ^ v0, v3 = ROTATE(v3, 16) ^ v2;                    \
        v0 = ROTATE(v0, 32);                                                   \
        v2 += v1, v0 += v3;                                                    \
        v1 = ROTATE(v1, 17) ^ v2, v3 = ROTATE(v3, 21) ^ v0;                    \
        v2 = ROTATE(v2, 32);                                                   \
    } while (0)

uint64_t
fta_json_hash(const fta_json_seed *seed, uint64_t domain, const void *data,
              size_t length)
{
    const uint8_t *in = data;
    uint64_t v0 = seed->words[0] ^ 0x736f6d6570736575u;
    uint64_t v1 = seed->words[1] ^ 0x646f72616e646f6du ^ domain;
    uint64_t v2 = seed->words[0] ^ 0x6c7967656e657261u;
    uint64_t v3 = seed->words[1] ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)length << 56;
    for (; length >= 8; in += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, in, 8);
        v3 ^= word;
        SIP_ROUND;
        v0 ^= word;
    }
    for (size_t i = 0; i < length; i++) {
        last |= (uint64_t)in[i] << (8 * i);
    }
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

static uint32_t
hash_name(const fta_json_seed *seed, const fta_json_name *name)
{
    return (uint32_t)fta_json_hash(seed, name->object, name->text,
                                   name->length);
}

static bool
same_name(const fta_json_name *a, const fta_json_name *b)
{
    return a->length == b->length && a->object == b->object &&
           memcmp(a->text, b->text, a->length) == 0;
}

/* Puts the index of a name into the table; false if its like is there. */
static bool
insert_name(fta_json *reader, uint32_t index)
{
    const fta_json_name *name = &reader->names[index];
    uint32_t slot = name->hash & reader->slot_mask;
    while (reader->slots[slot] != 0) {
        const fta_json_name *other = &reader->names[reader->slots[slot] - 1];
        if (other->hash == name->hash && same_name(other, name)) {
            return false;
        }
        slot = (slot + 1) & reader->slot_mask;
    }
    reader->slots[slot] = index + 1;
    return true;
}

/* Changes from comparing with each name to the table. The rest of the text
 * bounds how many names can come, so that one allocation does for all. */
static fta_status
start_table(fta_json *reader)
{
    size_t rest = (size_t)(reader->end - reader->cursor);
    size_t names = FTA_JSON_FEW + 1 + rest / 5; /* each takes "":0, at least */
    size_t slots = 64;
    while (slots < 2 * names) {
        slots *= 2;
    }
    char *block =
        fta_malloc(names * sizeof(fta_json_name) + slots * sizeof(uint32_t));
    if (block == NULL) {
        return FTA_NO_MEMORY;
    }
    reader->names = (fta_json_name *)(void *)block;
    reader->slots = (uint32_t *)(void *)(block + names * sizeof(fta_json_name));
    reader->slot_mask = (uint32_t)(slots - 1);
    memcpy(reader->names, reader->few, sizeof reader->few);
    memset(reader->slots, 0, slots * sizeof(uint32_t));
    for (uint32_t i = 0; i < FTA_JSON_FEW; i++) {
        fta_json_name *name = &reader->names[i];
        name->hash = hash_name(reader->seed, name);
        (void)insert_name(reader, i); /* they were compared already */
    }
    return FTA_OK;
}

/* Remembers a name of the innermost object; refuses one it knows. */
static fta_status
add_name(fta_json *reader, fta_text text)
{
    if (reader->name_count == FTA_JSON_FEW) {
        fta_status status = start_table(reader);
        if (status != FTA_OK) {
            return status;
        }
    }
    uint32_t index = reader->name_count++;
    fta_json_name *name = &reader->names[index];
    name->text = text.data;
    name->length = (uint32_t)text.length;
    name->object = reader->object_at[reader->depth - 1];
    if (reader->slots == NULL) {
        for (uint32_t i = 0; i < index; i++) {
            if (same_name(&reader->names[i], name)) {
                return FTA_JSON_NAME_REPEATED;
            }
        }
        return FTA_OK;
    }
    name->hash = hash_name(reader->seed, name);
    return insert_name(reader, index) ? FTA_OK : FTA_JSON_NAME_REPEATED;
}

/* --- strings ------------------------------------------------------------ */

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1 if they are not there. */
static long
read_hex4(const char *text, const char *end)
{
    if (end - text < 4) {
        return -1;
    }
    long value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(text[i]);
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

/* Whether an octet stands for itself inside a string. */
static bool
is_plain(char c)
{
    return (uint8_t)c >= 0x20 && (uint8_t)c < 0x80 && c != '"' && c != '\\';
}

/* Reads the string whose opening quote is at the cursor, unescaping it in
 * place. */
static fta_status
read_string(fta_json *reader, fta_text *string)
{
    const char *end = reader->end;
    char *start = reader->cursor + 1;
    const char *in = start;
    while (in < end && is_plain(*in)) {
        in++;
    }
    char *out = start + (in - start);
    while (in < end && *in != '"') {
        if (*in == '\\') {
            in++;
            fta_status status = read_escape(&in, end, &out);
            if (status != FTA_OK) {
                return status;
            }
        } else if (is_plain(*in)) {
            *out++ = *in++;
        } else if ((uint8_t)*in < 0x20) {
            return FTA_JSON_INVALID;
        } else {
            size_t length = fta_utf8_length(in, end);
            if (length == 0) {
                return FTA_JSON_NOT_UTF8;
            }
            memmove(out, in, length);
            in += length;
            out += length;
        }
    }
    if (in == end) {
        return FTA_JSON_INVALID;
    }
    string->data = start;
    string->length = (size_t)(out - start);
    reader->cursor = start + (in - start) + 1;
    return FTA_OK;
}

/* --- other values ------------------------------------------------------- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static fta_status
read_number(fta_json *reader, fta_json_event *event)
{
    char *start = reader->cursor;
    char *in = start;
    const char *end = reader->end;
    event->kind = FTA_JSON_INTEGER;
    if (*in == '-') {
        in++;
    }
    if (in == end || !is_digit(*in)) {
        return FTA_JSON_INVALID;
    }
    if (*in++ != '0') {
        while (in < end && is_digit(*in)) {
            in++;
        }
    }
    if (in < end && *in == '.') {
        event->kind = FTA_JSON_REAL;
        in++;
        if (in == end || !is_digit(*in)) {
            return FTA_JSON_INVALID;
        }
        while (in < end && is_digit(*in)) {
            in++;
        }
    }
    if (in < end && (*in | 0x20) == 'e') {
        event->kind = FTA_JSON_REAL;
        in++;
        if (in < end && (*in == '+' || *in == '-')) {
            in++;
        }
        if (in == end || !is_digit(*in)) {
            return FTA_JSON_INVALID;
        }
        while (in < end && is_digit(*in)) {
            in++;
        }
    }
    /* Whatever follows, "01" included, is refused where a comma or the end
     * is expected. */
    event->text.data = start;
    event->text.length = (size_t)(in - start);
    reader->cursor = in;
    return event->text.length <= FTA_JSON_NUMBER ? FTA_OK
                                                 : FTA_JSON_NUMBER_TOO_LONG;
}

static fta_status
read_literal(fta_json *reader, const char *literal, size_t length)
{
    if ((size_t)(reader->end - reader->cursor) < length ||
        memcmp(reader->cursor, literal, length) != 0) {
        return FTA_JSON_INVALID;
    }
    reader->cursor += length;
    return FTA_OK;
}

static fta_status
open_container(fta_json *reader, bool is_object)
{
    if (reader->depth == FTA_JSON_DEPTH) {
        return FTA_JSON_TOO_DEEP;
    }
    uint64_t bit = (uint64_t)1 << reader->depth;
    if (is_object) {
        reader->is_object |= bit;
        reader->object_at[reader->depth] = reader->objects++;
        reader->expected = NAME_OR_END;
    } else {
        reader->is_object &= ~bit;
        reader->expected = VALUE_OR_END;
    }
    reader->depth++;
    reader->cursor++;
    return FTA_OK;
}

static bool
in_object(const fta_json *reader)
{
    return reader->is_object >> (reader->depth - 1) & 1;
}

static fta_status
close_container(fta_json *reader, fta_json_event *event)
{
    event->kind = in_object(reader) ? FTA_JSON_OBJECT_END : FTA_JSON_ARRAY_END;
    reader->depth--;
    reader->expected = COMMA_OR_END;
    reader->cursor++;
    return FTA_OK;
}

static fta_status
read_value(fta_json *reader, fta_json_event *event)
{
    reader->expected = COMMA_OR_END;
    switch (*reader->cursor) {
    case '"':
        event->kind = FTA_JSON_STRING;
        return read_string(reader, &event->text);
    case '{':
        event->kind = FTA_JSON_OBJECT;
        return open_container(reader, true);
    case '[':
        event->kind = FTA_JSON_ARRAY;
        return open_container(reader, false);
    case 't':
        event->kind = FTA_JSON_TRUE;
        return read_literal(reader, "true", 4);
    case 'f':
        event->kind = FTA_JSON_FALSE;
        return read_literal(reader, "false", 5);
    case 'n':
        event->kind = FTA_JSON_NULL;
        return read_literal(reader, "null", 4);
    default:
        return read_number(reader, event);
    }
}

static bool
skip_space(fta_json *reader)
{
    while (reader->cursor < reader->end) {
        char c = *reader->cursor;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return true;
        }
        reader->cursor++;
    }
    return false;
}

static fta_status
read_name(fta_json *reader, fta_json_event *event)
{
    if (*reader->cursor != '"') {
        return FTA_JSON_INVALID;
    }
    event->kind = FTA_JSON_NAME;
    fta_status status = read_string(reader, &event->text);
    if (status != FTA_OK) {
        return status;
    }
    if (!skip_space(reader) || *reader->cursor != ':') {
        return FTA_JSON_INVALID;
    }
    reader->cursor++;
    reader->expected = VALUE;
    return add_name(reader, event->text);
}

fta_status
fta_json_next(fta_json *reader, fta_json_event *event)
{
    for (;;) {
        if (!skip_space(reader)) {
            event->kind = FTA_JSON_END;
            return reader->expected == COMMA_OR_END && reader->depth == 0
                       ? FTA_OK
                       : FTA_JSON_INVALID;
        }
        char c = *reader->cursor;
        switch (reader->expected) {
        case COMMA_OR_END:
            if (reader->depth == 0) {
                return FTA_JSON_INVALID;
            }
            if (c == ',') {
                reader->cursor++;
                reader->expected = in_object(reader) ? NAME : VALUE;
                continue;
            }
            if (c == (in_object(reader) ? '}' : ']')) {
                return close_container(reader, event);
            }
            return FTA_JSON_INVALID;
        case NAME_OR_END:
            if (c == '}') {
                return close_container(reader, event);
            }
            return read_name(reader, event);
        case NAME:
            return read_name(reader, event);
        case VALUE_OR_END:
            if (c == ']') {
                return close_container(reader, event);
            }
            return read_value(reader, event);
        default:
            return read_value(reader, event);
        }
    }
}

/* --- numbers ------------------------------------------------------------ */

fta_status
fta_json_double(fta_text number, double *out)
{
    /* Fifteen digits are exact in a double: no rounding, no locale. */
    if (number.length <= 15) {
        const char *in = number.data, *end = in + number.length;
        bool negative = *in == '-';
        int64_t value = 0;
        in += negative;
        while (in < end && is_digit(*in)) {
            value = value * 10 + (*in++ - '0');
        }
        if (in == end) {
            *out = negative ? -(double)value : (double)value;
            return FTA_OK;
        }
    }
    char text[FTA_JSON_NUMBER + 1];
    if (number.length > FTA_JSON_NUMBER) {
        return FTA_JSON_NUMBER_TOO_LONG;
    }
    memcpy(text, number.data, number.length);
    text[number.length] = '\0';
    /* strtod would take the decimal point of the process's locale. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return FTA_NO_MEMORY;
    }
    *out = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    return FTA_OK;
}
