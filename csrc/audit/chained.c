#include "audit/chained.h"

#include <string.h>

#include "audit/line.h"
#include "base/base64url.h"
#include "base/hex.h"

#define LITERAL(text) ((fta_text){text, sizeof(text) - 1})
#define DIGEST_TEXT ((size_t)2 * FTA_AUDIT_DIGEST)
#define KEY_TEXT 16
#define TRAILER (sizeof ",\"digest\":\"\"}" - 1 + DIGEST_TEXT)
#define NUMBER_MAX 19 /* digits, so that no number is too large */

/* Takes octets off the text. */
static bool
take(fta_text *rest, size_t length, fta_text *out)
{
    if (rest->length < length) {
        return false;
    }
    *out = (fta_text){rest->data, length};
    rest->data += length;
    rest->length -= length;
    return true;
}

static bool
skip(fta_text *rest, fta_text literal)
{
    fta_text found;
    fta_text copy = *rest;
    if (!take(&copy, literal.length, &found) ||
        !fta_text_equal(found, literal)) {
        return false;
    }
    *rest = copy;
    return true;
}

/* 64 digits in lower case: each digest has one text. */
static bool
take_digest(fta_text *rest, uint8_t out[FTA_AUDIT_DIGEST])
{
    fta_text digits;
    if (!take(rest, DIGEST_TEXT, &digits)) {
        return false;
    }
    for (size_t i = 0; i < FTA_AUDIT_DIGEST; i++) {
        unsigned char high = (unsigned char)digits.data[2 * i];
        unsigned char low = (unsigned char)digits.data[2 * i + 1];
        int first = fta_hex_value(high), second = fta_hex_value(low);
        if (first < 0 || second < 0 || (high >= 'A' && high <= 'F') ||
            (low >= 'A' && low <= 'F')) {
            return false;
        }
        out[i] = (uint8_t)(first * 16 + second);
    }
    return true;
}

/* Decimal digits without leading zeros. */
static bool
take_number(fta_text *rest, uint64_t *out)
{
    size_t length = 0;
    uint64_t value = 0;
    while (length < rest->length && length <= NUMBER_MAX &&
           rest->data[length] >= '0' && rest->data[length] <= '9') {
        value = value * 10 + (uint64_t)(rest->data[length] - '0');
        length++;
    }
    fta_text digits;
    *out = value;
    return length > 0 && length <= NUMBER_MAX &&
           (length == 1 || rest->data[0] != '0') && take(rest, length, &digits);
}

static bool
take_signature(fta_text *rest, uint8_t out[FTA_AUDIT_SIGNATURE])
{
    fta_text text;
    return take(rest, FTA_AUDIT_SIGNATURE_TEXT, &text) &&
           fta_base64url_decode(text.data, text.length, out);
}

/* The text after a marker; absent if the marker is not in the line. A marker
 * has quotes, and none in a JSON string is unescaped: it is found as a member,
 * and never inside of a value that a client has sent. */
static fta_text
after_marker(fta_text line, fta_text marker)
{
    const char *from = line.data, *end = line.data + line.length;
    while ((size_t)(end - from) >= marker.length) {
        const char *found = memchr(from, marker.data[0],
                                   (size_t)(end - from) - marker.length + 1);
        if (found == NULL) {
            break;
        }
        if (memcmp(found, marker.data, marker.length) == 0) {
            found += marker.length;
            return (fta_text){found, (size_t)(end - found)};
        }
        from = found + 1;
    }
    return (fta_text){NULL, 0};
}

static bool
read_control(fta_text line, fta_text rest, fta_audit_chained *out)
{
    fta_text key;
    const char *quote = memchr(rest.data, '"', rest.length);
    if (quote == NULL ||
        !take(&rest, (size_t)(quote - rest.data), &out->event) ||
        out->event.length == 0 || !skip(&rest, LITERAL("\",\"n\":")) ||
        !take_number(&rest, &out->n) ||
        !skip(&rest, LITERAL(",\"previous\":\"")) ||
        !take_digest(&rest, out->previous) ||
        !skip(&rest, LITERAL("\",\"count\":")) ||
        !take_number(&rest, &out->count) ||
        !skip(&rest, LITERAL(",\"key\":\"")) || !take(&rest, KEY_TEXT, &key)) {
        return false;
    }
    out->signed_text =
        (fta_text){line.data, (size_t)(rest.data + 1 - line.data)};
    out->covered = line;
    return skip(&rest, LITERAL("\",\"signature\":\"")) &&
           take_signature(&rest, out->signature) &&
           skip(&rest, LITERAL("\"")) && rest.length == 0;
}

static bool
read_personal(fta_text rest, fta_audit_chained *out)
{
    out->personal = rest;
    if (skip(&rest, LITERAL(",\"salt\":\""))) {
        return true;
    }
    out->personal = (fta_text){NULL, 0};
    out->erased = true;
    if (!skip(&rest, LITERAL(",\"erased\":\"")) ||
        !take_signature(&rest, out->signature) || !skip(&rest, LITERAL("\""))) {
        return false;
    }
    while (skip(&rest, LITERAL(" "))) {
    }
    return rest.length == 0;
}

static bool
read_request(fta_text line, fta_audit_chained *out)
{
    fta_text rest = after_marker(line, LITERAL(",\"n\":"));
    if (rest.data == NULL || !take_number(&rest, &out->n) ||
        !skip(&rest, LITERAL(",\"personal\":\"")) ||
        !take_digest(&rest, out->commitment) || !skip(&rest, LITERAL("\""))) {
        return false;
    }
    out->covered = (fta_text){line.data, (size_t)(rest.data - line.data)};
    return read_personal(rest, out);
}

bool
fta_audit_chained_read(fta_text line, fta_audit_chained *out)
{
    fta_text rest = line, time, trailer;
    *out = (fta_audit_chained){.n = 0};
    if (line.length < TRAILER) {
        return false;
    }
    rest.length -= TRAILER;
    line.length -= TRAILER;
    trailer = (fta_text){line.data + line.length, TRAILER};
    if (!skip(&trailer, LITERAL(",\"digest\":\"")) ||
        !take_digest(&trailer, out->digest) ||
        !skip(&rest, LITERAL("{\"time\":\"")) ||
        !take(&rest, FTA_AUDIT_TIME, &time) || !skip(&rest, LITERAL("\","))) {
        return false;
    }
    if (!fta_text_is(trailer, "\"}")) {
        return false;
    }
    return skip(&rest, LITERAL("\"event\":\"")) ? read_control(line, rest, out)
                                                : read_request(line, out);
}
