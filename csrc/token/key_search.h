/* Whether the octets of a shared secret are, or hold, a key. Such a key may be
 * published, and whoever has a published key could sign with it (CVE-2015-9235,
 * CVE-2022-29217 and others of that kind). */
#ifndef FTA_TOKEN_KEY_SEARCH_H
#define FTA_TOKEN_KEY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Looks for PEM, DER, JWK, OpenSSH's and other forms of a key, anywhere in the
 * octets. Also in what they encode: base64, base64url, base32, hexadecimal,
 * percent-encoding, UTF-16, escapes of a literal, several of them in turn. If
 * that takes too much work, *found is set. */
fta_status fta_key_search(const uint8_t *octets, size_t size, bool *found);

#endif
