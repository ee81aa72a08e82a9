/* Any octets as the payload of a token with a valid signature, and as the whole
 * token. What verifies is read, and a payload is malformed for the one reader
 * exactly if it is for the other. */
#include "signed_token.h"
#include "token/peek.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fta_json_seed seed = {{5, 6}};

static fta_status
peek_at(const void *text, size_t size)
{
    fta_peek peek;
    char *copy = malloc(size + 1); /* ASan sees a read beyond it. */
    require(copy != NULL);
    memcpy(copy, text, size);
    fta_status status = fta_peek_open((fta_text){copy, size},
                                      (fta_text){"iss", 3}, &seed, &peek);
    free(copy);
    if (status == FTA_OK && peek.claim.data != NULL) {
        uint8_t sum = 0; /* ASan sees a text beyond the decoded octets. */
        for (size_t i = 0; i < peek.claim.length; i++) {
            sum = (uint8_t)(sum + (uint8_t)peek.claim.data[i]);
        }
        volatile uint8_t kept = sum;
        (void)kept;
    }
    fta_peek_close(&peek);
    return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "e30.", signature[] = ".c2ln";
    uint64_t digest;
    if (size == 0) {
        return 0;
    }
    (void)peek_at(data, size);
    size_t room = sizeof header + sizeof signature + FTA_BASE64_LENGTH(size);
    char *token = malloc(room);
    require(token != NULL);
    memcpy(token, header, sizeof header - 1);
    size_t length = sizeof header - 1;
    length += fta_base64url_encode(data, size, token + length);
    memcpy(token + length, signature, sizeof signature - 1);
    length += sizeof signature - 1;
    fta_status status = peek_at(token, length);
    fta_status json = status_of_digest(data, size, &digest);
    require(json == status);
    free(token);
    return 0;
}
