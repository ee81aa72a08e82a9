#include "token/bearer.h"

#include "check.h"
#include "guarded.h"

/* Whether the token of a header value is expected; NULL: there is none. */
static bool
gives(const char *value, const char *expected)
{
    size_t length = strlen(value);
    guarded copy = guarded_copy(value, length);
    fta_text token = fta_bearer_token((fta_text){copy.text, length});
    bool same = expected == NULL
                    ? token.data == NULL
                    : token.data != NULL && token.length == strlen(expected) &&
                          memcmp(token.data, expected, token.length) == 0;
    guarded_free(&copy);
    return same;
}

int
main(void)
{
    CHECK(gives("Bearer abc", "abc"));
    CHECK(gives("bearer abc", "abc"));
    CHECK(gives("BEARER abc", "abc"));
    CHECK(gives("bEaReR   a.b.c", "a.b.c"));
    CHECK(gives("Bearer abc  ", "abc"));
    CHECK(gives("Bearer a b", "a b"));
    CHECK(gives("Bearer \xff", "\xff"));
    CHECK(gives("", NULL));
    CHECK(gives("Bearer", NULL));
    CHECK(gives("Bearer ", NULL));
    CHECK(gives("Bearer    ", NULL));
    CHECK(gives("Bearerabc", NULL));
    CHECK(gives("Bearer\tabc", NULL));
    CHECK(gives(" Bearer abc", NULL));
    CHECK(gives("Basic abc", NULL));
    CHECK(gives("Beare abc", NULL));
    CHECK(gives("Bearers abc", NULL));
    CHECK(gives("\x02\x45\x41\x52\x45\x52 abc", NULL)); /* B less 0x40 */
    return check_report("test_bearer");
}
