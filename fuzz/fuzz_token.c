/* Any octets as a token. The fuzzer cannot sign, so a token that is accepted is
 * one of the corpus. None of its octets may differ. */
#include "signed_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_claims claims;
    fta_text text = {(const char *)data, size};
    fta_status status = verify_token(fuzz_keyring(), text, NULL, &claims);
    require(status != FTA_CRYPTO && status != FTA_NO_MEMORY);
    if (status == FTA_OK) {
        /* Signing its parts again must give the same text. */
        const char *first = memchr(text.data, '.', size);
        const char *second =
            memchr(first + 1, '.', (size_t)(text.data + size - first - 1));
        fta_hmac *hmac = NULL;
        uint8_t tag[FTA_HMAC_SIZE_MAX];
        char signature[64];
        size_t signed_length = (size_t)(second - text.data);
        require(fta_hmac_new("SHA256", fuzz_secret, sizeof fuzz_secret,
                             &hmac) == FTA_OK);
        require(fta_hmac_compute(hmac, data, signed_length, tag) == FTA_OK);
        size_t length = fta_base64url_encode(tag, 32, signature);
        require(size == signed_length + 1 + length);
        require(memcmp(second + 1, signature, length) == 0);
        fta_hmac_free(hmac);
    }
    return 0;
}
