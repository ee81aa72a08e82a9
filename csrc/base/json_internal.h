/* May be included by csrc/base/json*.c alone. The parts of the JSON reader. */
#ifndef FTA_BASE_JSON_INTERNAL_H
#define FTA_BASE_JSON_INTERNAL_H

#include "base/json.h"

/* --- names -------------------------------------------------------------- */

/* The names of all open objects are in one array, those of the innermost object
 * at its end. An object of up to FTA_JSON_SMALL names compares each new name
 * with the others. A larger one has all of its names in a hash table. */
#define FTA_JSON_SMALL 8

static inline uint32_t
fta_json_first_name(const fta_json *reader)
{
    return reader->first_name[reader->depth - 1];
}

static inline bool
fta_json_same_name(const fta_json_name *a, const fta_json_name *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Remembers a name of the innermost object. FTA_JSON_NAME_REPEATED for one that
 * the object has. */
fta_status fta_json_add_name(fta_json *reader, fta_text text);

/* Removes the names of the innermost object. */
void fta_json_forget_names(fta_json *reader);

/* --- strings ------------------------------------------------------------ */

/* Whether an octet stands for itself inside a string. */
static inline bool
fta_json_is_plain(char c)
{
    return (uint8_t)c >= 0x20 && (uint8_t)c < 0x80 && c != '"' && c != '\\';
}

#define FTA_JSON_EACH(octet) (0x0101010101010101u * (octet))

/* Whether all eight octets are plain, tested in one step. Subtracting n sets
 * the highest bit of an octet below n; with XOR before it, of an octet equal to
 * c. A borrow may set the bit of the next octet too, but no borrow begins in a
 * word of plain octets. */
static inline bool
fta_json_are_plain(const char *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof word);
    uint64_t quotes = word ^ FTA_JSON_EACH('"');
    uint64_t backslashes = word ^ FTA_JSON_EACH('\\');
    uint64_t borrows = (word - FTA_JSON_EACH(0x20)) |
                       (quotes - FTA_JSON_EACH(1)) |
                       (backslashes - FTA_JSON_EACH(1)) | word;
    return (borrows & FTA_JSON_EACH(0x80)) == 0;
}

static inline const char *
fta_json_skip_plain(const char *in, const char *end)
{
    while (end - in >= 8 && fta_json_are_plain(in)) {
        in += 8;
    }
    while (in < end && fta_json_is_plain(*in)) {
        in++;
    }
    return in;
}

/* Reads what follows the first octet of a string that does not stand for
 * itself, and moves the characters together at *out. Leaves *cursor at the
 * closing quote. */
fta_status fta_json_read_rest(const char **cursor, const char *end, char **out);

/* --- numbers ------------------------------------------------------------ */

static inline bool
fta_json_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

fta_status fta_json_read_number(fta_json *reader, fta_json_event *event);

#endif
