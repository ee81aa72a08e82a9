/* JSON strings, written so that every reader reads the same (RFC 8259). */
#ifndef FTA_BASE_JSON_WRITE_H
#define FTA_BASE_JSON_WRITE_H

#include "base/text.h"

/* The most octets that one octet of a text becomes: \u and four digits. */
#define FTA_JSON_ESCAPED_MAX 6

/* Writes the text as a JSON string, its quotes included, and returns the end.
 * out has room for 2 octets and FTA_JSON_ESCAPED_MAX for each of the text.
 *
 * An octet that is no part of UTF-8 becomes U+FFFD. What is written is read on
 * terminals and in browsers, so characters are escaped that end a line there,
 * are invisible, or change how the text around them is shown. */
char *fta_json_write_string(char *out, fta_text text);

#endif
