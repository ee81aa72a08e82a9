#include "base/words.h"

fta_text
fta_words_at(const fta_words *words, size_t place)
{
    const char *first = words->first;
    return *(const fta_text *)(const void *)(first + place * words->stride);
}

bool
fta_words_find(const fta_words *words, fta_text text, size_t *place)
{
    for (size_t i = 0; i < words->count; i++) {
        if (fta_text_equal(text, fta_words_at(words, i))) {
            *place = i;
            return true;
        }
    }
    return false;
}
