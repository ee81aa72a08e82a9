/* Well-formed UTF-8 (Unicode, table 3-7). */
#ifndef FTA_BASE_UTF8_H
#define FTA_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the well-formed sequence of more than one octet that begins at
 * text, 2 to 4; 0 if there is none. text must be before end. */
size_t fta_utf8_length(const char *text, const char *end);

/* The code point of a well-formed sequence of this length, 2 to 4. */
uint32_t fta_utf8_code_point(const char *text, size_t length);

/* Whether a code point from U+0080 on is invisible or changes how the text
 * around it is shown: the controls of ISO 6429, line and paragraph separators,
 * spaces, every format character (general category Cf: bidirectional controls,
 * zero width, byte order mark, tags), other code points that are ignored by
 * default, and noncharacters. Unicode 16. */
bool fta_utf8_is_deceptive(uint32_t code_point);

#endif
