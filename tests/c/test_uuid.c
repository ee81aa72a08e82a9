#include "base/uuid.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

static bool
parses(const char *text, size_t length, fta_uuid *out)
{
    guarded copy = guarded_copy(text, length);
    bool parsed = fta_uuid_parse(copy.text, length, out);
    guarded_free(&copy);
    return parsed;
}

static bool
valid(const char *text)
{
    fta_uuid uuid;
    return parses(text, strlen(text), &uuid);
}

static void
test_either_case_is_read_and_lower_case_is_written(void)
{
    const char lower[] = "550e8400-e29b-41d4-a716-446655440abf";
    const char upper[] = "550E8400-E29B-41D4-A716-446655440ABF";
    fta_uuid from_lower, from_upper;
    CHECK(parses(lower, 36, &from_lower));
    CHECK(parses(upper, 36, &from_upper));
    CHECK(fta_uuid_equal(&from_lower, &from_upper));
    CHECK(from_lower.bytes[0] == 0x55 && from_lower.bytes[15] == 0xBF);
    char text[FTA_UUID_TEXT];
    fta_uuid_format(&from_upper, text);
    CHECK(memcmp(text, lower, 36) == 0);
}

static void
test_any_version_and_variant_is_valid(void)
{
    CHECK(valid("00000000-0000-0000-0000-000000000000"));
    CHECK(valid("ffffffff-ffff-ffff-ffff-ffffffffffff"));
    CHECK(valid("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"));
}

static void
test_other_forms_are_invalid(void)
{
    CHECK(!valid(""));
    CHECK(!valid("550e8400e29b41d4a716446655440000"));
    CHECK(!valid("{550e8400-e29b-41d4-a716-446655440000}"));
    CHECK(!valid("urn:uuid:550e8400-e29b-41d4-a716-446655440000"));
    CHECK(!valid(" 550e8400-e29b-41d4-a716-446655440000"));
    CHECK(!valid("550e8400-e29b-41d4-a716-446655440000\n"));
    CHECK(!valid("550e8400-e29b-41d4-a716-44665544000"));
    CHECK(!valid("550e8400-e29b-41d4-a7160-46655440000"));
}

/* Tries every octet in every position. An invalid text leaves out as it was. */
static void
test_only_digits_and_hyphens_in_their_positions_are_valid(void)
{
    const char good[] = "550e8400-e29b-41d4-a716-446655440000";
    for (size_t at = 0; at < 36; at++) {
        bool hyphen = at == 8 || at == 13 || at == 18 || at == 23;
        for (int octet = 0; octet < 256; octet++) {
            char text[36];
            memcpy(text, good, 36);
            text[at] = (char)octet;
            bool digit =
                octet != 0 && strchr("0123456789abcdefABCDEF", octet) != NULL;
            fta_uuid untouched, uuid;
            memset(&untouched, 0xA5, sizeof untouched);
            uuid = untouched;
            bool parsed = fta_uuid_parse(text, 36, &uuid);
            CHECK(parsed == (hyphen ? octet == '-' : digit));
            CHECK(parsed || fta_uuid_equal(&uuid, &untouched));
        }
    }
}

static void
test_only_36_characters_are_valid(void)
{
    char text[80];
    memset(text, 'a', sizeof text);
    text[8] = text[13] = text[18] = text[23] = '-';
    for (size_t length = 0; length <= sizeof text; length++) {
        fta_uuid uuid;
        CHECK(parses(text, length, &uuid) == (length == 36));
    }
}

static void
test_differing_bytes_are_not_equal(void)
{
    fta_uuid zero = {{0}};
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        fta_uuid other = zero;
        other.bytes[i] = 1;
        CHECK(!fta_uuid_equal(&zero, &other));
    }
    CHECK(fta_uuid_equal(&zero, &zero));
}

int
main(void)
{
    test_either_case_is_read_and_lower_case_is_written();
    test_any_version_and_variant_is_valid();
    test_other_forms_are_invalid();
    test_only_digits_and_hyphens_in_their_positions_are_valid();
    test_only_36_characters_are_valid();
    test_differing_bytes_are_not_equal();
    return check_report("test_uuid");
}
