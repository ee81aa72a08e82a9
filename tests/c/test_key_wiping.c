/* Nothing that is freed still holds a secret, be it ours or OpenSSL's memory.
 * Every block is searched before it goes. */
#ifdef __APPLE__
#include <malloc/malloc.h>
#define malloc_usable_size malloc_size
#else
#include <malloc.h>
#endif
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "check.h"
#include "keys.h"
#include "tokens.h"

#include "base/alloc.h"
#include "token/jwk.h"

static uint8_t needle[32];
static size_t blocks_seen, blocks_with_needle;

static void
search(void *memory)
{
    if (memory != NULL) {
        blocks_seen++;
        blocks_with_needle += memmem(memory, malloc_usable_size(memory), needle,
                                     sizeof needle) != NULL;
    }
}

static void
searching_free(void *memory)
{
    search(memory);
    free(memory);
}

/* Moved by hand, so that the old place is searched too. */
static void *
searching_realloc(void *memory, size_t size)
{
    void *moved = malloc(size);
    if (memory != NULL && moved != NULL) {
        size_t old = malloc_usable_size(memory);
        memcpy(moved, memory, old < size ? old : size);
        searching_free(memory);
    }
    return moved;
}

static void *
crypto_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    /* From calloc: what an earlier owner of a block left is not at issue. */
    return size == 0 ? NULL : calloc(1, size);
}

static void *
crypto_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (size == 0) {
        searching_free(memory);
        return NULL;
    }
    return searching_realloc(memory, size);
}

static void
crypto_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    searching_free(memory);
}

static void *
zeroing_malloc(size_t size)
{
    return calloc(1, size);
}

/* The search finds what is there. */
static void
test_a_block_that_is_not_wiped_is_noticed(void)
{
    void *memory = fta_malloc(100);
    blocks_with_needle = 0;
    memcpy((char *)memory + 30, needle, sizeof needle);
    fta_free(memory);
    CHECK(blocks_with_needle == 1);
    memory = fta_malloc(100);
    memcpy((char *)memory + 30, needle, sizeof needle);
    fta_free_secret(memory, 100);
    CHECK(blocks_with_needle == 1);
}

static void
test_a_secret_is_wiped(void)
{
    fta_key *key = NULL;
    blocks_seen = blocks_with_needle = 0;
    CHECK(fta_key_from_secret(algorithm_named("HS256"), (fta_text){NULL, 0},
                              needle, sizeof needle, false, &key) == FTA_OK);
    uint8_t tag[32] = {0};
    CHECK(fta_key_verify(key, "x", 1, tag, sizeof tag) ==
          FTA_SIGNATURE_MISMATCH);
    fta_key_free(key);
    CHECK(blocks_seen > 0 && blocks_with_needle == 0);
}

/* No block that is freed while a key is made and freed holds the 32 octets, in
 * this order or, as in a big number's words, in the other one. The pair, if it
 * is not from a JWK, was made before: OpenSSL 3.0 leaves copies behind when it
 * decodes PEM text, and when it encodes an EC key, that only OpenSSL itself
 * could wipe. */
static void
check_private_key(const fta_jwk *jwk, const fta_algorithm *algorithm,
                  EVP_PKEY *pair, const uint8_t octets[32])
{
    for (int order = 0; order < 2; order++) {
        fta_key *key = NULL;
        for (size_t i = 0; i < 32; i++) {
            needle[i] = octets[order == 0 ? i : 31 - i];
        }
        blocks_seen = blocks_with_needle = 0;
        fta_status status =
            jwk != NULL
                ? fta_key_from_jwk(jwk, &key)
                : fta_key_from_pair(algorithm, (fta_text){NULL, 0}, pair, &key);
        CHECK(status == FTA_OK);
        fta_key_free(key);
        CHECK(blocks_seen > 0 && blocks_with_needle == 0);
    }
}

static void
test_a_private_jwk_is_wiped(void)
{
    uint8_t scalar[32], public_part[32];
    size_t size = sizeof scalar;
    char d[64] = "", x[64] = "";
    EVP_PKEY *pair = new_pair(algorithm_named("EdDSA"));
    CHECK(EVP_PKEY_get_raw_private_key(pair, scalar, &size) == 1);
    CHECK(EVP_PKEY_get_raw_public_key(pair, public_part, &size) == 1);
    fta_jwk jwk = {.kty = {"OKP", 3}, .crv = {"Ed25519", 7}};
    jwk.d = (fta_text){d, fta_base64url_encode(scalar, 32, d)};
    jwk.x = (fta_text){x, fta_base64url_encode(public_part, 32, x)};
    check_private_key(&jwk, NULL, NULL, scalar);
    EVP_PKEY_free(pair);
}

static void
test_private_pairs_are_wiped(void)
{
    static const struct {
        const char *algorithm;
        const char *number;
    } keys[] = {{"RS256", "d"}, {"RS256", "rsa-factor1"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint8_t octets[512];
        BIGNUM *number = NULL;
        const fta_algorithm *algorithm = algorithm_named(keys[i].algorithm);
        EVP_PKEY *pair = new_pair(algorithm);
        CHECK(EVP_PKEY_get_bn_param(pair, keys[i].number, &number) == 1);
        CHECK(BN_bn2binpad(number, octets, sizeof octets) == sizeof octets);
        /* Its lowest octets, on a word's border in either order. */
        check_private_key(NULL, algorithm, pair, octets + sizeof octets - 32);
        BN_clear_free(number);
        EVP_PKEY_free(pair);
    }
}

int
main(void)
{
    static const fta_allocator allocator = {zeroing_malloc, calloc,
                                            searching_realloc, searching_free};
    fta_set_allocator(&allocator);
    CHECK(CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free));
    CHECK(RAND_bytes(needle, sizeof needle) == 1);
    test_a_block_that_is_not_wiped_is_noticed();
    test_a_secret_is_wiped();
    test_a_private_jwk_is_wiped();
    test_private_pairs_are_wiped();
    return check_report("test_key_wiping");
}
