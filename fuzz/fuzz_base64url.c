/* Any text. If it decodes, encoding the result gives the same text. Any octets
 * survive encoding and decoding. */
#include "base/base64url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    uint8_t *octets = malloc(FTA_BASE64_SIZE(size) + 1);
    char *again = malloc(FTA_BASE64_LENGTH(size) + 1);
    require(octets != NULL && again != NULL);
    if (fta_base64url_decode(text, size, octets)) {
        size_t decoded = FTA_BASE64_SIZE(size);
        require(fta_base64url_encode(octets, decoded, again) == size);
        require(memcmp(again, text, size) == 0);
    }
    size_t length = fta_base64url_encode(data, size, again);
    require(length == FTA_BASE64_LENGTH(size));
    free(octets);
    octets = malloc(FTA_BASE64_SIZE(length) + 1);
    require(octets != NULL && fta_base64url_decode(again, length, octets));
    require(FTA_BASE64_SIZE(length) == size);
    require(memcmp(octets, data, size) == 0);
    free(octets);
    free(again);
    return 0;
}
