#include "base/json.h"

#include <locale.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "base/alloc.h"
#include "base/hex.h"
#include "base/utf8.h"

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

/* The names of all open objects lie in one array, those of the innermost at
 * its end. An object of up to FEW names compares each new name with the others;
 * a larger one has all of its names in the table. */
#define FEW 8

/* Gets the table, and a larger array with it. The rest of the text bounds how
 * many names can come, so that this happens once. */
static fta_status
take_memory(fta_json *reader)
{
    size_t rest = (size_t)(reader->end - reader->cursor);
    size_t names = FTA_JSON_FEW + 1 + rest / 5; /* each takes "":0, at least */
    size_t slots = 64;
    while (slots < 2 * names) {
        slots *= 2;
    }
    size_t names_size = names * sizeof(fta_json_name);
    char *memory = fta_malloc(names_size + slots * sizeof(uint32_t));
    if (memory == NULL) {
        return FTA_NO_MEMORY;
    }
    reader->names = (fta_json_name *)(void *)memory;
    reader->slots = (uint32_t *)(void *)(memory + names_size);
    reader->slot_mask = (uint32_t)(slots - 1);
    memcpy(reader->names, reader->few,
           reader->name_count * sizeof(fta_json_name));
    memset(reader->slots, 0, slots * sizeof(uint32_t));
    return FTA_OK;
}

static bool
same_name(const fta_json_name *a, const fta_json_name *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static uint32_t
first_name(const fta_json *reader)
{
    return reader->first_name[reader->depth - 1];
}

/* Puts a name of the innermost object into the table; false if its like is
 * there. Names of other objects have lower indices. */
static bool
insert_name(fta_json *reader, uint32_t index)
{
    fta_json_name *name = &reader->names[index];
    name->hash = (uint32_t)fta_json_hash(reader->seed, reader->depth,
                                         name->text, name->length);
    uint32_t slot = name->hash & reader->slot_mask;
    while (reader->slots[slot] != 0) {
        uint32_t other = reader->slots[slot] - 1;
        if (other >= first_name(reader) &&
            reader->names[other].hash == name->hash &&
            same_name(&reader->names[other], name)) {
            return false;
        }
        slot = (slot + 1) & reader->slot_mask;
    }
    reader->slots[slot] = index + 1;
    return true;
}

/* Removes the names of the innermost object, the last ones of the array and
 * of the table: taking out what was put in last leaves every chain whole. */
static void
forget_names(fta_json *reader)
{
    uint32_t first = first_name(reader);
    /* No name follows those of the outermost object. */
    if (reader->name_count - first > FEW && reader->depth > 1) {
        for (uint32_t i = reader->name_count; i > first; i--) {
            uint32_t slot = reader->names[i - 1].hash & reader->slot_mask;
            while (reader->slots[slot] != i) {
                slot = (slot + 1) & reader->slot_mask;
            }
            reader->slots[slot] = 0;
        }
    }
    reader->name_count = first;
}

/* Remembers a name of the innermost object; refuses one that it has. */
static fta_status
add_name(fta_json *reader, fta_text text)
{
    uint32_t first = first_name(reader);
    if (reader->slots == NULL && (reader->name_count == FTA_JSON_FEW ||
                                  reader->name_count - first == FEW)) {
        fta_status status = take_memory(reader);
        if (status != FTA_OK) {
            return status;
        }
    }
    uint32_t index = reader->name_count++;
    fta_json_name *name = &reader->names[index];
    name->text = text.data;
    name->length = (uint32_t)text.length;
    if (index - first < FEW) {
        for (uint32_t i = first; i < index; i++) {
            if (same_name(&reader->names[i], name)) {
                return FTA_JSON_NAME_REPEATED;
            }
        }
        return FTA_OK;
    }
    if (index - first == FEW) {
        for (uint32_t i = first; i < index; i++) {
            (void)insert_name(reader, i); /* they were compared already */
        }
    }
    return insert_name(reader, index) ? FTA_OK : FTA_JSON_NAME_REPEATED;
}

/* --- strings ------------------------------------------------------------ */

/* Four hexadecimal digits; -1 if they are not there. */
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

/* Whether an octet stands for itself inside a string. */
static bool
is_plain(char c)
{
    return (uint8_t)c >= 0x20 && (uint8_t)c < 0x80 && c != '"' && c != '\\';
}

#define EACH(octet) (0x0101010101010101u * (octet))

/* Whether all eight octets are plain, without looking at each: an octet that
 * is less than n, or equal to c, borrows into its highest bit (it may do so
 * for its neighbour as well, never for a word of plain ones). */
static bool
are_plain(const char *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof word);
    uint64_t quotes = word ^ EACH('"');
    uint64_t backslashes = word ^ EACH('\\');
    uint64_t borrows = (word - EACH(0x20)) | (quotes - EACH(1)) |
                       (backslashes - EACH(1)) | word;
    return (borrows & EACH(0x80)) == 0;
}

static const char *
skip_plain(const char *in, const char *end)
{
    while (end - in >= 8 && are_plain(in)) {
        in += 8;
    }
    while (in < end && is_plain(*in)) {
        in++;
    }
    return in;
}

/* Reads what follows the first octet that is not plain, moving it together. */
static fta_status
read_rest_of_string(const char **cursor, const char *end, char **out)
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
            const char *next = skip_plain(in, end);
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

/* Reads the string whose opening quote is at the cursor, unescaping it in
 * place. */
static fta_status
read_string(fta_json *reader, fta_text *string)
{
    char *start = reader->cursor + 1;
    const char *in = skip_plain(start, reader->end);
    char *out = start + (in - start);
    if (in == reader->end || *in != '"') {
        fta_status status = read_rest_of_string(&in, reader->end, &out);
        if (status != FTA_OK) {
            return status;
        }
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
        reader->objects |= bit;
        reader->first_name[reader->depth] = reader->name_count;
        reader->expected = NAME_OR_END;
    } else {
        reader->objects &= ~bit;
        reader->expected = VALUE_OR_END;
    }
    reader->depth++;
    reader->cursor++;
    return FTA_OK;
}

static bool
in_object(const fta_json *reader)
{
    return reader->objects >> (reader->depth - 1) & 1;
}

static fta_status
close_container(fta_json *reader, fta_json_event *event)
{
    if (in_object(reader)) {
        forget_names(reader);
        event->kind = FTA_JSON_OBJECT_END;
    } else {
        event->kind = FTA_JSON_ARRAY_END;
    }
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

/* False at the end of the text. */
static bool
skip_space(fta_json *reader)
{
    char *in = reader->cursor;
    while (in < reader->end &&
           (*in == ' ' || *in == '\n' || *in == '\r' || *in == '\t')) {
        in++;
    }
    reader->cursor = in;
    return in < reader->end;
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

/* Inline, so that fta_json_leave, where most of a large text is read, has its
 * own. */
static inline fta_status
next_event(fta_json *reader, fta_json_event *event)
{
    bool more = skip_space(reader);
    if (reader->expected == COMMA_OR_END) {
        if (reader->depth == 0) {
            event->kind = FTA_JSON_END;
            return more ? FTA_JSON_INVALID : FTA_OK;
        }
        bool object = in_object(reader);
        if (!more) {
            return FTA_JSON_INVALID;
        }
        if (*reader->cursor == (object ? '}' : ']')) {
            return close_container(reader, event);
        }
        if (*reader->cursor != ',') {
            return FTA_JSON_INVALID;
        }
        reader->cursor++;
        reader->expected = object ? NAME : VALUE;
        more = skip_space(reader);
    }
    if (!more) {
        return FTA_JSON_INVALID;
    }
    char c = *reader->cursor;
    switch (reader->expected) {
    case NAME_OR_END:
        return c == '}' ? close_container(reader, event)
                        : read_name(reader, event);
    case NAME:
        return read_name(reader, event);
    case VALUE_OR_END:
        return c == ']' ? close_container(reader, event)
                        : read_value(reader, event);
    default:
        return read_value(reader, event);
    }
}

fta_status
fta_json_next(fta_json *reader, fta_json_event *event)
{
    return next_event(reader, event);
}

static inline bool
show(const fta_json_sink *sink, const fta_json_event *event)
{
    return sink == NULL || sink->accept(sink->context, event);
}

fta_status
fta_json_next_to(fta_json *reader, const fta_json_sink *sink,
                 fta_json_event *event)
{
    fta_status status = next_event(reader, event);
    if (status == FTA_OK && event->kind != FTA_JSON_END && !show(sink, event)) {
        return FTA_STOPPED;
    }
    return status;
}

fta_status
fta_json_leave(fta_json *reader, const fta_json_sink *sink)
{
    uint8_t outside = (uint8_t)(reader->depth - 1);
    fta_status status = FTA_OK;
    while (status == FTA_OK && reader->depth != outside) {
        fta_json_event event;
        status = next_event(reader, &event);
        if (status == FTA_OK && !show(sink, &event)) {
            status = FTA_STOPPED;
        }
    }
    return status;
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
