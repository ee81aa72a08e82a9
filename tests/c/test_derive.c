#include "session/derive.h"

#include <string.h>

#include "base/hex.h"
#include "check.h"

#define TEXT(literal) ((fta_text){literal, sizeof literal - 1})

static size_t
from_hex(const char *hex, uint8_t *out)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)(fta_hex_value((unsigned char)hex[2 * i]) << 4 |
                           fta_hex_value((unsigned char)hex[2 * i + 1]));
    }
    return count;
}

static void
check_vector(const char *secret, const char *salt, const char *info,
             const char *expected)
{
    uint8_t in[3][128], key[128], out[128];
    fta_text texts[3];
    const char *hex[] = {secret, salt, info};
    for (int i = 0; i < 3; i++) {
        texts[i] = (fta_text){(const char *)in[i], from_hex(hex[i], in[i])};
    }
    size_t size = from_hex(expected, key);
    CHECK(fta_derive(texts[0], texts[1], texts[2], out, size) == FTA_OK);
    CHECK(memcmp(out, key, size) == 0);
    in[0][0] ^= 1; /* Another secret makes another key. */
    CHECK(fta_derive(texts[0], texts[1], texts[2], out, size) == FTA_OK);
    CHECK(memcmp(out, key, size) != 0);
}

/* RFC 5869, appendices A.1 to A.3. */
static void
test_the_vectors_of_rfc_5869(void)
{
    check_vector(
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5"
        "bf34007208d5b887185865");
    check_vector(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
        "1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d"
        "3e3f404142434445464748494a4b4c4d4e4f",
        "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e"
        "7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d"
        "9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
        "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdce"
        "cfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebeced"
        "eeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa9"
        "7c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3"
        "db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    check_vector(
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d"
        "2d9d201395faa4b61a96c8");
}

static void
test_what_cannot_be_derived_is_refused(void)
{
    static uint8_t out[FTA_DERIVED_MAX + 1];
    fta_text key = TEXT("secret"), none = {NULL, 0};
    CHECK(fta_derive(key, none, none, out, FTA_DERIVED_MAX) == FTA_OK);
    CHECK(fta_derive(key, none, none, out, FTA_DERIVED_MAX + 1) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_derive(key, none, none, out, 0) == FTA_BAD_ARGUMENT);
    CHECK(fta_derive(none, key, key, out, 32) == FTA_BAD_ARGUMENT);
}

int
main(void)
{
    test_the_vectors_of_rfc_5869();
    test_what_cannot_be_derived_is_refused();
    return check_report("test_derive");
}
