#include "audit/search.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

#define TEXT(literal) ((fta_text){literal, sizeof(literal) - 1})

#define LINE_1 "{\"time\":\"2026-11-27T10\",\"user\":\"a\",\"reason\":\"x\"}"
#define LINE_2 "{\"time\":\"2026-11-27T11\",\"user\":\"b\",\"reason\":\"x\"}"
#define LINE_3 "{\"time\":\"2026-11-27T12\",\"user\":\"a\",\"reason\":\"y\"}"
#define OTHER "foreign \"a\" \"x\""

/* The lines that are found in all of them, as digits: 1, 2, 3 and 4 for OTHER.
 */
static const char *
found(const fta_text *words, size_t count, const char *since, const char *until)
{
    static char digits[16];
    static const char text[] = LINE_1 "\n" LINE_2 "\n\n" LINE_3 "\n" OTHER;
    static const char *const lines[] = {"", LINE_1, LINE_2, LINE_3, OTHER};
    fta_audit_search search = {.words = words, .count = count};
    if (since != NULL) {
        search.since = (fta_text){since, strlen(since)};
    }
    if (until != NULL) {
        search.until = (fta_text){until, strlen(until)};
    }
    guarded copy = guarded_copy(text, sizeof text - 1);
    fta_text line;
    size_t from = 0, used = 0;
    while (fta_audit_search_next(
        &search, (fta_text){copy.text, sizeof text - 1}, &from, &line)) {
        for (size_t i = 0; i < 5; i++) {
            if (fta_text_equal(line, (fta_text){lines[i], strlen(lines[i])})) {
                digits[used++] = (char)('0' + i);
            }
        }
    }
    digits[used] = '\0';
    CHECK(from == sizeof text - 1 || from == sizeof text);
    guarded_free(&copy);
    return digits;
}

static bool
finds(const char *expected, const fta_text *words, size_t count)
{
    return strcmp(found(words, count, NULL, NULL), expected) == 0;
}

static void
test_lines_with_all_words_are_found(void)
{
    const fta_text a[] = {TEXT("\"a\"")};
    const fta_text a_x[] = {TEXT("\"a\""), TEXT("\"x\"")};
    const fta_text across[] = {TEXT("}\n{")};
    const fta_text none[] = {TEXT("\"c\"")};
    const fta_text ends[] = {TEXT("x\"")};
    CHECK(finds("12034", NULL, 0));
    CHECK(finds("134", a, 1));
    CHECK(finds("14", a_x, 2));
    CHECK(finds("", across, 1));
    CHECK(finds("", none, 1));
    CHECK(finds("124", ends, 1));
}

static void
test_lines_of_another_time_are_skipped(void)
{
    const fta_text a[] = {TEXT("\"a\"")};
    CHECK(strcmp(found(NULL, 0, "2026-11-27T11", NULL), "2034") == 0);
    CHECK(strcmp(found(NULL, 0, NULL, "2026-11-27T11"), "104") == 0);
    CHECK(strcmp(found(NULL, 0, "2026-11-27T11", "2026-11-27T12"), "204") == 0);
    CHECK(strcmp(found(a, 1, "2026-11-27T11", NULL), "34") == 0);
    /* A time that is longer than the line leaves the line in. */
    CHECK(strcmp(found(NULL, 0,
                       "3026-11-27T11:00:00.0000000000000000000000000"
                       "00000000000000000000000000000000",
                       NULL),
                 "12034") == 0);
}

int
main(void)
{
    test_lines_with_all_words_are_found();
    test_lines_of_another_time_are_skipped();
    return check_report("test_audit_search");
}
