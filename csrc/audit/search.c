#include "audit/search.h"

#include <string.h>

#define BEGINNING "{\"time\":\""

static bool
has(fta_text line, fta_text word)
{
    return memmem(line.data, line.length, word.data, word.length) != NULL;
}

/* Times of one form compare as texts. */
static bool
is_in_time(const fta_audit_search *search, fta_text line)
{
    size_t skipped = sizeof BEGINNING - 1;
    if (line.length < skipped || memcmp(line.data, BEGINNING, skipped) != 0) {
        return true;
    }
    const char *time = line.data + skipped;
    size_t left = line.length - skipped;
    if (search->since.data != NULL && left >= search->since.length &&
        memcmp(time, search->since.data, search->since.length) < 0) {
        return false;
    }
    return search->until.data == NULL || left < search->until.length ||
           memcmp(time, search->until.data, search->until.length) < 0;
}

/* The line that an octet of the text belongs to. */
static fta_text
line_around(fta_text text, size_t from, size_t place)
{
    size_t begin = place;
    while (begin > from && text.data[begin - 1] != '\n') {
        begin--;
    }
    const char *end = memchr(text.data + place, '\n', text.length - place);
    return (fta_text){text.data + begin,
                      end == NULL ? text.length - begin
                                  : (size_t)(end - text.data) - begin};
}

bool
fta_audit_search_next(const fta_audit_search *search, fta_text text,
                      size_t *from, fta_text *line)
{
    while (*from < text.length) {
        size_t place = *from;
        if (search->count != 0) {
            const char *found =
                memmem(text.data + place, text.length - place,
                       search->words[0].data, search->words[0].length);
            if (found == NULL) {
                break;
            }
            place = (size_t)(found - text.data);
        }
        *line = line_around(text, *from, place);
        *from = (size_t)(line->data - text.data) + line->length + 1;
        bool fits = is_in_time(search, *line);
        for (size_t i = 0; fits && i < search->count; i++) {
            fits = has(*line, search->words[i]);
        }
        if (fits) {
            return true;
        }
    }
    *from = text.length;
    return false;
}
