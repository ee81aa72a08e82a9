#include "session/refresh_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define TEXT(literal) ((fta_text){literal, sizeof literal - 1})
#define SESSION_TEXT "0192f0c4a1b27c3d8e4f5a6b7c8d9e0f"

static const fta_uuid session = {{0x01, 0x92, 0xf0, 0xc4, 0xa1, 0xb2, 0x7c,
                                  0x3d, 0x8e, 0x4f, 0x5a, 0x6b, 0x7c, 0x8d,
                                  0x9e, 0x0f}};

static fta_text
secret(void)
{
    return TEXT("a secret of 32 octets or more...");
}

static fta_text
salt(void)
{
    return TEXT("the salt of the session");
}

/* Makes a token of the counter; 0 where it cannot be made. */
static size_t
make(int64_t counter, char out[FTA_REFRESH_TOKEN_MAX])
{
    size_t length = 0;
    fta_status status = fta_refresh_token_make(secret(), salt(), &session,
                                               counter, out, &length);
    return status == FTA_OK ? length : 0;
}

static bool
is_read(const char *data, size_t length)
{
    /* Of its own size, so that a sanitizer sees a read past its end. */
    char *copy = malloc(length == 0 ? 1 : length);
    fta_refresh_token token;
    bool read = false;
    if (copy != NULL) {
        memcpy(copy, data, length);
        read = fta_refresh_token_read((fta_text){copy, length}, &token);
    }
    free(copy);
    return read;
}

static void
test_a_token_says_its_session_and_counter(void)
{
    static const int64_t counters[] = {1, 9, 10, 4711, INT64_MAX};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        char text[FTA_REFRESH_TOKEN_MAX], expected[64];
        size_t length = make(counters[i], text);
        fta_refresh_token token;
        bool matches = false;
        int said = snprintf(expected, sizeof expected,
                            "r1" SESSION_TEXT ".%lld.", (long long)counters[i]);
        CHECK(length == (size_t)said + 43);
        CHECK(memcmp(text, expected, (size_t)said) == 0);
        CHECK(fta_refresh_token_read((fta_text){text, length}, &token));
        CHECK(memcmp(&token.session, &session, sizeof session) == 0);
        CHECK(token.counter == counters[i]);
        CHECK(fta_refresh_token_check(secret(), salt(), &token, &matches) ==
              FTA_OK);
        CHECK(matches);
        CHECK(fta_refresh_token_check(TEXT("another secret"), salt(), &token,
                                      &matches) == FTA_OK);
        CHECK(!matches);
        CHECK(fta_refresh_token_check(secret(), TEXT("another salt"), &token,
                                      &matches) == FTA_OK);
        CHECK(!matches);
    }
}

/* Each token has one text, so every other text either is none or has another
 * MAC. */
static void
test_no_changed_octet_and_no_shortened_text_matches(void)
{
    char text[FTA_REFRESH_TOKEN_MAX];
    size_t length = make(120, text);
    int read = 0;
    for (size_t at = 0; at < length; at++) {
        CHECK(!is_read(text, at));
        CHECK(!is_read(text + at + 1, length - at - 1));
        for (int octet = 0; octet < 256; octet++) {
            char changed[FTA_REFRESH_TOKEN_MAX];
            fta_refresh_token token;
            bool matches = true;
            memcpy(changed, text, length);
            if (changed[at] == (char)octet) {
                continue;
            }
            changed[at] = (char)octet;
            if (!fta_refresh_token_read((fta_text){changed, length}, &token)) {
                continue;
            }
            read++;
            CHECK(fta_refresh_token_check(secret(), salt(), &token, &matches) ==
                  FTA_OK);
            CHECK(!matches);
        }
    }
    CHECK(read > 1000); /* Most of those are well-formed. */
}

static void
test_odd_texts_are_no_tokens(void)
{
#define MAC "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    static const char *const odd[] = {
        "",
        "r1",
        "r1" SESSION_TEXT ".." MAC,
        "r1" SESSION_TEXT ".0." MAC,
        "r1" SESSION_TEXT ".01." MAC,
        "r1" SESSION_TEXT ".+1." MAC,
        "r1" SESSION_TEXT ".-1." MAC,
        "r1" SESSION_TEXT ". 1." MAC,
        "r1" SESSION_TEXT ".1 ." MAC,
        "r1" SESSION_TEXT ".1e3." MAC,
        "r1" SESSION_TEXT ".0x1." MAC,
        "r1" SESSION_TEXT ".1_0." MAC,
        "r1" SESSION_TEXT ".\xd9\xa1." MAC, /* Arabic-Indic one */
        "r1" SESSION_TEXT ".9223372036854775808." MAC,
        "r1" SESSION_TEXT ".9999999999999999999." MAC,
        "r1" SESSION_TEXT ".18446744073709551616." MAC,
        "r1" SESSION_TEXT ".18446744073709551617." MAC,
        "r1" SESSION_TEXT ".1." MAC ".",
        "r1" SESSION_TEXT ".1." MAC "=",
        "r1" SESSION_TEXT ".1." MAC "\n",
        " r1" SESSION_TEXT ".1." MAC,
        "r1" SESSION_TEXT ".1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        "r1" SESSION_TEXT ".1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+A",
        "r2" SESSION_TEXT ".1." MAC,
        "R1" SESSION_TEXT ".1." MAC,
        "r10192F0C4A1B27C3D8E4F5A6B7C8D9E0F.1." MAC,
        "r10192f0c4-a1b2-7c3d-8e4f-5a6b7c8d9e0f.1." MAC,
        "r10192f0c4a1b27c3d8e4f5a6b7c8d9e0g.1." MAC,
    };
    CHECK(is_read("r1" SESSION_TEXT ".1." MAC,
                  sizeof("r1" SESSION_TEXT ".1." MAC) - 1));
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        CHECK(!is_read(odd[i], strlen(odd[i])));
    }
}

static void
test_what_makes_no_token_is_refused(void)
{
    char out[FTA_REFRESH_TOKEN_MAX];
    static char long_text[FTA_REFRESH_SECRET_MAX + 1];
    size_t length;
    fta_text none = {"", 0}, longest = {long_text, FTA_REFRESH_SECRET_MAX},
             too_long = {long_text, FTA_REFRESH_SECRET_MAX + 1};
    CHECK(make(0, out) == 0);
    CHECK(make(-1, out) == 0);
    CHECK(make(INT64_MIN, out) == 0);
    CHECK(fta_refresh_token_make(longest, longest, &session, 1, out, &length) ==
          FTA_OK);
    CHECK(fta_refresh_token_make(none, salt(), &session, 1, out, &length) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_refresh_token_make(secret(), none, &session, 1, out, &length) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_refresh_token_make(too_long, salt(), &session, 1, out, &length) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_refresh_token_make(secret(), too_long, &session, 1, out,
                                 &length) == FTA_BAD_ARGUMENT);
}

int
main(void)
{
    test_a_token_says_its_session_and_counter();
    test_no_changed_octet_and_no_shortened_text_matches();
    test_odd_texts_are_no_tokens();
    test_what_makes_no_token_is_refused();
    return check_report("test_refresh_token");
}
