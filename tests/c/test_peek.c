#include "token/peek.h"

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"
#include "tokens.h"

static const fta_json_seed seed = {{7, 9}};
static const fta_text iss = {"iss", 3};

static bool
is_text(fta_text found, const char *expected)
{
    return expected == NULL
               ? found.data == NULL
               : found.data != NULL && fta_text_equal(found, text_of(expected));
}

/* Whether a token of these parts is read with that status, and says these. */
static bool
reads(const char *header, const char *payload, fta_status expected,
      const char *kid, const char *claim)
{
    char *token = sign_parts(text_of(header), text_of(payload));
    const size_t length = strlen(token);
    guarded copy = guarded_copy(token, length);
    fta_peek peek;
    fta_status status =
        fta_peek_open((fta_text){copy.text, length}, iss, &seed, &peek);
    bool same = status == expected &&
                (status != FTA_OK ||
                 (is_text(peek.kid, kid) && is_text(peek.claim, claim)));
    fta_peek_close(&peek);
    guarded_free(&copy);
    free(token);
    return same;
}

static fta_status
status_of(const char *token)
{
    fta_peek peek;
    fta_status status = fta_peek_open(text_of(token), iss, &seed, &peek);
    fta_peek_close(&peek);
    return status;
}

static void
strings_of_the_right_places_are_read(void)
{
    CHECK(reads("{\"kid\":\"k1\"}", "{\"iss\":\"https://a\"}", FTA_OK, "k1",
                "https://a"));
    CHECK(reads("{\"alg\":\"RS256\",\"kid\":\"\"}", "{\"iss\":\"\"}", FTA_OK,
                "", ""));
    CHECK(reads("{}", "{}", FTA_OK, NULL, NULL));
    CHECK(reads("{\"iss\":\"x\"}", "{\"kid\":\"x\"}", FTA_OK, NULL, NULL));
    CHECK(reads("{\"a\":{\"kid\":\"x\"}}", "{\"a\":[{\"iss\":\"x\"}],\"b\":1}",
                FTA_OK, NULL, NULL));
    CHECK(reads("{\"k\\u0069d\":\"\\u0061\"}", "{\"iss\":\"\\n\"}", FTA_OK, "a",
                "\n"));
}

static void
what_is_no_string_is_absent(void)
{
    CHECK(reads("{\"kid\":7}", "{\"iss\":null}", FTA_OK, NULL, NULL));
    CHECK(reads("{\"kid\":[\"a\"]}", "{\"iss\":{\"b\":\"c\"}}", FTA_OK, NULL,
                NULL));
}

static void
malformed_tokens_are_not_read(void)
{
    CHECK(reads("[]", "{}", FTA_JSON_NOT_OBJECT, NULL, NULL));
    CHECK(reads("{}", "\"iss\"", FTA_JSON_NOT_OBJECT, NULL, NULL));
    CHECK(reads("{\"kid\":\"a\"", "{}", FTA_JSON_INVALID, NULL, NULL));
    CHECK(reads("{}", "{\"iss\":\"a\"}x", FTA_JSON_INVALID, NULL, NULL));
    CHECK(reads("{}", "{\"iss\":\"a\",\"iss\":\"b\"}", FTA_JSON_NAME_REPEATED,
                NULL, NULL));
    CHECK(reads("{\"kid\":\"a\",\"k\\u0069d\":\"b\"}", "{}",
                FTA_JSON_NAME_REPEATED, NULL, NULL));
    CHECK(reads("{}", "{\"iss\":\"\xff\"}", FTA_JSON_NOT_UTF8, NULL, NULL));
    CHECK(status_of("") == FTA_NOT_THREE_SEGMENTS);
    CHECK(status_of("e30") == FTA_NOT_THREE_SEGMENTS);
    CHECK(status_of("e30.e30") == FTA_NOT_THREE_SEGMENTS);
    CHECK(status_of(".e30.") == FTA_NOT_THREE_SEGMENTS);
    CHECK(status_of("e30..") == FTA_NOT_THREE_SEGMENTS);
    CHECK(status_of("e30=.e30.") == FTA_BASE64URL_INVALID);
    CHECK(status_of("e30.e31.") == FTA_BASE64URL_INVALID);
    CHECK(status_of("e30.e30.") == FTA_OK);
}

static void
no_memory_is_reported(void)
{
    /* More names than the reader keeps without memory. */
    char payload[1024] = "{\"iss\":\"a\"";
    for (int i = 0; i < 40; i++) {
        char member[24];
        (void)snprintf(member, sizeof member, ",\"n%d\":1", i);
        strcat(payload, member);
    }
    strcat(payload, "}");
    char *token = sign_parts(text_of("{}"), text_of(payload));
    long n = 0;
    for (;; n++) {
        fta_peek peek;
        failing_alloc_start(n);
        fta_status status = fta_peek_open(text_of(token), iss, &seed, &peek);
        bool failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK(failed || is_text(peek.claim, "a"));
        fta_peek_close(&peek);
        if (!failed) {
            break;
        }
    }
    CHECK(n >= 2);
    free(token);
}

int
main(void)
{
    strings_of_the_right_places_are_read();
    what_is_no_string_is_absent();
    malformed_tokens_are_not_read();
    no_memory_is_reported();
    return check_report("test_peek");
}
