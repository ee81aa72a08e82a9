#include "base/json_write.h"

#include <stdlib.h>

#include "base/json.h"
#include "check.h"

/* The text written with exactly the room that it may take. */
static bool
becomes(const char *text, size_t length, const char *expected)
{
    char *out = malloc(2 + length * FTA_JSON_ESCAPED_MAX);
    char *end = fta_json_write_string(out, (fta_text){text, length});
    size_t written = (size_t)(end - out);
    bool same =
        written == strlen(expected) && memcmp(out, expected, written) == 0;
    free(out);
    return same;
}

#define BECOMES(text, expected) becomes(text, sizeof(text) - 1, expected)

static void
test_characters_that_are_escaped(void)
{
    CHECK(BECOMES("", "\"\""));
    CHECK(BECOMES("a/b'~ ", "\"a/b'~ \""));
    CHECK(BECOMES("\"\\", "\"\\\"\\\\\""));
    CHECK(BECOMES("a\0b", "\"a\\u0000b\""));
    CHECK(BECOMES("\n\x1f\x7f", "\"\\u000a\\u001f\\u007f\""));
    CHECK(BECOMES("\xc3\xa9", "\"\xc3\xa9\""));
    CHECK(BECOMES("\xe2\x80\xae", "\"\\u202e\""));            /* turns text */
    CHECK(BECOMES("\xf3\xa0\x80\x81", "\"\\udb40\\udc01\"")); /* a tag */
    CHECK(BECOMES("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""));
}

static void
test_other_octets_than_utf8_are_replaced(void)
{
    CHECK(BECOMES("\xff", "\"\\ufffd\""));
    CHECK(BECOMES("\xc3", "\"\\ufffd\""));
    CHECK(BECOMES("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""));
}

/* The reader reads what was written, for every octet between others. */
static void
test_each_octet_is_read_again(void)
{
    static const fta_json_seed seed = {{1, 2}};
    for (int octet = 0; octet < 0x80; octet++) {
        char text[] = {'a', (char)octet, 'b'};
        char out[2 + sizeof text * FTA_JSON_ESCAPED_MAX];
        char *end = fta_json_write_string(out, (fta_text){text, sizeof text});
        fta_json reader;
        fta_json_event event;
        fta_json_start(&reader, out, (size_t)(end - out), &seed);
        CHECK(fta_json_next(&reader, &event) == FTA_OK);
        CHECK(event.kind == FTA_JSON_STRING);
        CHECK(fta_text_equal(event.text, (fta_text){text, sizeof text}));
        CHECK(fta_json_next(&reader, &event) == FTA_OK);
        fta_json_finish(&reader);
    }
}

int
main(void)
{
    test_characters_that_are_escaped();
    test_other_octets_than_utf8_are_replaced();
    test_each_octet_is_read_again();
    return check_report("test_json_write");
}
