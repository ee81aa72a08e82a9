/* UUIDs in their canonical text form, 8-4-4-4-12 (RFC 9562, section 4). */
#ifndef FTA_BASE_UUID_H
#define FTA_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FTA_UUID_BYTES 16
#define FTA_UUID_TEXT 36

typedef struct fta_uuid {
    uint8_t bytes[FTA_UUID_BYTES];
} fta_uuid;

/* Reads exactly 36 characters, with hexadecimal digits of either case. Braces,
 * "urn:uuid:", missing hyphens and white space are invalid. out is written on
 * success alone. */
bool fta_uuid_parse(const char *text, size_t length, fta_uuid *out);

/* Writes 36 characters in lower case, no NUL. */
void fta_uuid_format(const fta_uuid *uuid, char out[FTA_UUID_TEXT]);

bool fta_uuid_equal(const fta_uuid *a, const fta_uuid *b);

#endif
