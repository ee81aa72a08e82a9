/* Any octets as header and payload of a token that nobody has signed: the first
 * octet says where the one ends. Peeking at it fails exactly as reading would,
 * and shows what stands there. Then the octets themselves as a token. */
#include "signed_token.h"

#include "token/peek.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fta_text sub = {"sub", 3};
static const fta_json_seed seed = {{1, 2}};

static void
require_inside(fta_text text, const fta_peek *peek, size_t size)
{
    require(text.data == NULL ||
            (text.data >= peek->octets &&
             text.data + text.length <= peek->octets + size));
}

/* The octets as they are. */
static void
peek_at(fta_text token)
{
    fta_token_segments segments;
    fta_peek peek;
    fta_status split = fta_token_split(token, &segments);
    fta_status status = fta_peek_open(token, sub, &seed, &peek);
    require(status == split || split == FTA_OK);
    if (split == FTA_OK) {
        require(segments.header.length + segments.payload.length +
                    segments.signature.length + 2 ==
                token.length);
        require_inside(peek.kid, &peek, token.length);
        require_inside(peek.claim, &peek, token.length);
    }
    fta_peek_close(&peek);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peek_at((fta_text){(const char *)data, size});
    if (size < 3) {
        return 0;
    }
    size_t header = 1 + data[0] % (size - 2), payload = size - 1 - header;
    char *token =
        malloc(FTA_BASE64_LENGTH(header) + FTA_BASE64_LENGTH(payload) + 3);
    require(token != NULL);
    size_t length = fta_base64url_encode(data + 1, header, token);
    token[length++] = '.';
    length += fta_base64url_encode(data + 1 + header, payload, token + length);
    token[length++] = '.';
    token[length++] = 'A';
    fta_peek peek;
    uint64_t digest;
    fta_status status =
        fta_peek_open((fta_text){token, length}, sub, &seed, &peek);
    fta_status expected = status_of_digest(data + 1, header, &digest);
    if (expected == FTA_OK) {
        expected = status_of_digest(data + 1 + header, payload, &digest);
    }
    require(status == expected);
    fta_peek_close(&peek);
    free(token);
    return 0;
}
