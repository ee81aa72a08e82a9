/* May be included by csrc/token/pair_*.c alone. The words of a text in which
 * somebody keeps a key. */
#ifndef FTA_TOKEN_PAIR_TEXT_H
#define FTA_TOKEN_PAIR_TEXT_H

#include "base/text.h"

static inline bool
fta_key_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space, and the characters that people put around lines. */
static inline bool
fta_key_is_filler(char c)
{
    return fta_key_is_space(c) || c == '"' || c == '\'' || c == '`' ||
           c == '\\';
}

/* The next word from *at on, which is moved to its end. False if there is none.
 */
static inline bool
fta_key_next_word(const char **at, const char *end, fta_text *out)
{
    while (*at < end && fta_key_is_filler(**at)) {
        (*at)++;
    }
    const char *start = *at;
    while (*at < end && !fta_key_is_filler(**at)) {
        (*at)++;
    }
    *out = (fta_text){start, (size_t)(*at - start)};
    return *at > start;
}

#endif
