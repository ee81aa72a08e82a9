#include "token/name_uuid.h"

#include <openssl/evp.h>

#include "base/crypto_error.h"

static bool
digest(EVP_MD_CTX *context, const fta_uuid *space, fta_text name,
       uint8_t out[EVP_MAX_MD_SIZE])
{
    return EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
           EVP_DigestUpdate(context, space->bytes, FTA_UUID_BYTES) == 1 &&
           EVP_DigestUpdate(context, name.data, name.length) == 1 &&
           EVP_DigestFinal_ex(context, out, NULL) == 1;
}

fta_status
fta_uuid_of_name(const fta_uuid *space, fta_text name, fta_uuid *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && digest(context, space, name, hash);
    EVP_MD_CTX_free(context);
    if (!done) {
        return fta_crypto_error(context == NULL ? FTA_NO_MEMORY : FTA_CRYPTO);
    }
    memcpy(out->bytes, hash, FTA_UUID_BYTES);
    out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0F) | 0x50);
    out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3F) | 0x80);
    return FTA_OK;
}
