/* A piece of text: pointer and length, no NUL to rely on. */
#ifndef FTA_BASE_TEXT_H
#define FTA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

/* The ends of a text: two words that overlap, which say all of a text of up to
 * FTA_TEXT_ENDS octets, together with its length. */
typedef struct fta_text_ends {
    uint64_t head;
    uint64_t tail;
} fta_text_ends;

#define FTA_TEXT_ENDS 16

static inline fta_text_ends
fta_text_ends_of(fta_text text)
{
    fta_text_ends ends = {0, 0};
    const char *data = text.data;
    if (text.length >= 8) {
        memcpy(&ends.head, data, 8);
        memcpy(&ends.tail, data + text.length - 8, 8);
    } else if (text.length >= 4) {
        memcpy(&ends.head, data, 4);
        memcpy(&ends.tail, data + text.length - 4, 4);
    } else if (text.length != 0) {
        ends.head = (uint8_t)data[0];
        ends.tail = (uint64_t)(uint8_t)data[text.length / 2] << 8 |
                    (uint8_t)data[text.length - 1];
    }
    return ends;
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
