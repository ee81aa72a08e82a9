/* A fixed set of words, each of which stands for a number: its place. */
#ifndef FTA_BASE_WORDS_H
#define FTA_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

typedef struct fta_words {
    const void *first; /* Borrowed: an fta_text, or a struct whose first member
                        * is one */
    size_t count;
    size_t stride; /* octets from one to the next */
} fta_words;

/* The words of an array of fta_text, or of structs that begin with one. */
#define FTA_WORDS(array)                                                       \
    {(array), sizeof(array) / sizeof *(array), sizeof *(array)}

fta_text fta_words_at(const fta_words *words, size_t place);

/* The place of the word that equals the text; false if there is none. */
bool fta_words_find(const fta_words *words, fta_text text, size_t *place);

#endif
