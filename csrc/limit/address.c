#include "limit/address.h"

#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

_Static_assert(FTA_ADDRESS_TEXT >= INET6_ADDRSTRLEN,
               "every address fits into FTA_ADDRESS_TEXT");
_Static_assert(FTA_ADDRESS_BYTES == sizeof(struct in6_addr),
               "an address of IPv6 is FTA_ADDRESS_BYTES long");

static const char *
find(fta_text text, char c)
{
    return text.length == 0 ? NULL : memchr(text.data, c, text.length);
}

static fta_text
up_to(fta_text text, const char *end)
{
    return (fta_text){text.data, (size_t)(end - text.data)};
}

static fta_text
trimmed(fta_text text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && (text.data[text.length - 1] == ' ' ||
                               text.data[text.length - 1] == '\t')) {
        text.length--;
    }
    return text;
}

/* The digits at the end of a text. */
static size_t
trailing_digits(fta_text text)
{
    size_t count = 0;
    while (count < text.length && text.data[text.length - 1 - count] >= '0' &&
           text.data[text.length - 1 - count] <= '9') {
        count++;
    }
    return count;
}

/* Nothing, or a colon and digits, perhaps none (RFC 3986, section 3.2.3). */
static bool
is_port(const char *data, size_t length)
{
    const fta_text text = {data, length};
    return length == 0 ||
           (data[0] == ':' && trailing_digits(text) == length - 1);
}

/* Reads the address alone, of a family that is tried first to last. */
static bool
parse_alone(fta_text text, fta_address *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[FTA_ADDRESS_TEXT];
    fta_address found = {0};
    if (text.length == 0 || text.length >= sizeof copy ||
        find(text, '\0') != NULL) {
        return false;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (inet_pton(AF_INET, copy, found.bytes) == 1) {
        found.family = FTA_ADDRESS_IPV4;
    } else if (inet_pton(AF_INET6, copy, found.bytes) == 1) {
        found.family = FTA_ADDRESS_IPV6;
        if (memcmp(found.bytes, mapped, sizeof mapped) == 0) {
            found.family = FTA_ADDRESS_IPV4;
            memmove(found.bytes, found.bytes + sizeof mapped, 4);
            memset(found.bytes + 4, 0, sizeof mapped);
        }
    } else {
        return false;
    }
    *out = found;
    return true;
}

/* Reads an address and perhaps its zone. */
static bool
parse_with_zone(fta_text text, fta_address *out)
{
    const char *zone = find(text, '%');
    return parse_alone(zone == NULL ? text : up_to(text, zone), out);
}

bool
fta_address_parse(fta_text text, fta_address *out)
{
    text = trimmed(text);
    if (text.length > 0 && text.data[0] == '[') {
        const fta_text inside = {text.data + 1, text.length - 1};
        const char *end = find(inside, ']');
        return end != NULL &&
               is_port(end + 1,
                       (size_t)(text.data + text.length - (end + 1))) &&
               parse_with_zone(up_to(inside, end), out);
    }
    if (parse_with_zone(text, out)) {
        return true;
    }
    /* 192.0.2.1:443, or eight groups and a port. */
    size_t digits = trailing_digits(text);
    if (digits == text.length || text.data[text.length - digits - 1] != ':') {
        return false;
    }
    const fta_text rest = {text.data, text.length - digits - 1};
    return (digits > 0 || find(rest, ':') == NULL) && parse_alone(rest, out);
}

/* By hand: inet_ntop takes several times as long as all of a count. */
static size_t
format_ipv4(const uint8_t bytes[4], char *out)
{
    char *at = out;
    for (size_t i = 0; i < 4; i++) {
        unsigned value = bytes[i];
        if (i > 0) {
            *at++ = '.';
        }
        if (value >= 100) {
            *at++ = (char)('0' + value / 100);
        }
        if (value >= 10) {
            *at++ = (char)('0' + value / 10 % 10);
        }
        *at++ = (char)('0' + value % 10);
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t
fta_address_format(const fta_address *address, char out[FTA_ADDRESS_TEXT])
{
    if (address->family == FTA_ADDRESS_IPV4) {
        return format_ipv4(address->bytes, out);
    }
    /* Fails for an unknown family and for too little room alone. */
    (void)inet_ntop(AF_INET6, address->bytes, out, FTA_ADDRESS_TEXT);
    return strlen(out);
}
