/* Any text, and the text of a key with some octets changed. Only the text that
 * was made is the key. */
#include "session/api_key.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[FTA_API_KEY_LENGTH], changed[FTA_API_KEY_LENGTH];
    fta_api_key key, read;
    bool is_key;
    if (fta_api_key_read((fta_text){(const char *)data, size}, &is_key,
                         &read) != FTA_OK ||
        (is_key && size != FTA_API_KEY_LENGTH) ||
        fta_api_key_make(text, &key) != FTA_OK) {
        abort();
    }
    /* CRC-32 finds each change within 32 bits, here of up to four octets. */
    memcpy(changed, text, sizeof text);
    for (size_t i = 0; i < 4 && i + 1 < size; i++) {
        changed[(data[0] + i) % sizeof changed] ^= (char)data[i + 1];
    }
    if (fta_api_key_read((fta_text){changed, sizeof changed}, &is_key, &read) !=
        FTA_OK) {
        abort();
    }
    if ((data != NULL && size != 0 && data[0] + 4u <= 61) &&
        is_key != (memcmp(text, changed, sizeof text) == 0)) {
        abort();
    }
    return 0;
}
