#include "token/peek.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"
#include "tokens.h"

static const fta_json_seed seed = {{1, 2}};

static void
test_a_token_has_three_segments(void)
{
    static const char *const malformed[] = {
        "",     ".",    "..",   "...",    "a",       "a.",    "a.b",
        "a.b.", ".b.c", "a..c", "a.b.c.", "a.b.c.d", "a.b..c"};
    fta_token_segments segments;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        size_t length = strlen(malformed[i]);
        guarded copy = guarded_copy(malformed[i], length);
        CHECK(fta_token_split((fta_text){copy.text, length}, &segments) ==
              FTA_NOT_THREE_SEGMENTS);
        guarded_free(&copy);
    }
    guarded copy = guarded_copy("ab.c.def", 8);
    CHECK(fta_token_split((fta_text){copy.text, 8}, &segments) == FTA_OK);
    CHECK(fta_text_is(segments.header, "ab"));
    CHECK(fta_text_is(segments.payload, "c"));
    CHECK(fta_text_is(segments.signature, "def"));
    guarded_free(&copy);
}

/* text NULL: absent. */
static bool
is(fta_text found, const char *text)
{
    return text == NULL
               ? found.data == NULL
               : found.data != NULL && fta_text_equal(found, text_of(text));
}

static void
test_a_peek_shows_kid_and_claim_as_they_are_read(void)
{
    static const struct {
        const char *header, *payload;
        fta_status expected;
        const char *kid, *claim;
    } examples[] = {
        {"{\"kid\":\"k\"}", "{\"iss\":\"i\"}", FTA_OK, "k", "i"},
        {"{\"\\u006bid\":\"\\u006b\"}", " {\"iss\" : \"\\u0069\"} ", FTA_OK,
         "k", "i"},
        {"{}", "{}", FTA_OK, NULL, NULL},
        {"{\"kid\":\"\"}", "{\"iss\":\"\"}", FTA_OK, "", ""},
        {"{\"kid\":1}", "{\"iss\":[\"i\"]}", FTA_OK, NULL, NULL},
        {"{\"kid\":null}", "{\"iss\":{\"iss\":\"i\"}}", FTA_OK, NULL, NULL},
        {"{\"x\":{\"kid\":\"k\"}}", "{\"x\":[{\"iss\":\"i\"}]}", FTA_OK, NULL,
         NULL},
        {"{\"KID\":\"k\"}", "{\"iss \":\"i\"}", FTA_OK, NULL, NULL},
        {"{\"iss\":\"k\"}", "{\"kid\":\"i\"}", FTA_OK, NULL, NULL},
        {"{\"kid\":\"k\",\"kid\":\"l\"}", "{}", FTA_JSON_NAME_REPEATED, "", ""},
        {"{}", "{\"iss\":\"i\",\"i\\u0073s\":\"j\"}", FTA_JSON_NAME_REPEATED,
         "", ""},
        {"[]", "{}", FTA_JSON_NOT_OBJECT, "", ""},
        {"{}", "\"iss\"", FTA_JSON_NOT_OBJECT, "", ""},
        {"{}", "{}x", FTA_JSON_INVALID, "", ""},
        {"{}}", "{}", FTA_JSON_INVALID, "", ""},
        {"{}", "{\"iss\":\"i\"", FTA_JSON_INVALID, "", ""},
        {"{}", "{\"iss\":\"\xff\"}", FTA_JSON_NOT_UTF8, "", ""},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char *token = sign_text(examples[i].header, examples[i].payload);
        fta_peek peek;
        fta_status status =
            fta_peek_open(text_of(token), text_of("iss"), &seed, &peek);
        CHECK(status == examples[i].expected);
        if (status == FTA_OK) {
            CHECK(is(peek.kid, examples[i].kid));
            CHECK(is(peek.claim, examples[i].claim));
        }
        fta_peek_close(&peek);
        fta_peek_close(&peek); /* a second time does nothing */
        free(token);
    }
}

static void
test_what_is_not_canonical_is_not_read(void)
{
    static const struct {
        const char *token;
        fta_status expected;
    } examples[] = {
        {"e30.e30.A", FTA_OK}, /* the signature is not looked at */
        {"e30.e30.!", FTA_OK},
        {"e30=.e30.A", FTA_BASE64URL_INVALID},
        {"e30.e31.A", FTA_BASE64URL_INVALID},
        {"e.e30.A", FTA_BASE64URL_INVALID},
        {"e30.e 0.A", FTA_BASE64URL_INVALID},
        {"e30.e30", FTA_NOT_THREE_SEGMENTS},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_peek peek;
        CHECK(fta_peek_open(text_of(examples[i].token), text_of("iss"), &seed,
                            &peek) == examples[i].expected);
        fta_peek_close(&peek);
    }
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    char payload[1024] = "{\"iss\":\"i\"";
    for (int i = 0; i < 60; i++) {
        snprintf(payload + strlen(payload), 24, ",\"n%d\":0", i);
    }
    strcat(payload, "}");
    char *token = sign_text(HEADER, payload);
    long n = 0;
    for (bool failed = true; failed; n++) {
        fta_peek peek;
        failing_alloc_start(n);
        fta_status status =
            fta_peek_open(text_of(token), text_of("iss"), &seed, &peek);
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK(failed || is(peek.claim, "i"));
        fta_peek_close(&peek);
    }
    CHECK(n > 2);
    free(token);
}

int
main(void)
{
    test_a_token_has_three_segments();
    test_a_peek_shows_kid_and_claim_as_they_are_read();
    test_what_is_not_canonical_is_not_read();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_peek");
}
