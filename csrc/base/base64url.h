/* Base64 without padding: the URL-safe alphabet of tokens (RFC 7515, section
 * 2) and the ordinary one of PHC strings.
 *
 * Decoding is canonical: each value has one text. Padding, white space, other
 * characters, a single last character and set bits that no octet uses are
 * invalid. */
#ifndef FTA_BASE_BASE64URL_H
#define FTA_BASE_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many characters so many octets take. */
#define FTA_BASE64_LENGTH(size) (((size) / 3) * 4 + ((size) % 3 * 4 + 2) / 3)

/* How many octets so many characters can hold at most. */
#define FTA_BASE64_SIZE(length) ((length) / 4 * 3 + (length) % 4 * 3 / 4)

/* Writes FTA_BASE64_LENGTH(size) characters, no NUL, and returns how many. */
size_t fta_base64url_encode(const uint8_t *data, size_t size, char *out);
size_t fta_base64_encode(const uint8_t *data, size_t size, char *out);

/* Writes FTA_BASE64_SIZE(length) octets. out may not overlap text. On failure
 * what out holds is unspecified. */
bool fta_base64url_decode(const char *text, size_t length, uint8_t *out);
bool fta_base64_decode(const char *text, size_t length, uint8_t *out);

#endif
