#include "session/refresh_token.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base64url.h"
#include "base/crypto_error.h"
#include "session/derive.h"

#define VERSION "r1"
#define VERSION_LENGTH (sizeof VERSION - 1)
#define SESSION_DIGITS (2 * (size_t)FTA_UUID_BYTES)
#define MAC_LENGTH FTA_BASE64_LENGTH(FTA_REFRESH_MAC_BYTES)
#define INFO "flask_tenant_auth refresh token 1"

static const char digits[] = "0123456789abcdef";

/* A digit in lower case; -1 for any other octet. */
static int
digit_value(char octet)
{
    const char *found = octet == '\0' ? NULL : strchr(digits, octet);
    return found == NULL ? -1 : (int)(found - digits);
}

static bool
read_session(const char *text, fta_uuid *out)
{
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        int high = digit_value(text[2 * i]);
        int low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool
read_counter(const char *text, size_t length, int64_t *out)
{
    if (length == 0 || length > 19 || text[0] == '0') {
        return false;
    }
    uint64_t value = 0; /* 19 digits are less than 2^64. */
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > (uint64_t)FTA_REFRESH_COUNTER_MAX) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

bool
fta_refresh_token_read(fta_text text, fta_refresh_token *out)
{
    const size_t start = VERSION_LENGTH + SESSION_DIGITS + 1;
    if (text.length < start + 1 + 1 + MAC_LENGTH ||
        text.length > FTA_REFRESH_TOKEN_MAX ||
        memcmp(text.data, VERSION, VERSION_LENGTH) != 0 ||
        text.data[start - 1] != '.') {
        return false;
    }
    size_t signed_length = text.length - MAC_LENGTH - 1;
    out->signed_part = (fta_text){text.data, signed_length};
    return text.data[signed_length] == '.' &&
           read_session(text.data + VERSION_LENGTH, &out->session) &&
           read_counter(text.data + start, signed_length - start,
                        &out->counter) &&
           fta_base64url_decode(text.data + signed_length + 1, MAC_LENGTH,
                                out->mac);
}

static fta_status
compute_mac(fta_text secret, fta_text salt, fta_text text,
            uint8_t mac[FTA_REFRESH_MAC_BYTES])
{
    if (secret.length == 0 || secret.length > FTA_REFRESH_SECRET_MAX ||
        salt.length == 0 || salt.length > FTA_REFRESH_SECRET_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    uint8_t key[FTA_REFRESH_MAC_BYTES];
    fta_status status = fta_derive(
        secret, salt, (fta_text){INFO, sizeof INFO - 1}, key, sizeof key);
    if (status == FTA_OK &&
        HMAC(EVP_sha256(), key, (int)sizeof key, (const uint8_t *)text.data,
             text.length, mac, NULL) == NULL) {
        status = fta_crypto_error(FTA_CRYPTO);
    }
    OPENSSL_cleanse(key, sizeof key);
    return status;
}

fta_status
fta_refresh_token_make(fta_text secret, fta_text salt, const fta_uuid *session,
                       int64_t counter, char out[FTA_REFRESH_TOKEN_MAX],
                       size_t *length)
{
    if (counter < 1) {
        return FTA_BAD_ARGUMENT;
    }
    memcpy(out, VERSION, VERSION_LENGTH);
    size_t place = VERSION_LENGTH;
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        out[place++] = digits[session->bytes[i] >> 4];
        out[place++] = digits[session->bytes[i] & 15];
    }
    char number[24];
    int written = snprintf(number, sizeof number, ".%lld", (long long)counter);
    memcpy(out + place, number, (size_t)written);
    place += (size_t)written;
    uint8_t mac[FTA_REFRESH_MAC_BYTES];
    fta_status status = compute_mac(secret, salt, (fta_text){out, place}, mac);
    if (status == FTA_OK) {
        out[place++] = '.';
        place += fta_base64url_encode(mac, sizeof mac, out + place);
        *length = place;
    }
    return status;
}

fta_status
fta_refresh_token_check(fta_text secret, fta_text salt,
                        const fta_refresh_token *token, bool *matches)
{
    uint8_t mac[FTA_REFRESH_MAC_BYTES];
    *matches = false;
    fta_status status = compute_mac(secret, salt, token->signed_part, mac);
    if (status == FTA_OK) {
        *matches = CRYPTO_memcmp(mac, token->mac, sizeof mac) == 0;
    }
    OPENSSL_cleanse(mac, sizeof mac);
    return status;
}
