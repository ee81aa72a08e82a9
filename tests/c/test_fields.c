/* Names of header fields, tokens, comma lists, Vary. Every text ends at the end
 * of a page. */
#include "http/fields.h"

#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"

#include "base/alloc.h"

static fta_text
text_of(const char *text)
{
    return (fta_text){text, strlen(text)};
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

static fta_field_name
name_of(const char *text)
{
    guarded copy = guarded_copy(text, strlen(text));
    fta_field_name name =
        fta_field_name_of((fta_text){copy.text, strlen(text)});
    guarded_free(&copy);
    return name;
}

static bool
is_token(const char *text)
{
    guarded copy = guarded_copy(text, strlen(text));
    bool is = fta_is_http_token((fta_text){copy.text, strlen(text)});
    guarded_free(&copy);
    return is;
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

static void
test_each_name_is_found_by_its_text(void)
{
    for (size_t i = 0; i < FTA_FIELD_COUNT; i++) {
        fta_text text = fta_field_name_text((fta_field_name)i);
        CHECK(name_of(text.data) == (fta_field_name)i);
    }
    CHECK(name_of("retry-AFTER") == FTA_FIELD_RETRY_AFTER);
    CHECK(name_of("") == FTA_FIELD_COUNT);
    CHECK(name_of("Very") == FTA_FIELD_COUNT);
    CHECK(name_of("Retry-After-that-which-is-long-and-has-over-sixty-four-"
                  "characters") == FTA_FIELD_COUNT);
}

static void
test_a_token_consists_of_token_characters(void)
{
    CHECK(is_token("GET"));
    CHECK(is_token("X-Own_1.2~"));
    CHECK(is_token("!#$%&'*+-.^_`|~"));
    CHECK(!is_token(""));
    CHECK(!is_token("a b"));
    CHECK(!is_token("a,b"));
    CHECK(!is_token("a:"));
    CHECK(!is_token("\x7f"));
    CHECK(!is_token("\xe4"));
    CHECK(!fta_is_http_token((fta_text){"a\0b", 3}));
    CHECK(!fta_is_http_token((fta_text){NULL, 0}));
}

static void
test_a_comma_list_gives_its_items_without_blanks(void)
{
    static const char text[] = "a ,\t b c,, d\t";
    static const char *const expected[] = {"a", "b c", "", "d"};
    guarded copy = guarded_copy(text, sizeof text - 1);
    fta_comma_list list = {{copy.text, sizeof text - 1}, false};
    fta_text item;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK(fta_comma_list_next(&list, &item));
        CHECK(fta_text_equal(item, text_of(expected[i])));
    }
    CHECK(!fta_comma_list_next(&list, &item));
    CHECK(!fta_comma_list_next(&list, &item));
    guarded_free(&copy);

    list = (fta_comma_list){{NULL, 0}, false};
    CHECK(fta_comma_list_next(&list, &item) && item.length == 0);
    CHECK(!fta_comma_list_next(&list, &item));
}

static void
test_texts_are_joined_to_one_value(void)
{
    const fta_text texts[] = {text_of("a"), text_of(""), text_of("bc")};
    char out[16], *end = out;
    fta_text joined = fta_text_list_join((fta_text_list){texts, 3}, &end);
    CHECK(fta_text_is(joined, "a, , bc"));
    CHECK(end == out + joined.length);
    CHECK(fta_text_list_room((fta_text_list){texts, 3}) >= joined.length);
    joined = fta_text_list_join((fta_text_list){NULL, 0}, &end);
    CHECK(joined.length == 0);
    CHECK(fta_text_list_has((fta_text_list){texts, 3}, text_of("bc")));
    CHECK(!fta_text_list_has((fta_text_list){texts, 3}, text_of("b")));
}

static void
test_numbers_are_written_as_decimal_digits(void)
{
    fta_fields fields;
    fta_fields_init(&fields);
    fta_fields_add_number(&fields, FTA_FIELD_LIMIT, 0);
    fta_fields_add_number(&fields, FTA_FIELD_RESET, 1764160000);
    fta_fields_add_number(&fields, FTA_FIELD_RETRY_AFTER, UINT64_MAX);
    CHECK(fields.count == 3);
    CHECK(fields.names ==
          (UINT32_C(1) << FTA_FIELD_LIMIT | UINT32_C(1) << FTA_FIELD_RESET |
           UINT32_C(1) << FTA_FIELD_RETRY_AFTER));
    CHECK(fta_text_is(fields.items[0].value, "0"));
    CHECK(fta_text_is(fields.items[1].value, "1764160000"));
    CHECK(fta_text_is(fields.items[2].value, "18446744073709551615"));
    fta_fields_clear(&fields);
    CHECK(fields.count == 0 && fields.names == 0);
}

/* Whether Vary is expected, where the application says first and second, and
 * "Origin" is added. */
static bool
joins_to(const char *first, const char *second, const char *expected)
{
    fta_fields fields;
    guarded one = guarded_copy(first, strlen(first)),
            other = guarded_copy(second, strlen(second));
    const fta_text values[] = {{one.text, strlen(first)},
                               {other.text, strlen(second)}};
    fta_fields_init(&fields);
    fta_fields_add_number(&fields, FTA_FIELD_LIMIT, 1);
    fta_fields_add(&fields, FTA_FIELD_VARY, text_of("Origin"));
    bool same =
        fta_fields_join_vary(&fields, (fta_text_list){values, 2}) == FTA_OK &&
        fta_text_equal(fields.items[1].value, text_of(expected)) &&
        fta_text_is(fields.items[0].value, "1");
    fta_fields_clear(&fields);
    guarded_free(&one);
    guarded_free(&other);
    return same;
}

static void
test_vary_has_each_name_once(void)
{
    CHECK(joins_to("", "", "Origin"));
    CHECK(joins_to("Cookie", "", "Cookie, Origin"));
    CHECK(joins_to("Cookie", "a,b , origin", "Cookie, a, b, origin"));
    CHECK(joins_to("a,A,a", ",,", "a, Origin"));
    CHECK(joins_to("or", "Origins", "or, Origins, Origin"));
    CHECK(joins_to("a", "b, *", "*"));
    CHECK(joins_to("*", "", "*"));
}

static void
test_a_vary_that_is_not_added_is_not_joined(void)
{
    const fta_text own = text_of("Cookie");
    fta_fields fields;
    fta_fields_init(&fields);
    fta_fields_add_number(&fields, FTA_FIELD_LIMIT, 1);
    CHECK(fta_fields_join_vary(&fields, (fta_text_list){&own, 1}) == FTA_OK);
    CHECK(fields.count == 1);
    fta_fields_add(&fields, FTA_FIELD_VARY, text_of("Origin"));
    CHECK(fta_fields_join_vary(&fields, (fta_text_list){NULL, 0}) == FTA_OK);
    CHECK(fta_text_is(fields.items[1].value, "Origin"));
    /* Twice: the first joined value is freed. */
    CHECK(fta_fields_join_vary(&fields, (fta_text_list){&own, 1}) == FTA_OK);
    CHECK(fta_fields_join_vary(&fields, (fta_text_list){&own, 1}) == FTA_OK);
    CHECK(fta_text_is(fields.items[1].value, "Cookie, Origin"));
    fta_fields_clear(&fields);
}

static void
test_vary_without_memory_stays_as_it_was(void)
{
    const fta_text own = text_of("Cookie");
    fta_fields fields;
    fta_fields_init(&fields);
    fta_fields_add(&fields, FTA_FIELD_VARY, text_of("Origin"));
    failing_alloc_start(0);
    fta_status status = fta_fields_join_vary(&fields, (fta_text_list){&own, 1});
    CHECK(failing_alloc_stop());
    CHECK(status == FTA_NO_MEMORY);
    CHECK(fta_text_is(fields.items[0].value, "Origin"));
    fta_fields_clear(&fields);
}

int
main(void)
{
    test_names_of_fields_are_equal_in_any_case();
    test_each_name_is_found_by_its_text();
    test_a_token_consists_of_token_characters();
    test_a_comma_list_gives_its_items_without_blanks();
    test_texts_are_joined_to_one_value();
    test_numbers_are_written_as_decimal_digits();
    test_vary_has_each_name_once();
    test_a_vary_that_is_not_added_is_not_joined();
    test_vary_without_memory_stays_as_it_was();
    return check_report("test_fields");
}
