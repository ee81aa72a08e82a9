#include "http/fields.h"

#include <string.h>

#include "base/alloc.h"

static const fta_text names[FTA_FIELD_COUNT] = {
#define X(name, text) [FTA_FIELD_##name] = {text, sizeof(text) - 1},
    FTA_FIELD_LIST(X)
#undef X
};

fta_text
fta_field_name_text(fta_field_name name)
{
    return names[name];
}

static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool
fta_field_names_equal(fta_text a, fta_text b)
{
    if (a.length != b.length) {
        return false;
    }
    for (size_t i = 0; i < a.length; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* Bit i: whether a name has the length i. Most names of other fields have
 * another length, and are compared with none. */
static const uint64_t lengths = UINT64_C(0)
#define X(name, text) | UINT64_C(1) << (sizeof(text) - 1)
    FTA_FIELD_LIST(X)
#undef X
    ;

fta_field_name
fta_field_name_of(fta_text text)
{
    if (text.length >= 64 || (lengths >> text.length & 1) == 0) {
        return FTA_FIELD_COUNT;
    }
    for (size_t i = 0; i < FTA_FIELD_COUNT; i++) {
        if (fta_field_names_equal(text, names[i])) {
            return (fta_field_name)i;
        }
    }
    return FTA_FIELD_COUNT;
}

bool
fta_text_list_has(fta_text_list list, fta_text text)
{
    for (size_t i = 0; i < list.count; i++) {
        if (fta_text_equal(list.items[i], text)) {
            return true;
        }
    }
    return false;
}

size_t
fta_text_list_room(fta_text_list list)
{
    size_t room = 0;
    for (size_t i = 0; i < list.count; i++) {
        room += list.items[i].length + 2;
    }
    return room;
}

fta_text
fta_text_list_join(fta_text_list list, char **end)
{
    char *start = *end, *out = start;
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0) {
            memcpy(out, ", ", 2);
            out += 2;
        }
        if (list.items[i].length > 0) {
            memcpy(out, list.items[i].data, list.items[i].length);
            out += list.items[i].length;
        }
    }
    *end = out;
    return (fta_text){start, (size_t)(out - start)};
}

void
fta_fields_clear(fta_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        fta_free(fields->items[i].owned);
    }
    fta_fields_init(fields);
}

static fta_field *
new_field(fta_fields *fields, fta_field_name name)
{
    fta_field *field = &fields->items[fields->count++];
    fields->names |= UINT32_C(1) << name;
    field->name = name;
    field->owned = NULL;
    return field;
}

void
fta_fields_add(fta_fields *fields, fta_field_name name, fta_text value)
{
    new_field(fields, name)->value = value;
}

void
fta_fields_add_owned(fta_fields *fields, fta_field_name name, char *owned,
                     size_t length)
{
    fta_field *field = new_field(fields, name);
    field->owned = owned;
    field->value = (fta_text){owned, length};
}

char *
fta_digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

void
fta_fields_add_number(fta_fields *fields, fta_field_name name, uint64_t value)
{
    fta_field *field = new_field(fields, name);
    char *end = field->digits + sizeof field->digits;
    char *start = fta_digits_before(end, value);
    field->value = (fta_text){start, (size_t)(end - start)};
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool
fta_comma_list_next(fta_comma_list *list, fta_text *item)
{
    if (list->ended) {
        return false;
    }
    fta_text rest = list->rest;
    const char *comma =
        rest.length == 0 ? NULL : memchr(rest.data, ',', rest.length);
    size_t length = comma == NULL ? rest.length : (size_t)(comma - rest.data);
    *item = (fta_text){rest.data, length};
    if (comma == NULL) {
        list->ended = true;
    } else {
        list->rest = (fta_text){comma + 1, rest.length - length - 1};
    }
    while (item->length > 0 && is_blank(item->data[0])) {
        item->data++;
        item->length--;
    }
    while (item->length > 0 && is_blank(item->data[item->length - 1])) {
        item->length--;
    }
    return true;
}

/* Whether a comma list without empty items has an item, in any case. */
static bool
has_item(fta_text list, fta_text item)
{
    fta_comma_list left = {list, list.length == 0};
    fta_text each;
    while (fta_comma_list_next(&left, &each)) {
        if (fta_field_names_equal(each, item)) {
            return true;
        }
    }
    return false;
}

/* Adds the names of a value to the comma list in front of end that are not in
 * it yet. Returns its new end; NULL for "*". */
static char *
join(char *list, char *end, fta_text value)
{
    fta_comma_list left = {value, false};
    fta_text item;
    while (fta_comma_list_next(&left, &item)) {
        if (fta_text_is(item, "*")) {
            return NULL;
        }
        if (item.length == 0 ||
            has_item((fta_text){list, (size_t)(end - list)}, item)) {
            continue;
        }
        if (end > list) {
            memcpy(end, ", ", 2);
            end += 2;
        }
        memcpy(end, item.data, item.length);
        end += item.length;
    }
    return end;
}

/* The octets that join() writes at most for a value. */
static size_t
joined_room(fta_text value)
{
    size_t room = value.length + 2;
    for (size_t i = 0; i < value.length; i++) {
        room += value.data[i] == ',';
    }
    return room;
}

static fta_field *
find(fta_fields *fields, fta_field_name name)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->items[i].name == name) {
            return &fields->items[i];
        }
    }
    return NULL;
}

fta_status
fta_fields_join_vary(fta_fields *fields, fta_text_list values)
{
    fta_field *vary = find(fields, FTA_FIELD_VARY);
    if (vary == NULL || values.count == 0) {
        return FTA_OK;
    }
    size_t room = joined_room(vary->value);
    for (size_t i = 0; i < values.count; i++) {
        room += joined_room(values.items[i]);
    }
    char *list = fta_malloc(room);
    if (list == NULL) {
        return FTA_NO_MEMORY;
    }
    char *end = list;
    for (size_t i = 0; i < values.count && end != NULL; i++) {
        end = join(list, end, values.items[i]);
    }
    if (end != NULL) {
        end = join(list, end, vary->value);
    }
    if (end == NULL) {
        list[0] = '*';
        end = list + 1;
    }
    fta_free(vary->owned);
    vary->owned = list;
    vary->value = (fta_text){list, (size_t)(end - list)};
    return FTA_OK;
}

bool
fta_is_http_token(fta_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return text.length > 0;
}
