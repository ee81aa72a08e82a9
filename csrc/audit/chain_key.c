#include "audit/chain_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto_error.h"

#define SEED 32
#define BLOCK 64 /* of SHA-256, for HMAC */

struct fta_audit_key {
    EVP_PKEY *pair; /* Owned */
    EVP_MD *sha256; /* Owned */
    uint8_t public_octets[FTA_AUDIT_PUBLIC];
    bool signs;
    uint8_t mac[FTA_AUDIT_KEY - SEED];
};

static fta_status
take_pair(EVP_PKEY *pair, fta_audit_key **out)
{
    size_t size = FTA_AUDIT_PUBLIC;
    if (pair == NULL) {
        return fta_crypto_error(FTA_BAD_ARGUMENT);
    }
    fta_audit_key *key = fta_calloc(1, sizeof *key);
    if (key == NULL) {
        EVP_PKEY_free(pair);
        return FTA_NO_MEMORY;
    }
    key->pair = pair;
    key->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (key->sha256 == NULL ||
        EVP_PKEY_get_raw_public_key(pair, key->public_octets, &size) != 1) {
        fta_audit_key_free(key);
        return fta_crypto_error(FTA_CRYPTO);
    }
    *out = key;
    return FTA_OK;
}

fta_status
fta_audit_key_make(fta_text octets, fta_audit_key **out)
{
    if (octets.length != FTA_AUDIT_KEY) {
        return FTA_BAD_ARGUMENT;
    }
    const uint8_t *seed = (const uint8_t *)octets.data;
    fta_status status = take_pair(
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED), out);
    if (status == FTA_OK) {
        (*out)->signs = true;
        memcpy((*out)->mac, seed + SEED, sizeof(*out)->mac);
    }
    return status;
}

fta_status
fta_audit_key_public(fta_text octets, fta_audit_key **out)
{
    if (octets.length != FTA_AUDIT_PUBLIC) {
        return FTA_BAD_ARGUMENT;
    }
    return take_pair(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                 (const uint8_t *)octets.data,
                                                 octets.length),
                     out);
}

void
fta_audit_key_free(fta_audit_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pair);
        EVP_MD_free(key->sha256);
        fta_free_secret(key, sizeof *key);
    }
}

const uint8_t *
fta_audit_key_public_octets(const fta_audit_key *key)
{
    return key->public_octets;
}

fta_status
fta_audit_key_sign(const fta_audit_key *key, fta_text message,
                   uint8_t out[FTA_AUDIT_SIGNATURE])
{
    if (!key->signs) {
        return FTA_BAD_ARGUMENT;
    }
    size_t size = FTA_AUDIT_SIGNATURE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool signed_ =
        context != NULL &&
        EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
        EVP_DigestSign(context, out, &size, (const uint8_t *)message.data,
                       message.length) == 1;
    EVP_MD_CTX_free(context);
    return signed_ ? FTA_OK : fta_crypto_error(FTA_CRYPTO);
}

bool
fta_audit_key_verifies(const fta_audit_key *key, fta_text message,
                       const uint8_t signature[FTA_AUDIT_SIGNATURE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        context != NULL &&
        EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) == 1 &&
        EVP_DigestVerify(context, signature, FTA_AUDIT_SIGNATURE,
                         (const uint8_t *)message.data, message.length) == 1;
    EVP_MD_CTX_free(context);
    if (!good) {
        (void)fta_crypto_error(FTA_CRYPTO); /* empties the queue */
    }
    return good;
}

bool
fta_audit_digest(const fta_audit_key *key, const fta_text *parts, size_t count,
                 uint8_t out[FTA_AUDIT_DIGEST])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        context != NULL && EVP_DigestInit_ex2(context, key->sha256, NULL) == 1;
    for (size_t i = 0; good && i < count; i++) {
        good = EVP_DigestUpdate(context, parts[i].data, parts[i].length) == 1;
    }
    good = good && EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!good) {
        (void)fta_crypto_error(FTA_CRYPTO);
    }
    return good;
}

bool
fta_audit_key_mac(const fta_audit_key *key, fta_text message,
                  uint8_t out[FTA_AUDIT_DIGEST])
{
    char inner[BLOCK], outer[BLOCK], digest[FTA_AUDIT_DIGEST];
    for (size_t i = 0; i < BLOCK; i++) {
        uint8_t octet = i < sizeof key->mac ? key->mac[i] : 0;
        inner[i] = (char)(octet ^ 0x36);
        outer[i] = (char)(octet ^ 0x5C);
    }
    const fta_text first[] = {{inner, BLOCK}, message};
    const fta_text second[] = {{outer, BLOCK}, {digest, sizeof digest}};
    bool good = fta_audit_digest(key, first, 2, (uint8_t *)digest) &&
                fta_audit_digest(key, second, 2, out);
    OPENSSL_cleanse(inner, BLOCK);
    OPENSSL_cleanse(outer, BLOCK);
    return good;
}
