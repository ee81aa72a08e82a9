/* A piece of text: pointer and length, no NUL to rely on. */
#ifndef FTA_BASE_TEXT_H
#define FTA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct fta_text {
    const char *data; /* Borrowed; NULL when the text is absent */
    size_t length;
} fta_text;

/* Not constant time: for names and identifiers, never for secrets. */
static inline bool
fta_text_equal(fta_text a, fta_text b)
{
    return a.length == b.length &&
           (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Against a literal: fta_text_is(text, "exp"). */
#define fta_text_is(text, literal)                                             \
    ((text).length == sizeof(literal) - 1 &&                                   \
     memcmp((text).data, literal, sizeof(literal) - 1) == 0)

/* Whether a text is a word, given in lower case, in any case of ASCII letters,
 * whatever the locale is. */
static inline bool
fta_text_is_in_any_case(fta_text text, const char *word)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (word[i] == '\0' ||
            (c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c) != word[i]) {
            return false;
        }
    }
    return word[text.length] == '\0';
}

#endif
