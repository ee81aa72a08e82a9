#include "http/cookie.h"

#include <stdbool.h>
#include <string.h>

static bool
is_space(char c)
{
    return c == ' ' || c == '\t';
}

static fta_text
trimmed(const char *start, const char *end)
{
    while (start < end && is_space(*start)) {
        start++;
    }
    while (end > start && is_space(end[-1])) {
        end--;
    }
    return (fta_text){start, (size_t)(end - start)};
}

/* Whether the pair between start and end has the name; *value is its value. */
static bool
is_named(const char *start, const char *end, fta_text name, fta_text *value)
{
    const char *equals = memchr(start, '=', (size_t)(end - start));
    if (equals == NULL || !fta_text_equal(trimmed(start, equals), name)) {
        return false;
    }
    *value = trimmed(equals + 1, end);
    return true;
}

size_t
fta_cookie_find(fta_text header, fta_text name, fta_text *value)
{
    size_t found = 0;
    *value = (fta_text){NULL, 0};
    if (header.length == 0) {
        return 0;
    }
    const char *in = header.data;
    const char *end = in + header.length;
    while (in < end) {
        const char *semicolon = memchr(in, ';', (size_t)(end - in));
        const char *stop = semicolon == NULL ? end : semicolon;
        fta_text one;
        if (is_named(in, stop, name, &one) && found++ == 0) {
            *value = one;
        }
        in = semicolon == NULL ? end : semicolon + 1;
    }
    return found;
}
