#include "session/uuid7.h"

#include <openssl/rand.h>

#include "base/crypto_error.h"

#define TIME_BYTES 6

fta_status
fta_uuid7_make(int64_t ms, fta_uuid *out)
{
    if (ms < 0 || ms > FTA_UUID7_MS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    if (RAND_bytes(out->bytes + TIME_BYTES, FTA_UUID_BYTES - TIME_BYTES) != 1) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    for (int i = 0; i < TIME_BYTES; i++) {
        out->bytes[i] = (uint8_t)(ms >> (8 * (TIME_BYTES - 1 - i)));
    }
    out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0f) | 0x70);
    out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80);
    return FTA_OK;
}
