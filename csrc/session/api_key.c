#include "session/api_key.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/crypto_error.h"

#define PREFIX_LENGTH (sizeof FTA_API_KEY_PREFIX - 1)
#define SECRET_AT (PREFIX_LENGTH + FTA_API_KEY_ID + 1)
#define CHECKSUM_AT (SECRET_AT + FTA_API_KEY_SECRET)

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

static bool
is_base32(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool is_letter = text[i] >= 'a' && text[i] <= 'z';
        if (!is_letter && !(text[i] >= '2' && text[i] <= '7')) {
            return false;
        }
    }
    return true;
}

/* CRC-32 of ISO 3309 (RFC 1952, section 8), four bits at a time. */
static uint32_t
crc32_of(const char *text, size_t length)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= (uint8_t)text[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* The checksum of the text before it, the highest five bits first. */
static void
write_checksum(const char *text, char out[FTA_API_KEY_CHECKSUM])
{
    uint32_t crc = crc32_of(text, CHECKSUM_AT);
    for (size_t i = FTA_API_KEY_CHECKSUM; i > 0; i--) {
        out[i - 1] = alphabet[crc & 31];
        crc >>= 5;
    }
}

/* SHA-256 of the secret in a text of a key. */
static fta_status
finish(const char *text, fta_api_key *out)
{
    memcpy(out->id, text + PREFIX_LENGTH, FTA_API_KEY_ID);
    if (SHA256((const uint8_t *)text + SECRET_AT, FTA_API_KEY_SECRET,
               out->digest) == NULL) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    return FTA_OK;
}

fta_status
fta_api_key_make(char text[FTA_API_KEY_LENGTH], fta_api_key *out)
{
    uint8_t random[FTA_API_KEY_ID + FTA_API_KEY_SECRET];
    if (RAND_bytes(random, sizeof random) != 1) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    memcpy(text, FTA_API_KEY_PREFIX, PREFIX_LENGTH);
    /* 32 divides 256, so that each character is as likely as the others. */
    for (size_t i = 0; i < FTA_API_KEY_ID; i++) {
        text[PREFIX_LENGTH + i] = alphabet[random[i] & 31];
    }
    text[SECRET_AT - 1] = '_';
    for (size_t i = 0; i < FTA_API_KEY_SECRET; i++) {
        text[SECRET_AT + i] = alphabet[random[FTA_API_KEY_ID + i] & 31];
    }
    OPENSSL_cleanse(random, sizeof random);
    write_checksum(text, text + CHECKSUM_AT);
    return finish(text, out);
}

bool
fta_api_key_is_id(fta_text text)
{
    return text.length == FTA_API_KEY_ID && is_base32(text.data, text.length);
}

fta_status
fta_api_key_read(fta_text text, bool *is_key, fta_api_key *out)
{
    char checksum[FTA_API_KEY_CHECKSUM];
    *is_key = false;
    if (text.length != FTA_API_KEY_LENGTH ||
        memcmp(text.data, FTA_API_KEY_PREFIX, PREFIX_LENGTH) != 0 ||
        !is_base32(text.data + PREFIX_LENGTH, FTA_API_KEY_ID) ||
        text.data[SECRET_AT - 1] != '_' ||
        !is_base32(text.data + SECRET_AT, FTA_API_KEY_SECRET)) {
        return FTA_OK;
    }
    write_checksum(text.data, checksum);
    if (memcmp(checksum, text.data + CHECKSUM_AT, sizeof checksum) != 0) {
        return FTA_OK;
    }
    fta_status status = finish(text.data, out);
    *is_key = status == FTA_OK;
    return status;
}
