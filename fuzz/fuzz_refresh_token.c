/* Any octets as a refresh token. What is read as one is written back as the
 * very same text by the key that made it, and by no other: each token has one
 * text. */
#include <stdlib.h>
#include <string.h>

#include "session/refresh_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool held)
{
    if (!held) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fta_text secret = {"secret", 6}, salt = {"salt", 4};
    fta_text text = {(const char *)data, size};
    fta_refresh_token token, again;
    if (!fta_refresh_token_read(text, &token)) {
        return 0;
    }
    require(token.counter >= 1);
    require(token.signed_part.data == text.data &&
            token.signed_part.length < size);
    char made[FTA_REFRESH_TOKEN_MAX];
    size_t length;
    require(fta_refresh_token_make(secret, salt, &token.session, token.counter,
                                   made, &length) == FTA_OK);
    require(length == size &&
            memcmp(made, data, token.signed_part.length) == 0);
    bool matches, is_made = memcmp(made, data, size) == 0;
    require(fta_refresh_token_check(secret, salt, &token, &matches) == FTA_OK);
    require(matches == is_made);
    require(fta_refresh_token_read((fta_text){made, length}, &again));
    require(fta_refresh_token_check(secret, salt, &again, &matches) == FTA_OK);
    require(matches);
    return 0;
}
