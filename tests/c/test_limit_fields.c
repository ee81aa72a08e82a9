/* The header fields of limits. */
#include "http/limit_fields.h"

#include <string.h>

#include "check.h"
#include "failing_alloc.h"

static const fta_limit_report report = {
    .allowed = false,
    .limit = 50,
    .remaining = 7,
    .reset = 1764160060,
    .retry_after = 12,
    .index = 1,
    .now_us = INT64_C(1764160000000001),
};
static const fta_limit_policy items[] = {{UINT32_MAX, UINT32_MAX}, {50, 60}};
static const fta_limit_policies policies = {items, 2};

/* Whether field i has this name and this value. */
static bool
is_field(const fta_fields *fields, size_t i, const char *name,
         const char *value)
{
    const fta_field *field = &fields->items[i];
    return i < fields->count &&
           fta_text_equal(fta_field_name_text(field->name),
                          (fta_text){name, strlen(name)}) &&
           fta_text_equal(field->value, (fta_text){value, strlen(value)});
}

static void
test_the_fields_have_the_numbers_of_the_report(void)
{
    fta_fields fields;
    fta_fields_init(&fields);
    fta_limit_fields_add(&report, &fields);
    CHECK(fields.count == 3);
    CHECK(is_field(&fields, 0, "X-RateLimit-Limit", "50"));
    CHECK(is_field(&fields, 1, "X-RateLimit-Remaining", "7"));
    CHECK(is_field(&fields, 2, "X-RateLimit-Reset", "1764160060"));
    fta_fields_clear(&fields);
}

static void
test_only_the_response_to_a_limited_request_has_retry_after(void)
{
    fta_fields fields;
    fta_limit_report allowed = report;
    allowed.allowed = true;
    fta_fields_init(&fields);
    fta_limit_fields_add_retry_after(&allowed, &fields);
    CHECK(fields.count == 0);
    fta_limit_fields_add_retry_after(&report, &fields);
    CHECK(fields.count == 1);
    CHECK(is_field(&fields, 0, "Retry-After", "12"));
    fta_fields_clear(&fields);
}

static void
test_a_clock_before_1970_gives_no_negative_number(void)
{
    fta_fields fields;
    fta_limit_report early = report;
    early.reset = -5;
    early.retry_after = -5;
    fta_fields_init(&fields);
    fta_limit_fields_add(&early, &fields);
    fta_limit_fields_add_retry_after(&early, &fields);
    CHECK(is_field(&fields, 2, "X-RateLimit-Reset", "0"));
    CHECK(is_field(&fields, 3, "Retry-After", "0"));
    fta_fields_clear(&fields);
}

static void
test_the_fields_of_the_draft_name_each_limit_by_its_place(void)
{
    fta_fields fields;
    fta_fields_init(&fields);
    CHECK(fta_limit_fields_add_ietf(&report, policies, &fields) == FTA_OK);
    CHECK(is_field(&fields, 0, "RateLimit-Policy",
                   "\"1\";q=4294967295;w=4294967295, \"2\";q=50;w=60"));
    CHECK(is_field(&fields, 1, "RateLimit", "\"2\";r=7;t=60"));
    fta_fields_clear(&fields);

    fta_limit_report largest = report;
    largest.index = SIZE_MAX - 1;
    largest.reset = INT64_MAX;
    largest.remaining = UINT32_MAX;
    largest.now_us = 0;
    CHECK(fta_limit_fields_add_ietf(&largest, (fta_limit_policies){NULL, 0},
                                    &fields) == FTA_OK);
    CHECK(is_field(&fields, 0, "RateLimit-Policy", ""));
    CHECK(is_field(
        &fields, 1, "RateLimit",
        "\"18446744073709551615\";r=4294967295;t=9223372036854775807"));
    fta_fields_clear(&fields);
}

static void
test_the_seconds_until_the_reset_are_rounded_up_and_not_negative(void)
{
    static const struct {
        int64_t now_us;
        const char *expected;
    } cases[] = {
        {INT64_C(1764160059000000), "\"2\";r=7;t=1"},
        {INT64_C(1764160059000001), "\"2\";r=7;t=1"},
        {INT64_C(1764160059999999), "\"2\";r=7;t=1"},
        {INT64_C(1764160060000000), "\"2\";r=7;t=0"},
        {INT64_C(1764160099000000), "\"2\";r=7;t=0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fta_fields fields;
        fta_limit_report at = report;
        at.now_us = cases[i].now_us;
        fta_fields_init(&fields);
        CHECK(fta_limit_fields_add_ietf(&at, policies, &fields) == FTA_OK);
        CHECK(is_field(&fields, 1, "RateLimit", cases[i].expected));
        fta_fields_clear(&fields);
    }
}

static void
test_without_memory_no_field_is_added(void)
{
    for (long n = 0;; n++) {
        fta_fields fields;
        fta_fields_init(&fields);
        failing_alloc_start(n);
        fta_status status =
            fta_limit_fields_add_ietf(&report, policies, &fields);
        bool failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK(fields.count == (failed ? 0u : 2u));
        fta_fields_clear(&fields);
        if (!failed) {
            CHECK(n > 0);
            break;
        }
    }
}

int
main(void)
{
    test_the_fields_have_the_numbers_of_the_report();
    test_only_the_response_to_a_limited_request_has_retry_after();
    test_a_clock_before_1970_gives_no_negative_number();
    test_the_fields_of_the_draft_name_each_limit_by_its_place();
    test_the_seconds_until_the_reset_are_rounded_up_and_not_negative();
    test_without_memory_no_field_is_added();
    return check_report("test_limit_fields");
}
