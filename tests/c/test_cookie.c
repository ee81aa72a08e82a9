#include "http/cookie.h"

#include "check.h"
#include "guarded.h"

/* Whether a header has so many cookies of the name "__Host-a", and the first
 * one has this value. NULL: it is absent. */
static bool
has(const char *header, size_t expected_count, const char *expected)
{
    size_t length = strlen(header);
    guarded copy = guarded_copy(header, length);
    guarded name = guarded_copy("__Host-a", 8);
    fta_text value;
    size_t count = fta_cookie_find((fta_text){copy.text, length},
                                   (fta_text){name.text, 8}, &value);
    bool same = expected == NULL
                    ? value.data == NULL
                    : value.data != NULL && value.length == strlen(expected) &&
                          memcmp(value.data, expected, value.length) == 0;
    guarded_free(&name);
    guarded_free(&copy);
    return count == expected_count && same;
}

int
main(void)
{
    CHECK(has("__Host-a=x", 1, "x"));
    CHECK(has("b=1; __Host-a=x; c=2", 1, "x"));
    CHECK(has("b=1;__Host-a=x;c=2", 1, "x"));
    CHECK(has(" \t__Host-a \t=\t x \t;", 1, "x"));
    CHECK(has("__Host-a=", 1, ""));
    CHECK(has("__Host-a=;", 1, ""));
    CHECK(has("__Host-a=x=y", 1, "x=y"));
    CHECK(has("__Host-a=\"x\"", 1, "\"x\""));
    CHECK(has("__Host-a=x,__Host-a=y", 1, "x,__Host-a=y"));
    CHECK(has("__Host-a=x; __Host-a=y", 2, "x"));
    CHECK(has("__Host-a=x; __Host-a=x; __Host-a=x", 3, "x"));
    CHECK(has("b=__Host-a=x", 0, NULL));
    CHECK(
        has("b=\"; __Host-a=x\"", 1, "x\"")); /* quotes hold nothing together */
    CHECK(has("", 0, NULL));
    CHECK(has(";", 0, NULL));
    CHECK(has(";;=;==", 0, NULL));
    CHECK(has("__Host-a", 0, NULL));
    CHECK(has("__Host-a; x", 0, NULL));
    CHECK(has("=__Host-a=x", 0, NULL));
    CHECK(has("__host-a=x", 0, NULL));
    CHECK(has("__Host-A=x", 0, NULL));
    CHECK(has("__Host-aa=x", 0, NULL));
    CHECK(has("__Host-=x", 0, NULL));
    CHECK(has("_Host-a=x", 0, NULL));
    CHECK(has("$__Host-a=x", 0, NULL));
    /* White space that browsers keep as part of a name. */
    CHECK(has("\xc2\xa0__Host-a=x", 0, NULL));
    CHECK(has("\xe2\x80\x80__Host-a=x", 0, NULL));
    CHECK(has("\x0b__Host-a=x", 0, NULL));
    CHECK(has("\r\n__Host-a=x", 0, NULL));
    CHECK(fta_cookie_find((fta_text){NULL, 0}, (fta_text){"a", 1},
                          &(fta_text){NULL, 0}) == 0);
    return check_report("test_cookie");
}
