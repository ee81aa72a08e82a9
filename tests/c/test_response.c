/* What becomes of a response because of its status. Every text ends at the end
 * of a page. */
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

static bool
is_failure(const char *status, bool sent, bool replaced)
{
    return fta_response_is_failure(code_of(status),
                                   (fta_response_progress){sent, replaced});
}

static void
test_a_401_is_a_failure_before_any_of_it_is_sent(void)
{
    CHECK(is_failure("401 UNAUTHORIZED", false, false));
    CHECK(is_failure("401", false, false));
    CHECK(!is_failure("401", true, false));
    CHECK(!is_failure("401", false, true));
    CHECK(!is_failure("401", true, true));
    CHECK(!is_failure("200 OK", false, false));
    CHECK(!is_failure("403 FORBIDDEN", false, false));
    CHECK(!is_failure("nonsense", false, false));
    CHECK(!is_failure("", false, false));
}

int
main(void)
{
    test_a_status_begins_with_its_code();
    test_a_401_is_a_failure_before_any_of_it_is_sent();
    return check_report("test_response");
}
