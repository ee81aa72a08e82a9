/* Any text. A text that parses has 36 characters, and formatting gives the same
 * text in lower case. */
#include "base/uuid.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_uuid uuid, again;
    char text[FTA_UUID_TEXT];
    if (!fta_uuid_parse((const char *)data, size, &uuid)) {
        return 0;
    }
    fta_uuid_format(&uuid, text);
    for (size_t i = 0; i < FTA_UUID_TEXT; i++) {
        char c = (char)data[i];
        if ((c >= 'A' && c <= 'F' ? c + 32 : c) != text[i]) {
            abort();
        }
    }
    if (size != FTA_UUID_TEXT || !fta_uuid_parse(text, FTA_UUID_TEXT, &again) ||
        !fta_uuid_equal(&uuid, &again)) {
        abort();
    }
    return 0;
}
