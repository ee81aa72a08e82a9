#include "base/siphash.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "check.h"

/* The first of the reference vectors: key 00 01 .. 0f, message 00 01 .. */
static const struct {
    size_t length;
    uint64_t hash;
} published[] = {
    {0, UINT64_C(0x726fdb47dd0e0e31)},
    {1, UINT64_C(0x74f839c593dc67fd)},
    {8, UINT64_C(0x93f5f5799a932462)},
    {15, UINT64_C(0xa129ca6149be45e5)}, /* The one in the paper. */
};

static fta_siphash_key
key_from_bytes(const uint8_t bytes[16])
{
    fta_siphash_key key = {0, 0};
    for (int i = 7; i >= 0; i--) {
        key.k0 = key.k0 << 8 | bytes[i];
        key.k1 = key.k1 << 8 | bytes[i + 8];
    }
    return key;
}

static uint64_t
hash_by_openssl(EVP_MAC_CTX *context, const uint8_t key[16],
                const uint8_t *data, size_t length)
{
    uint8_t out[8];
    size_t size = 8;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
        OSSL_PARAM_construct_end(),
    };
    size_t written;
    CHECK(EVP_MAC_init(context, key, 16, params) == 1);
    CHECK(EVP_MAC_update(context, data, length) == 1);
    CHECK(EVP_MAC_final(context, out, &written, sizeof out) == 1);
    uint64_t hash = 0;
    for (int i = 7; i >= 0; i--) {
        hash = hash << 8 | out[i];
    }
    return hash;
}

int
main(void)
{
    uint8_t key[16], data[256];
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    fta_siphash_key k = key_from_bytes(key);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        CHECK(fta_siphash(&k, data, published[i].length) == published[i].hash);
    }

    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    CHECK(mac != NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    uint32_t random = 1;
    for (size_t length = 0; length <= sizeof data; length++) {
        for (size_t i = 0; i < sizeof key; i++) {
            random = random * 1664525u + 1013904223u;
            key[i] = (uint8_t)(random >> 24);
            data[(i * 37 + length) % sizeof data] = (uint8_t)(random >> 16);
        }
        k = key_from_bytes(key);
        CHECK(fta_siphash(&k, data, length) ==
              hash_by_openssl(context, key, data, length));
    }
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    return check_report("test_siphash");
}
