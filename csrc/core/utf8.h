/* Well-formed UTF-8 (Unicode, table 3-7). */
#ifndef FTA_UTF8_H
#define FTA_UTF8_H

#include <stddef.h>

/* The length of the well-formed sequence of more than one octet that begins at
 * text, 2 to 4; 0 if there is none. text must be before end. */
size_t fta_utf8_length(const char *text, const char *end);

#endif
