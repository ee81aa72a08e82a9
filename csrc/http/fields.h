/* The header fields that are added to responses. */
#ifndef FTA_HTTP_FIELDS_H
#define FTA_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

/* Every field that is added to a response, in no order: X(name, text). */
#define FTA_FIELD_LIST(X)                                                      \
    X(VARY, "Vary")                                                            \
    X(ALLOW_ORIGIN, "Access-Control-Allow-Origin")                             \
    X(ALLOW_CREDENTIALS, "Access-Control-Allow-Credentials")                   \
    X(EXPOSE_HEADERS, "Access-Control-Expose-Headers")                         \
    X(ALLOW_METHODS, "Access-Control-Allow-Methods")                           \
    X(ALLOW_HEADERS, "Access-Control-Allow-Headers")                           \
    X(MAX_AGE, "Access-Control-Max-Age")                                       \
    X(LIMIT, "X-RateLimit-Limit")                                              \
    X(REMAINING, "X-RateLimit-Remaining")                                      \
    X(RESET, "X-RateLimit-Reset")                                              \
    X(RATELIMIT_POLICY, "RateLimit-Policy")                                    \
    X(RATELIMIT, "RateLimit")                                                  \
    X(RETRY_AFTER, "Retry-After")

typedef enum fta_field_name {
#define X(name, text) FTA_FIELD_##name,
    FTA_FIELD_LIST(X)
#undef X
        FTA_FIELD_COUNT
} fta_field_name;

/* The text of a name, never absent. */
fta_text fta_field_name_text(fta_field_name name);

/* The name that a text is, in any case (RFC 9110, 5.1); FTA_FIELD_COUNT for
 * every other text. */
fta_field_name fta_field_name_of(fta_text text);

/* Whether two texts are one name of a field: ASCII, in any case. */
bool fta_field_names_equal(fta_text a, fta_text b);

/* Texts side by side. */
typedef struct fta_text_list {
    const fta_text *items; /* Borrowed */
    size_t count;
} fta_text_list;

bool fta_text_list_has(fta_text_list list, fta_text text);

/* Writes the texts as one value of a field, "a, b", behind *end, and moves that
 * behind it. fta_text_list_room() octets are enough for that, and for the texts
 * alone. */
fta_text fta_text_list_join(fta_text_list list, char **end);
size_t fta_text_list_room(fta_text_list list);

enum { FTA_DIGITS_MAX = 20 }; /* of a number of 64 bits */

typedef struct fta_field {
    fta_field_name name;
    fta_text value; /* in owned, in digits, or borrowed */
    char *owned;    /* Owned: from fta_malloc, or NULL */
    char digits[FTA_DIGITS_MAX];
} fta_field;

/* Fields of different names. They stay where they are while they are used: a
 * value may be in its own field. */
typedef struct fta_fields {
    size_t count;
    uint32_t names; /* bit i: whether there is one with the name i */
    fta_field items[FTA_FIELD_COUNT];
} fta_fields;

static inline void
fta_fields_init(fta_fields *fields)
{
    fields->count = 0;
    fields->names = 0;
}

void fta_fields_clear(fta_fields *fields);

/* Each adds a field whose name is not there yet. A value is Borrowed, and owned
 * is a value from fta_malloc, which is taken over. */
void fta_fields_add(fta_fields *fields, fta_field_name name, fta_text value);
void fta_fields_add_owned(fta_fields *fields, fta_field_name name, char *owned,
                          size_t length);
void fta_fields_add_number(fta_fields *fields, fta_field_name name,
                           uint64_t value);

/* Joins the values of the application's Vary fields with the one that is added,
 * if there is one (RFC 9110, 12.5.5): each name once, in the order and the case
 * in which it comes first; "*" alone where one of them is "*". */
fta_status fta_fields_join_vary(fta_fields *fields, fta_text_list values);

/* Whether a text is a token: a method or the name of a field (RFC 9110,
 * 5.6.2). */
bool fta_is_http_token(fta_text text);

/* Takes the next item from a comma list, without the spaces and tabs around
 * it. False at the end; "a,,b" has an item that is empty, and "" has one. */
typedef struct fta_comma_list {
    fta_text rest;
    bool ended;
} fta_comma_list;

bool fta_comma_list_next(fta_comma_list *list, fta_text *item);

/* Writes the decimal digits of a number, which end at end, and returns where
 * they begin. There is room for FTA_DIGITS_MAX before end. */
char *fta_digits_before(char *end, uint64_t value);

#endif
