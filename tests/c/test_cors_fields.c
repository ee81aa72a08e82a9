/* The header fields that CORS adds. */
#include "http/cors_fields.h"

#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}
#define LIST(array) {array, sizeof(array) / sizeof *(array)}
#define LISTED "https://a.example"
#define BELOW "https://x.b.example"
#define OTHER "https://c.example"
#define PREFLIGHT_VARY                                                         \
    "Vary: Origin, Access-Control-Request-Method, "                            \
    "Access-Control-Request-Headers\n"

static const fta_text resources[] = {TEXT("/api/")};
static const fta_text origins[] = {TEXT(LISTED), TEXT("https://*.b.example")};
static const fta_text any[] = {TEXT("*")};
static const fta_text methods[] = {TEXT("GET"), TEXT("PUT")};
static const fta_text headers[] = {TEXT("X-A"), TEXT("X-B")};
static const fta_text allow[] = {TEXT("PUT, OPTIONS ,PATCH"), TEXT("PUT,,GET")};

static const fta_cors_config listed = {.resources = LIST(resources),
                                       .origins = LIST(origins),
                                       .methods = LIST(methods),
                                       .allow_headers = LIST(headers),
                                       .expose_headers = LIST(headers),
                                       .max_age = 600};
static const fta_cors_config open = {.resources = LIST(resources),
                                     .origins = LIST(any),
                                     .methods = LIST(any),
                                     .allow_headers = LIST(any),
                                     .max_age = UINT32_MAX};

/* A request, whose texts may be NULL: absent. */
typedef struct asked {
    const char *method;
    const char *path;
    const char *origin;
    const char *requested_method;
    const char *requested_headers;
} asked;

static fta_text
at_page_end(const char *text, guarded *copy)
{
    if (text == NULL) {
        *copy = guarded_copy("", 0);
        return (fta_text){NULL, 0};
    }
    *copy = guarded_copy(text, strlen(text));
    return (fta_text){copy->text, strlen(text)};
}

/* Writes the fields as "Name: value\n" lines. */
static void
write_fields(const fta_fields *fields, char *out, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < fields->count; i++) {
        const fta_field *field = &fields->items[i];
        used += (size_t)snprintf(out + used, room - used, "%s: %.*s\n",
                                 fta_field_name_text(field->name).data,
                                 (int)field->value.length, field->value.data);
    }
    out[used] = '\0';
}

/* The fields that a request gets, each of its texts at the end of a page. */
static const char *
fields_of(const fta_cors_config *config, asked request)
{
    static char out[16384];
    guarded copies[5];
    fta_fields fields;
    fta_cors_rules *rules = fta_cors_rules_new(config);
    const fta_cors_request read = {
        at_page_end(request.method, &copies[0]),
        at_page_end(request.path, &copies[1]),
        at_page_end(request.origin, &copies[2]),
        at_page_end(request.requested_method, &copies[3]),
        at_page_end(request.requested_headers, &copies[4])};
    fta_fields_init(&fields);
    fta_cors_kind kind = fta_cors_kind_of(rules, &read);
    if (kind == FTA_CORS_OF_REQUEST) {
        fta_text_list of_route = LIST(allow);
        CHECK(fta_cors_add_of_request(rules, &read, of_route, &fields) ==
              FTA_OK);
    } else {
        CHECK(kind < fta_cors_fixed_count(rules));
        fta_cors_add_fixed(rules, kind, &fields);
    }
    write_fields(&fields, out, sizeof out);
    fta_fields_clear(&fields);
    fta_cors_rules_free(rules);
    for (int i = 0; i < 5; i++) {
        guarded_free(&copies[i]);
    }
    return out;
}

static bool
gives(const fta_cors_config *config, asked request, const char *expected)
{
    const char *found = fields_of(config, request);
    if (strcmp(found, expected) != 0) {
        fprintf(stderr, "not\n%sbut\n%s", expected, found);
        return false;
    }
    return true;
}

static asked
get(const char *path, const char *origin)
{
    return (asked){.method = "GET", .path = path, .origin = origin};
}

static asked
preflight(const char *origin, const char *method, const char *requested)
{
    return (asked){"OPTIONS", "/api/x", origin, method, requested};
}

static void
test_the_response_to_an_allowed_origin_permits_it(void)
{
    fta_cors_config config = listed;
    CHECK(gives(&config, get("/api/x", LISTED),
                "Vary: Origin\n"
                "Access-Control-Allow-Origin: " LISTED "\n"
                "Access-Control-Expose-Headers: X-A, X-B\n"));
    CHECK(gives(&config, get("/api/x", BELOW),
                "Vary: Origin\n"
                "Access-Control-Allow-Origin: " BELOW "\n"
                "Access-Control-Expose-Headers: X-A, X-B\n"));
    config.credentials = true;
    config.expose_headers.count = 0;
    CHECK(gives(&config, get("/api/x", LISTED),
                "Vary: Origin\n"
                "Access-Control-Allow-Origin: " LISTED "\n"
                "Access-Control-Allow-Credentials: true\n"));
}

static void
test_the_response_to_another_origin_permits_nothing(void)
{
    CHECK(gives(&listed, get("/api/x", OTHER), "Vary: Origin\n"));
    CHECK(gives(&listed, get("/api/x", "null"), "Vary: Origin\n"));
    CHECK(gives(&listed, get("/api/x", ""), "Vary: Origin\n"));
    CHECK(gives(&listed, get("/api/x", NULL), "Vary: Origin\n"));
    CHECK(gives(&listed, preflight(OTHER, "PUT", NULL), PREFLIGHT_VARY));
    CHECK(gives(&listed, preflight(NULL, "PUT", NULL), PREFLIGHT_VARY));
}

static void
test_a_path_that_is_not_covered_gets_no_field(void)
{
    CHECK(gives(&listed, get("/page", LISTED), ""));
    CHECK(gives(&listed, get(NULL, LISTED), ""));
    CHECK(gives(&open, get("/page", LISTED), ""));
    CHECK(gives(&listed, (asked){"OPTIONS", "/page", LISTED, "PUT", NULL}, ""));
}

static void
test_where_every_origin_is_allowed_all_get_one_response(void)
{
    static const char *const all[] = {LISTED, OTHER, "null", "", NULL};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(gives(&open, get("/api/x", all[i]),
                    "Access-Control-Allow-Origin: *\n"));
    }
}

static void
test_the_response_to_a_preflight_lists_methods_and_headers(void)
{
    fta_cors_config config = listed;
    const char *expected =
        PREFLIGHT_VARY "Access-Control-Allow-Origin: " BELOW "\n"
                       "Access-Control-Allow-Methods: GET, PUT\n"
                       "Access-Control-Allow-Headers: X-A, X-B\n"
                       "Access-Control-Max-Age: 600\n";
    CHECK(gives(&config, preflight(BELOW, "PUT", NULL), expected));
    CHECK(gives(&config, preflight(BELOW, "GET", "x-own"), expected));
    config.credentials = true;
    config.allow_headers.count = 0;
    CHECK(gives(&config, preflight(BELOW, "PUT", NULL),
                PREFLIGHT_VARY "Access-Control-Allow-Origin: " BELOW "\n"
                               "Access-Control-Allow-Credentials: true\n"
                               "Access-Control-Allow-Methods: GET, PUT\n"
                               "Access-Control-Max-Age: 600\n"));
}

static void
test_a_method_is_allowed_if_the_route_and_the_rules_have_it(void)
{
    static const char *const wrong[] = {"PATCH", "DELETE", "put",
                                        "PU",    "",       "*"};
    const char *denied =
        PREFLIGHT_VARY "Access-Control-Allow-Origin: " LISTED "\n";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(gives(&listed, preflight(LISTED, wrong[i], NULL), denied));
    }
    const char *of_open = PREFLIGHT_VARY "Access-Control-Allow-Origin: *\n";
    for (size_t i = 1; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(gives(&open, preflight(OTHER, wrong[i], NULL), of_open));
    }
}

static void
test_all_methods_are_those_of_the_route_each_once(void)
{
    CHECK(gives(&open, preflight(OTHER, "PATCH", "x-a , X-B"),
                PREFLIGHT_VARY
                "Access-Control-Allow-Origin: *\n"
                "Access-Control-Allow-Methods: GET, OPTIONS, PATCH, PUT\n"
                "Access-Control-Allow-Headers: x-a, X-B\n"
                "Access-Control-Max-Age: 4294967295\n"));
}

static void
test_requested_headers_are_repeated_if_all_are_names(void)
{
    static const char *const wrong[] = {"",     "*",      "x-a, *", "x-a,,x-b",
                                        "x a",  "x-a: 1", ",",      "\xe4",
                                        "x-a,", NULL};
    char longest[FTA_CORS_REQUESTED_MAX + 2];
    const char *denied = PREFLIGHT_VARY
        "Access-Control-Allow-Origin: *\n"
        "Access-Control-Allow-Methods: GET, OPTIONS, PATCH, PUT\n"
        "Access-Control-Max-Age: 4294967295\n";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(gives(&open, preflight(OTHER, "PUT", wrong[i]), denied));
    }
    memset(longest, 'x', sizeof longest);
    longest[FTA_CORS_REQUESTED_MAX + 1] = '\0';
    CHECK(gives(&open, preflight(OTHER, "PUT", longest), denied));
    for (size_t i = 1; i < FTA_CORS_REQUESTED_MAX; i += 2) {
        longest[i] = ','; /* the most items, which grow the most */
    }
    longest[FTA_CORS_REQUESTED_MAX - 1] = 'x';
    longest[FTA_CORS_REQUESTED_MAX] = '\0';
    const char *found = fields_of(&open, preflight(OTHER, "PUT", longest));
    CHECK(strstr(found, "Access-Control-Allow-Headers: x, x, x") != NULL);
}

static void
test_a_preflight_is_an_options_request_with_a_method_and_an_origin(void)
{
    fta_cors_rules *rules = fta_cors_rules_new(&listed);
    const fta_cors_request request = {
        TEXT("OPTIONS"), TEXT("/api/x"), TEXT(OTHER), TEXT(""), {NULL, 0}};
    CHECK(fta_cors_is_preflight(rules, &request));
    fta_cors_request other = request;
    other.method = (fta_text)TEXT("GET");
    CHECK(!fta_cors_is_preflight(rules, &other));
    other = request;
    other.path = (fta_text)TEXT("/page");
    CHECK(!fta_cors_is_preflight(rules, &other));
    other = request;
    other.origin.data = NULL;
    CHECK(!fta_cors_is_preflight(rules, &other));
    other = request;
    other.requested_method.data = NULL;
    CHECK(!fta_cors_is_preflight(rules, &other));
    CHECK(fta_cors_kind_of(rules, &other) < fta_cors_fixed_count(rules));
    CHECK(fta_cors_reads_requested((fta_text)TEXT("OPTIONS")));
    CHECK(!fta_cors_reads_requested((fta_text)TEXT("OPTION")));
    fta_cors_rules_free(rules);
}

static void
test_a_preflight_without_memory_fails(void)
{
    fta_cors_rules *rules = fta_cors_rules_new(&open);
    const fta_cors_request request = {TEXT("OPTIONS"), TEXT("/api/x"),
                                      TEXT(OTHER), TEXT("PUT"), TEXT("x-a")};
    for (long n = 0;; n++) {
        fta_fields fields;
        fta_text_list of_route = LIST(allow);
        fta_fields_init(&fields);
        failing_alloc_start(n);
        fta_status status =
            fta_cors_add_of_request(rules, &request, of_route, &fields);
        bool failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        fta_fields_clear(&fields);
        if (!failed) {
            CHECK(n > 0);
            break;
        }
    }
    fta_cors_rules_free(rules);
}

int
main(void)
{
    test_the_response_to_an_allowed_origin_permits_it();
    test_the_response_to_another_origin_permits_nothing();
    test_a_path_that_is_not_covered_gets_no_field();
    test_where_every_origin_is_allowed_all_get_one_response();
    test_the_response_to_a_preflight_lists_methods_and_headers();
    test_a_method_is_allowed_if_the_route_and_the_rules_have_it();
    test_all_methods_are_those_of_the_route_each_once();
    test_requested_headers_are_repeated_if_all_are_names();
    test_a_preflight_is_an_options_request_with_a_method_and_an_origin();
    test_a_preflight_without_memory_fails();
    return check_report("test_cors_fields");
}
