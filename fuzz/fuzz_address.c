/* Any octets as the address of a client. Every address that inet_pton reads is
 * read. What is read formats as a text that inet_pton reads as the same
 * address. Brackets, a port, a zone or a space around that text do not change
 * it. */
#include "limit/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require_parsed(const char *written, size_t length, const fta_address *expected)
{
    fta_address found;
    char *copy =
        malloc(length > 0 ? length : 1); /* ASan sees a read beyond it. */
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

/* Copies the octets that may stand in a zone. */
static size_t
copy_zone(const char *data, size_t size, char *out, size_t room)
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
    char plain[FTA_ADDRESS_TEXT], decorated[256], zone[64];
    struct in6_addr bytes;
    bool is_address = false;
    if (size > 0 && size < sizeof plain && memchr(text, '\0', size) == NULL) {
        memcpy(plain, text, size);
        plain[size] = '\0';
        is_address = inet_pton(AF_INET, plain, &bytes) == 1 ||
                     inet_pton(AF_INET6, plain, &bytes) == 1;
    }
    if (!fta_address_parse((fta_text){text, size}, &address)) {
        if (is_address) {
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
    require_parsed(plain, length, &address);
    size_t zone_length = copy_zone(text, size, zone, sizeof zone);
    static const char *const forms[] = {"[%s]:%zu", "[%s]", " %s", "[%s]:"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        int n = snprintf(decorated, sizeof decorated, forms[i], plain, size);
        require_parsed(decorated, (size_t)n, &address);
    }
    int n = snprintf(decorated, sizeof decorated, "[%s%%", plain);
    memcpy(decorated + n, zone, zone_length);
    decorated[(size_t)n + zone_length] = ']';
    require_parsed(decorated, (size_t)n + zone_length + 1, &address);
    require_parsed(decorated + 1, (size_t)n + zone_length - 1, &address);
    free(text);
    return 0;
}
