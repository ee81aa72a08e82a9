/* Any octets as the address of a client: what is read is an address that
 * inet_pton reads too, and it is the same however it is dressed. */
#include "limit/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(const char *written, size_t length, const fta_address *expected)
{
    fta_address found;
    char *copy =
        malloc(length > 0 ? length : 1); /* One byte too far is seen. */
    if (copy == NULL) {
        return;
    }
    memcpy(copy, written, length);
    if (!fta_address_parse((fta_text){copy, length}, &found) ||
        memcmp(&found, expected, sizeof found) != 0) {
        abort();
    }
    free(copy);
}

/* Octets that can stand in a zone or be taken for something else in it. */
static size_t
zone_of(const char *data, size_t size, char *out, size_t room)
{
    size_t length = 0;
    for (size_t i = 0; i < size && length < room; i++) {
        if (data[i] != ']' && data[i] != ' ' && data[i] != '\t') {
            out[length++] = data[i];
        }
    }
    return length;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_address address;
    char *text = malloc(size > 0 ? size : 1);
    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    /* Whatever inet_pton reads is read. */
    char plain[FTA_ADDRESS_TEXT], dressed[256], zone[64];
    struct in6_addr bytes;
    bool known = false;
    if (size > 0 && size < sizeof plain && memchr(text, '\0', size) == NULL) {
        memcpy(plain, text, size);
        plain[size] = '\0';
        known = inet_pton(AF_INET, plain, &bytes) == 1 ||
                inet_pton(AF_INET6, plain, &bytes) == 1;
    }
    if (!fta_address_parse((fta_text){text, size}, &address)) {
        if (known) {
            abort();
        }
        free(text);
        return 0;
    }
    size_t length = fta_address_format(&address, plain);
    int family = address.family == FTA_ADDRESS_IPV4 ? AF_INET : AF_INET6;
    if (length != strlen(plain) || inet_pton(family, plain, &bytes) != 1 ||
        memcmp(&bytes, address.bytes, family == AF_INET ? 4 : 16) != 0) {
        abort();
    }
    expect(plain, length, &address);
    size_t of_zone = zone_of(text, size, zone, sizeof zone);
    static const char *const ways[] = {"[%s]:%zu", "[%s]", " %s", "[%s]:"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int n = snprintf(dressed, sizeof dressed, ways[i], plain, size);
        expect(dressed, (size_t)n, &address);
    }
    int n = snprintf(dressed, sizeof dressed, "[%s%%", plain);
    memcpy(dressed + n, zone, of_zone);
    dressed[(size_t)n + of_zone] = ']';
    expect(dressed, (size_t)n + of_zone + 1, &address);
    expect(dressed + 1, (size_t)n + of_zone - 1, &address);
    free(text);
    return 0;
}
