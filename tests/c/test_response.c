/* Statuses and names of header fields. Every text ends at the end of a page. */
#include "http/response.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

static int
code_of(const char *status)
{
    guarded copy = guarded_copy(status, strlen(status));
    int code = fta_status_code((fta_text){copy.text, strlen(status)});
    guarded_free(&copy);
    return code;
}

static bool
is_ordinary(const char *status, const char *method)
{
    return fta_response_is_ordinary(code_of(status),
                                    (fta_text){method, strlen(method)});
}

static bool
are_equal(const char *a, const char *b)
{
    guarded one = guarded_copy(a, strlen(a)),
            other = guarded_copy(b, strlen(b));
    bool equal = fta_field_names_equal((fta_text){one.text, strlen(a)},
                                       (fta_text){other.text, strlen(b)});
    guarded_free(&one);
    guarded_free(&other);
    return equal;
}

static void
test_a_status_begins_with_its_code(void)
{
    CHECK(code_of("200 OK") == 200);
    CHECK(code_of("404") == 404);
    CHECK(code_of("40") == 0);
    CHECK(code_of("") == 0);
    CHECK(code_of("4o1 no") == 0);
    CHECK(code_of(" 401") == 0);
    CHECK(code_of("-40") == 0);
    for (int code = 0; code <= 999; code++) {
        char text[] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                       (char)('0' + code % 10), ' ', 0};
        CHECK(code_of(text) == code);
    }
}

static void
test_a_401_and_the_response_to_options_are_not_ordinary(void)
{
    CHECK(is_ordinary("200 OK", "GET"));
    CHECK(is_ordinary("403 FORBIDDEN", "POST"));
    CHECK(is_ordinary("nonsense", "GET"));
    CHECK(is_ordinary("200 OK", "OPTIONSX"));
    CHECK(is_ordinary("200 OK", ""));
    CHECK(!is_ordinary("401 UNAUTHORIZED", "GET"));
    CHECK(!is_ordinary("401", "GET"));
    CHECK(!is_ordinary("204 NO CONTENT", "OPTIONS"));
}

static void
test_names_of_fields_are_equal_in_any_case(void)
{
    CHECK(are_equal("Vary", "vARY"));
    CHECK(are_equal("", ""));
    CHECK(!are_equal("Vary", "Var"));
    CHECK(!are_equal("Vary", "Very"));
    /* Letters alone have a case, and those of ASCII alone. */
    CHECK(!are_equal("a[b", "a{b"));
    CHECK(!are_equal("a@b", "a`b"));
    CHECK(!are_equal("\xc4", "\xe4"));
    CHECK(are_equal("\xe4", "\xe4"));
}

int
main(void)
{
    test_a_status_begins_with_its_code();
    test_a_401_and_the_response_to_options_are_not_ordinary();
    test_names_of_fields_are_equal_in_any_case();
    return check_report("test_response");
}
