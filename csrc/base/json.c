#include "base/json_internal.h"

#include "base/alloc.h"

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

/* Reads the string whose opening quote is at the cursor, unescaping it in
 * place. */
static fta_status
read_string(fta_json *reader, fta_text *string)
{
    char *start = reader->cursor + 1;
    const char *in = fta_json_skip_plain(start, reader->end);
    char *out = start + (in - start);
    if (in == reader->end || *in != '"') {
        fta_status status = fta_json_read_rest(&in, reader->end, &out);
        if (status != FTA_OK) {
            return status;
        }
    }
    string->data = start;
    string->length = (size_t)(out - start);
    reader->cursor = start + (in - start) + 1;
    return FTA_OK;
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
        fta_json_forget_names(reader);
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
        return fta_json_read_number(reader, event);
    }
}

/* Skips white space. False at the end of the text. */
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
    return fta_json_add_name(reader, event->text);
}

/* Inline, so that the loop of fta_json_leave has its own copy: most of a large
 * text is read there. */
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
