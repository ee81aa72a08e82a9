#include "base/base64url.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

static bool
decodes(const char *text, const char *expected)
{
    uint8_t out[64];
    size_t length = strlen(text);
    guarded copy = guarded_copy(text, length);
    bool valid = fta_base64url_decode(copy.text, length, out);
    guarded_free(&copy);
    return valid && FTA_BASE64_SIZE(length) == strlen(expected) &&
           memcmp(out, expected, strlen(expected)) == 0;
}

static bool
refuses(const char *text)
{
    uint8_t out[64];
    return !fta_base64url_decode(text, strlen(text), out);
}

/* RFC 4648, section 10, without padding. */
static void
test_the_vectors_of_rfc_4648_are_encoded_and_decoded(void)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg", "foob"},
        {"Zm9vYmE", "fooba"},
        {"Zm9vYmFy", "foobar"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const char *text = vectors[i][0], *data = vectors[i][1];
        char out[16];
        CHECK(decodes(text, data));
        CHECK(fta_base64url_encode((const uint8_t *)data, strlen(data), out) ==
              strlen(text));
        CHECK(memcmp(out, text, strlen(text)) == 0);
    }
}

static void
test_each_alphabet_has_its_own_last_two_characters(void)
{
    const uint8_t data[3] = {0xFB, 0xFF, 0xBF};
    uint8_t out[3];
    char text[4];
    CHECK(fta_base64url_encode(data, 3, text) == 4);
    CHECK(memcmp(text, "-_-_", 4) == 0);
    CHECK(fta_base64_encode(data, 3, text) == 4);
    CHECK(memcmp(text, "+/+/", 4) == 0);
    CHECK(fta_base64_decode("+/+/", 4, out) && memcmp(out, data, 3) == 0);
    CHECK(fta_base64url_decode("-_-_", 4, out) && memcmp(out, data, 3) == 0);
    CHECK(!fta_base64_decode("-_-_", 4, out));
    CHECK(!fta_base64url_decode("+/+/", 4, out));
}

/* Every octet in every place of a group, full or not. */
static void
test_characters_outside_of_the_alphabet_are_invalid(void)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t length = 2; length <= 8; length++) {
        if (length % 4 == 1) {
            continue;
        }
        for (size_t place = 0; place < length; place++) {
            for (int octet = 0; octet < 256; octet++) {
                char text[8];
                uint8_t out[8];
                memset(text, 'A', sizeof text);
                text[place] = (char)octet;
                const char *found = memchr(alphabet, octet, 64);
                /* In the last place, unused bits have to be 0. */
                size_t unused = length % 4 == 2 ? 4 : length % 4 == 3 ? 2 : 0;
                bool valid =
                    found != NULL &&
                    (place != length - 1 ||
                     ((size_t)(found - alphabet) & ((1u << unused) - 1)) == 0);
                CHECK(fta_base64url_decode(text, length, out) == valid);
            }
        }
    }
}

static void
test_a_text_that_is_not_canonical_is_invalid(void)
{
    CHECK(refuses("Zg=="));
    CHECK(refuses("Zg="));
    CHECK(refuses("Zh")); /* the same octet as Zg to a lax reader */
    CHECK(refuses("Zm9"));
    CHECK(refuses("A"));
    CHECK(refuses("AAAAA"));
    CHECK(refuses("Zm9v\n"));
    CHECK(refuses(" Zm9v"));
    CHECK(refuses("Zm 9v"));
}

static void
test_what_is_encoded_decodes_to_itself(void)
{
    uint8_t data[257] = {0}, out[257];
    char text[FTA_BASE64_LENGTH(257)];
    uint32_t random = 1;
    for (size_t size = 0; size <= sizeof data; size++) {
        for (size_t i = 0; i < size; i++) {
            random = random * 1664525u + 1013904223u;
            data[i] = (uint8_t)(random >> 24);
        }
        size_t length = fta_base64url_encode(data, size, text);
        CHECK(length == FTA_BASE64_LENGTH(size));
        CHECK(FTA_BASE64_SIZE(length) == size);
        guarded copy = guarded_copy(text, length);
        CHECK(fta_base64url_decode(copy.text, length, out));
        CHECK(memcmp(out, data, size) == 0);
        guarded_free(&copy);
    }
}

int
main(void)
{
    test_the_vectors_of_rfc_4648_are_encoded_and_decoded();
    test_each_alphabet_has_its_own_last_two_characters();
    test_characters_outside_of_the_alphabet_are_invalid();
    test_a_text_that_is_not_canonical_is_invalid();
    test_what_is_encoded_decodes_to_itself();
    return check_report("test_base64url");
}
