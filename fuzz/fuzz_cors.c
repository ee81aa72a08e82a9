/* Any octets as a request and as the Allow field of its response, a line each,
 * against rules that do not change. No origin is repeated that is not allowed,
 * none is allowed that is more than labels below a host, no value holds an
 * octet of the request that can end a header field, and a path is covered
 * whatever number of slashes it begins with. */
#include "http/cors_fields.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT(literal) {literal, sizeof(literal) - 1}
#define LIST(array) {array, sizeof(array) / sizeof *(array)}

static const fta_text resources[] = {TEXT("/api/"), TEXT("/exact")};
static const fta_text origins[] = {TEXT("https://a.example"),
                                   TEXT("https://*.example.com:8443")};
static const fta_text all[] = {TEXT("*")};
static const fta_text methods[] = {TEXT("GET"), TEXT("PUT")};
static const fta_text headers[] = {TEXT("X-A"), TEXT("X-B")};
static const fta_cors_config listed = {.resources = LIST(resources),
                                       .origins = LIST(origins),
                                       .methods = LIST(methods),
                                       .allow_headers = LIST(headers),
                                       .expose_headers = LIST(headers),
                                       .max_age = 600,
                                       .credentials = true};
static const fta_cors_config open = {.resources = LIST(resources),
                                     .origins = LIST(all),
                                     .methods = LIST(all),
                                     .allow_headers = LIST(all)};
enum { LINES = 6 };

static const char SCHEME[] = "https://", REST[] = ".example.com:8443";

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void
check_below(fta_text text)
{
    size_t scheme = sizeof SCHEME - 1, rest = sizeof REST - 1;
    require(text.length > scheme + rest);
    require(memcmp(text.data, SCHEME, scheme) == 0);
    require(memcmp(text.data + text.length - rest, REST, rest) == 0);
    for (size_t i = scheme; i < text.length - rest; i++) {
        char c = text.data[i];
        require(c != '\0' &&
                strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", c) != NULL);
        require(c != '.' || text.data[i + 1] != '.');
    }
}

static void
check_path(const fta_cors_rules *rules, fta_text path)
{
    char *slashed = malloc(path.length + 2);
    require(slashed != NULL);
    memcpy(slashed, "//", 2);
    if (path.length > 0) {
        memcpy(slashed + 2, path.data, path.length);
    }
    require(fta_cors_covers(rules, path) ==
            fta_cors_covers(rules, (fta_text){slashed, path.length + 2}));
    free(slashed);
}

static void
check_field(const fta_field *field, fta_text origin)
{
    fta_text value = field->value;
    for (size_t i = 0; i < value.length; i++) {
        /* Those of methods are of the application's own Allow field. */
        require(field->name == FTA_FIELD_ALLOW_METHODS ||
                (value.data[i] >= ' ' && value.data[i] <= '~'));
    }
    if (field->name == FTA_FIELD_ALLOW_ORIGIN && !fta_text_is(value, "*")) {
        require(fta_text_equal(value, origin));
    }
}

static void
check(const fta_cors_rules *rules, const fta_cors_request *request,
      fta_text allow)
{
    bool permitted = false, vary = false;
    fta_fields fields;
    fta_fields_init(&fields);
    fta_cors_kind kind = fta_cors_kind_of(rules, request);
    if (kind == FTA_CORS_OF_REQUEST) {
        require(fta_cors_add_of_request(rules, request,
                                        (fta_text_list){&allow, 1},
                                        &fields) == FTA_OK);
    } else {
        require(kind < fta_cors_fixed_count(rules));
        fta_cors_add_fixed(rules, kind, &fields);
    }
    for (size_t i = 0; i < fields.count; i++) {
        check_field(&fields.items[i], request->origin);
        permitted |= fields.items[i].name == FTA_FIELD_ALLOW_ORIGIN;
        vary |= fields.items[i].name == FTA_FIELD_VARY;
    }
    bool covered = fta_cors_covers(rules, request->path);
    bool is_open = fta_cors_allows(rules, (fta_text){"", 0});
    require(
        permitted ==
        (covered && (is_open || (request->origin.data != NULL &&
                                 fta_cors_allows(rules, request->origin)))));
    require(vary == (covered && (!is_open || kind == FTA_CORS_OF_REQUEST)));
    fta_fields_clear(&fields);
}

/* A line in memory of its own, so that one octet too far is found; absent where
 * there is none. */
static fta_text
take_line(const uint8_t **data, size_t *size, char **copy)
{
    *copy = NULL;
    if (*size == 0) {
        return (fta_text){NULL, 0};
    }
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t length = end == NULL ? *size : (size_t)(end - *data);
    *copy = malloc(length + 1);
    require(*copy != NULL);
    memcpy(*copy + 1, *data, length);
    *size -= length + (end != NULL);
    *data += length + (end != NULL);
    return (fta_text){*copy + 1, length};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fta_cors_rules *of_listed, *of_open;
    fta_text lines[LINES];
    char *copies[LINES];
    if (of_listed == NULL) {
        of_listed = fta_cors_rules_new(&listed);
        of_open = fta_cors_rules_new(&open);
        require(of_listed != NULL && of_open != NULL);
    }
    for (size_t i = 0; i < LINES; i++) {
        lines[i] = take_line(&data, &size, &copies[i]);
    }
    const fta_cors_request request = {lines[0], lines[1], lines[2], lines[3],
                                      lines[4]};
    fta_text allow = lines[5];
    check_path(of_listed, request.path);
    if (fta_cors_allows(of_listed, request.origin) &&
        !fta_text_equal(request.origin, origins[0])) {
        check_below(request.origin);
    }
    check(of_listed, &request, allow);
    check(of_open, &request, allow);
    for (size_t i = 0; i < LINES; i++) {
        free(copies[i]);
    }
    return 0;
}
