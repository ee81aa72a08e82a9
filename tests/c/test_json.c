#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"
#include "token/json_digest.h"

static const fta_json_seed seed = {{0x0123456789abcdef, 0xfedcba9876543210}};

/* Reads a text whose last octet ends a page. */
static fta_status
read_all(const char *text, size_t length)
{
    guarded copy = guarded_copy(text, length);
    fta_json reader;
    fta_json_event event;
    fta_status status;
    fta_json_start(&reader, copy.text, length, &seed);
    do {
        status = fta_json_next(&reader, &event);
    } while (status == FTA_OK && event.kind != FTA_JSON_END);
    fta_json_finish(&reader);
    guarded_free(&copy);
    return status;
}

#define READ(text) read_all(text, sizeof(text) - 1)

static void
test_valid_texts(void)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "0.5",
        "1e5",
        "1E+5",
        "1e-5",
        "123.456e7",
        "\"\"",
        "true",
        "false",
        "null",
        " \t\r\n{} \t\r\n",
        "{\"a\":1,\"b\":[1,2,{}]}",
        "[[],[[]],{\"\":\"\"}]",
        "[1 , 2]",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\u0041\\ud83d\\uDE00\"",
        "\"\x7f\"",
        /* first and last of each length of UTF-8 */
        "\"\xc2\x80\xdf\xbf\"",
        "\"\xe0\xa0\x80\xed\x9f\xbf\"",
        "\"\xee\x80\x80\xef\xbf\xbf\"",
        "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        /* another object may have the same name */
        "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}",
        "{\"a\":1,\"A\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(read_all(texts[i], strlen(texts[i])) == FTA_OK);
        /* no prefix is valid, except of a number or before trailing white space
         */
        for (size_t length = 0; length < strlen(texts[i]); length++) {
            fta_status status = read_all(texts[i], length);
            char first = texts[i][0], last = texts[i][length];
            CHECK(status != FTA_OK || (first >= '-' && first <= '9') ||
                  last == ' ' || last == '\t' || last == '\r' || last == '\n');
        }
    }
}

static void
test_malformed_texts(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "[1}",
        "{\"a\":1]",
        "{}{}",
        "{} x",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "tru",
        "True",
        "nul",
        "falsey",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\U0041\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x1f\"",
        "/**/{}",
        "{}//",
        "\v{}",
        "\f{}",
        "\xef\xbb\xbf{}",
        "\xc2\xa0{}",
        "[\"a\",]",
        "[\"\\",
        "\"\\u",
        "{\"a\":1 \"b\":2}",
        "[1,,2]",
        "{\"a\"::1}",
        "--1",
        "1-",
        "1.2.3",
        "1e5.5",
        "\"a\"\"b\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(read_all(texts[i], strlen(texts[i])) == FTA_JSON_INVALID);
    }
    CHECK(READ("{}\0") == FTA_JSON_INVALID);
    CHECK(READ("\"\0\"") == FTA_JSON_INVALID);
}

static void
test_texts_that_are_not_unicode(void)
{
    static const char *const texts[] = {
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc2\"",
        "\"\xc2\x41\"",
        "\"\xe0\x80\x80\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xe2\x82\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xf0\x9f\x98\"",
        "\"\xff\"",
        "\"\xfe\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud83d\\u0041\"",
        "\"\\udbff\\ue000\"",
        "\"\\ude00\\ud83d\"",
        "{\"\xff\":1}",
        "\"12345678\xff\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(read_all(texts[i], strlen(texts[i])) == FTA_JSON_NOT_UTF8);
    }
}

static void
test_repeated_names_are_invalid(void)
{
    CHECK(READ("{\"a\":1,\"a\":1}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"\":1,\"\":1}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"exp\":1,\"\\u0065xp\":2}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"\\/\":1,\"/\":2}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"\xc3\xa9\":1,\"\\u00E9\":2}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"a\\u0000b\":1,\"a\\u0000b\":2}") == FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"a\\u0000b\":1,\"a\\u0000c\":2}") == FTA_OK);
    CHECK(READ("[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]") ==
          FTA_JSON_NAME_REPEATED);
    CHECK(READ("{\"a\":{\"b\":1},\"c\":[{\"a\":1}],\"a\":2}") ==
          FTA_JSON_NAME_REPEATED);
}

/* An object of so many names, each with an object of so many names. The inner
 * or outer name with the number `twice` is repeated at the end. */
static fta_status
read_many(int outer, int inner, int twice_outer, int twice_inner)
{
    static char text[1 << 20];
    char *out = text;
    *out++ = '{';
    for (int i = 0; i < outer; i++) {
        out += sprintf(out, "%s\"n%d\":{", i == 0 ? "" : ",", i);
        for (int j = 0; j < inner; j++) {
            out += sprintf(out, "%s\"n%d\":0", j == 0 ? "" : ",", j);
        }
        if (twice_inner >= 0 && i == outer - 1) {
            out += sprintf(out, ",\"n%d\":1", twice_inner);
        }
        *out++ = '}';
    }
    if (twice_outer >= 0) {
        out += sprintf(out, ",\"n%d\":1", twice_outer);
    }
    *out++ = '}';
    return read_all(text, (size_t)(out - text));
}

/* Sizes around those at which the reader changes how it compares. */
static void
test_a_repeated_name_among_many_is_found(void)
{
    static const int sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 30, 100};
    const size_t count = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            int outer = sizes[i], inner = sizes[j];
            CHECK(read_many(outer, inner, -1, -1) == FTA_OK);
            for (int twice = 0; twice < outer; twice += 1 + outer / 5) {
                CHECK(read_many(outer, inner, twice, -1) ==
                      FTA_JSON_NAME_REPEATED);
            }
            for (int twice = 0; twice < inner; twice += 1 + inner / 5) {
                CHECK(read_many(outer, inner, -1, twice) ==
                      FTA_JSON_NAME_REPEATED);
            }
        }
    }
}

static void
test_nesting_is_limited(void)
{
    char text[4 * FTA_JSON_DEPTH + 8];
    for (int depth = FTA_JSON_DEPTH - 1; depth <= FTA_JSON_DEPTH + 1; depth++) {
        fta_status expected =
            depth <= FTA_JSON_DEPTH ? FTA_OK : FTA_JSON_TOO_DEEP;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        CHECK(read_all(text, 2 * (size_t)depth) == expected);
    }
    CHECK(READ("[[[]]") == FTA_JSON_INVALID);
}

static void
test_numbers_are_read_and_their_length_is_limited(void)
{
    char text[FTA_JSON_NUMBER + 2];
    memset(text, '1', sizeof text);
    CHECK(read_all(text, FTA_JSON_NUMBER) == FTA_OK);
    CHECK(read_all(text, FTA_JSON_NUMBER + 1) == FTA_JSON_NUMBER_TOO_LONG);
    double value;
#define VALUE(text)                                                            \
    (fta_json_double((fta_text){text, sizeof(text) - 1}, &value) == FTA_OK     \
         ? value                                                               \
         : NAN)
    CHECK(VALUE("0") == 0);
    CHECK(VALUE("-0") == 0 && signbit(value));
    CHECK(VALUE("123456789012345") == 123456789012345.0);
    CHECK(VALUE("-123456789012345") == -123456789012345.0);
    CHECK(VALUE("9007199254740993") == 9007199254740992.0);
    CHECK(VALUE("0.1") == 0.1);
    CHECK(VALUE("1e22") == 1e22);
    CHECK(VALUE("1795448558.25") == 1795448558.25);
    CHECK(VALUE("5e-324") == 5e-324);
    CHECK(VALUE("1e-400") == 0);
    CHECK(isinf(VALUE("1e309")));
    CHECK(isinf(VALUE("-1e309")));
    memset(text, '9', sizeof text);
    CHECK(fta_json_double((fta_text){text, FTA_JSON_NUMBER}, &value) ==
              FTA_OK &&
          isinf(value));
    CHECK(fta_json_double((fta_text){text, FTA_JSON_NUMBER + 1}, &value) ==
          FTA_JSON_NUMBER_TOO_LONG);
}

/* The decimal point stays a point in a locale with a comma. */
static void
test_numbers_are_read_in_any_locale(void)
{
    double value = 0;
    /* If the machine has none of these, the C locale is tested again. */
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL) {
        (void)setlocale(LC_ALL, "fr_FR.UTF-8");
    }
    CHECK(fta_json_double((fta_text){"1.5", 3}, &value) == FTA_OK &&
          value == 1.5);
    setlocale(LC_ALL, "C");
}

static void
test_each_part_of_a_text_is_an_event(void)
{
    char text[] = "{\"a\\u0000\\u00e9\":[1,-2.5,\"x\\ny\",true,false,null]}";
    static const struct {
        fta_json_kind kind;
        const char *text;
        size_t length;
    } expected[] = {
        {FTA_JSON_OBJECT, NULL, 0},     {FTA_JSON_NAME, "a\0\xc3\xa9", 4},
        {FTA_JSON_ARRAY, NULL, 0},      {FTA_JSON_INTEGER, "1", 1},
        {FTA_JSON_REAL, "-2.5", 4},     {FTA_JSON_STRING, "x\ny", 3},
        {FTA_JSON_TRUE, NULL, 0},       {FTA_JSON_FALSE, NULL, 0},
        {FTA_JSON_NULL, NULL, 0},       {FTA_JSON_ARRAY_END, NULL, 0},
        {FTA_JSON_OBJECT_END, NULL, 0}, {FTA_JSON_END, NULL, 0},
    };
    fta_json reader;
    fta_json_start(&reader, text, sizeof text - 1, &seed);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        fta_json_event event;
        CHECK(fta_json_next(&reader, &event) == FTA_OK);
        CHECK(event.kind == expected[i].kind);
        CHECK(expected[i].text == NULL ||
              (event.text.length == expected[i].length &&
               memcmp(event.text.data, expected[i].text, expected[i].length) ==
                   0));
    }
    fta_json_finish(&reader);
}

/* Counts events; stops at the one numbered stop_at. */
typedef struct counter {
    int seen;
    int stop_at;
} counter;

static bool
count(void *context, const fta_json_event *event)
{
    counter *counted = context;
    (void)event;
    return counted->seen++ != counted->stop_at;
}

static void
test_leaving_skips_the_rest_of_a_container(void)
{
    char text[] = "[{\"a\":[1,{}]},2]";
    counter counted = {0, -1};
    fta_json_sink sink = {count, &counted};
    fta_json reader;
    fta_json_event event;
    fta_json_start(&reader, text, sizeof text - 1, &seed);
    CHECK(fta_json_next(&reader, &event) == FTA_OK);
    CHECK(fta_json_next_to(&reader, &sink, &event) == FTA_OK);
    CHECK(event.kind == FTA_JSON_OBJECT && counted.seen == 1);
    CHECK(fta_json_leave(&reader, &sink) == FTA_OK);
    CHECK(counted.seen == 1 + 7); /* a [ 1 { } ] } */
    counted.stop_at = counted.seen;
    CHECK(fta_json_next_to(&reader, &sink, &event) == FTA_STOPPED);
    CHECK(event.kind == FTA_JSON_INTEGER);
    fta_json_finish(&reader);

    char broken[] = "[[1,2";
    fta_json_start(&reader, broken, sizeof broken - 1, &seed);
    CHECK(fta_json_next(&reader, &event) == FTA_OK);
    CHECK(fta_json_leave(&reader, NULL) == FTA_JSON_INVALID);
    fta_json_finish(&reader);
}

static uint64_t
digest(const char *text)
{
    char copy[512];
    uint64_t result = 0;
    size_t length = strlen(text);
    memcpy(copy, text, length);
    CHECK(fta_json_digest(copy, length, &seed, &result) == FTA_OK);
    return result;
}

static void
test_equal_values_have_equal_digests(void)
{
    static const char *const same[][2] = {
        {"{}", " { } "},
        {"{\"a\":1,\"b\":[1,\"x\"]}", "{\"b\":[1,\"\\u0078\"],\n\"a\":1}"},
        {"{\"a\":-0}", "{\"a\":0}"},
        {"{\"a\":1.0}", "{\"a\":1e0}"},
        {"{\"a\":{\"x\":1,\"y\":{}}}", "{\"a\":{\"y\":{},\"x\":1}}"},
    };
    static const char *const different[][2] = {
        {"{}", "{\"a\":{}}"},
        {"{\"a\":1}", "{\"a\":2}"},
        {"{\"a\":1}", "{\"b\":1}"},
        {"{\"a\":1}", "{\"a\":1.0}"},
        {"{\"a\":1}", "{\"a\":\"1\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"a\"}"},
        {"{\"a\":[1,2]}", "{\"a\":[2,1]}"},
        {"{\"a\":[]}", "{\"a\":{}}"},
        {"{\"a\":[[]]}", "{\"a\":[]}"},
        {"{\"a\":[[1],2]}", "{\"a\":[1,[2]]}"},
        {"{\"a\":true}", "{\"a\":false}"},
        {"{\"a\":null}", "{}"},
        {"{\"a\":null}", "{\"a\":\"\"}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}"},
        {"{\"a\":\"x\\u0000\"}", "{\"a\":\"x\"}"},
        {"{\"a\":0.0}", "{\"a\":-0.0}"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        CHECK(digest(same[i][0]) == digest(same[i][1]));
    }
    for (size_t i = 0; i < sizeof different / sizeof *different; i++) {
        CHECK(digest(different[i][0]) != digest(different[i][1]));
    }
    uint64_t ignored;
    char array[] = "[]", broken[] = "{\"a\":";
    CHECK(fta_json_digest(array, 2, &seed, &ignored) == FTA_JSON_NOT_OBJECT);
    CHECK(fta_json_digest(broken, 5, &seed, &ignored) == FTA_JSON_INVALID);
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    char text[512];
    size_t length = 0;
    text[length++] = '{';
    for (int i = 0; i < 20; i++) {
        length +=
            (size_t)sprintf(text + length, "%s\"%d\":0", i == 0 ? "" : ",", i);
    }
    text[length++] = '}';
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = read_all(text, length);
        if (!failing_alloc_stop()) {
            CHECK(status == FTA_OK && n == 1);
            break;
        }
        CHECK(status == FTA_NO_MEMORY);
    }
}

int
main(void)
{
    test_valid_texts();
    test_malformed_texts();
    test_texts_that_are_not_unicode();
    test_repeated_names_are_invalid();
    test_a_repeated_name_among_many_is_found();
    test_nesting_is_limited();
    test_numbers_are_read_and_their_length_is_limited();
    test_numbers_are_read_in_any_locale();
    test_each_part_of_a_text_is_an_event();
    test_leaving_skips_the_rest_of_a_container();
    test_equal_values_have_equal_digests();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_json");
}
