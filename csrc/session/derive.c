#include "session/derive.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/crypto_error.h"

/* OSSL_PARAM has no const, but OpenSSL writes nothing here. */
static OSSL_PARAM
octets(const char *name, fta_text text)
{
    return OSSL_PARAM_construct_octet_string(
        name, text.length == 0 ? (void *)"" : (void *)(uintptr_t)text.data,
        text.length);
}

fta_status
fta_derive(fta_text secret, fta_text salt, fta_text info, uint8_t *out,
           size_t size)
{
    if (secret.length == 0 || size == 0 || size > FTA_DERIVED_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    fta_status status = FTA_OK;
    EVP_KDF *function = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = function == NULL ? NULL : EVP_KDF_CTX_new(function);
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    if (context == NULL ||
        EVP_KDF_derive(context, out, size, parameters) <= 0) {
        status = fta_crypto_error(FTA_CRYPTO);
    }
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(function);
    return status;
}
