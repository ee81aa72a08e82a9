/* Whether octets that somebody means to keep as a shared secret are, or hold,
 * a key that is published or has another use: whoever has a published key
 * could sign with it (CVE-2015-9235, CVE-2022-29217 and their kin). */
#ifndef FTA_TOKEN_KEY_SEARCH_H
#define FTA_TOKEN_KEY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Looks for PEM, DER, JWK, OpenSSH's and other forms of a key, anywhere in the
 * octets and in what they are the base64, base64url, base32, hexadecimal or
 * percent-encoding, UTF-16 or escaped literal of, however often in turn. An
 * encoding that takes too much work to look through counts as found. */
fta_status fta_key_search(const uint8_t *octets, size_t size, bool *found);

#endif
