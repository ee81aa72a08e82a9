#include "http/cors_fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/cors_rules.h"

#define LITERAL(text) ((fta_text){text, sizeof(text) - 1})

static const char PREFLIGHT_VARY[] =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/* The kinds of responses that depend on the rules alone: to a path that is not
 * covered; to no origin, one that is not allowed, or any origin where all are;
 * and to each of the listed origins. */
enum { KIND_NOT_COVERED, KIND_OTHERS, KIND_LISTED };

bool
fta_cors_reads_requested(fta_text method)
{
    return fta_text_is(method, "OPTIONS");
}

/* Whether a request has the method and the field of a preflight. */
static bool
asks_for_method(const fta_cors_request *request)
{
    return request->requested_method.data != NULL &&
           fta_cors_reads_requested(request->method);
}

bool
fta_cors_is_preflight(const fta_cors_rules *rules,
                      const fta_cors_request *request)
{
    return asks_for_method(request) && request->origin.data != NULL &&
           fta_cors_covers(rules, request->path);
}

fta_cors_kind
fta_cors_kind_of(const fta_cors_rules *rules, const fta_cors_request *request)
{
    if (!fta_cors_covers(rules, request->path)) {
        return KIND_NOT_COVERED;
    }
    if (asks_for_method(request)) {
        return FTA_CORS_OF_REQUEST;
    }
    if (rules->any_origin || request->origin.data == NULL) {
        return KIND_OTHERS;
    }
    size_t found = fta_cors_find_listed(rules, request->origin);
    if (found < rules->listed_count) {
        return KIND_LISTED + found;
    }
    return fta_cors_is_below(rules, request->origin) ? FTA_CORS_OF_REQUEST
                                                     : KIND_OTHERS;
}

size_t
fta_cors_fixed_count(const fta_cors_rules *rules)
{
    return KIND_LISTED + rules->listed_count;
}

static void
add_credentials(const fta_cors_rules *rules, fta_fields *fields)
{
    if (rules->credentials) {
        fta_fields_add(fields, FTA_FIELD_ALLOW_CREDENTIALS, LITERAL("true"));
    }
}

static void
add_permission(const fta_cors_rules *rules, fta_text allowed,
               fta_fields *fields)
{
    fta_fields_add(fields, FTA_FIELD_ALLOW_ORIGIN, allowed);
    add_credentials(rules, fields);
    if (rules->expose_headers_value.length > 0) {
        fta_fields_add(fields, FTA_FIELD_EXPOSE_HEADERS,
                       rules->expose_headers_value);
    }
}

void
fta_cors_add_fixed(const fta_cors_rules *rules, fta_cors_kind kind,
                   fta_fields *fields)
{
    if (kind == KIND_NOT_COVERED) {
        return;
    }
    if (rules->any_origin) {
        /* One response for all: it does not vary. */
        add_permission(rules, LITERAL("*"), fields);
        return;
    }
    fta_fields_add(fields, FTA_FIELD_VARY, LITERAL("Origin"));
    if (kind >= KIND_LISTED) {
        add_permission(rules, rules->listed[kind - KIND_LISTED], fields);
    }
}

/* By octets, as C and Python sort ASCII. */
static int
compare(const void *one, const void *other)
{
    const fta_text *a = one, *b = other;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = shorter == 0 ? 0 : memcmp(a->data, b->data, shorter);
    if (order != 0) {
        return order;
    }
    return a->length < b->length ? -1 : a->length > b->length;
}

/* The methods of a route, as its Allow fields have them: sorted, each once.
 * *methods is from fta_malloc. */
static fta_status
methods_of_route(fta_text_list allow, fta_text **methods, size_t *count)
{
    size_t most = 1; /* never nothing: malloc(0) may be NULL */
    for (size_t i = 0; i < allow.count; i++) {
        most++;
        for (size_t j = 0; j < allow.items[i].length; j++) {
            most += allow.items[i].data[j] == ',';
        }
    }
    fta_text *found = fta_calloc(most, sizeof *found);
    if (found == NULL) {
        return FTA_NO_MEMORY;
    }
    size_t all = 0, different = 0;
    for (size_t i = 0; i < allow.count; i++) {
        fta_comma_list left = {allow.items[i], false};
        fta_text method;
        while (fta_comma_list_next(&left, &method)) {
            if (method.length > 0) {
                found[all++] = method;
            }
        }
    }
    qsort(found, all, sizeof *found, compare);
    for (size_t i = 0; i < all; i++) {
        if (different == 0 || !fta_text_equal(found[different - 1], found[i])) {
            found[different++] = found[i];
        }
    }
    *methods = found;
    *count = different;
    return FTA_OK;
}

/* The list as one value of a field, from fta_malloc. */
static fta_status
add_list(fta_fields *fields, fta_field_name name, fta_text_list list)
{
    char *value = fta_malloc(fta_text_list_room(list) + 1);
    if (value == NULL) {
        return FTA_NO_MEMORY;
    }
    char *end = value;
    fta_text written = fta_text_list_join(list, &end);
    fta_fields_add_owned(fields, name, value, written.length);
    return FTA_OK;
}

/* The requested names in place of "*", which browsers take for a name in
 * responses to requests with credentials; nothing if one of them is no name. */
static fta_status
add_requested_headers(fta_text requested, fta_fields *fields)
{
    fta_text name;
    fta_comma_list left = {requested, false};
    size_t count = 0;
    if (requested.length > FTA_CORS_REQUESTED_MAX) {
        return FTA_OK;
    }
    while (fta_comma_list_next(&left, &name)) {
        if (!fta_is_http_token(name) || fta_text_is(name, "*")) {
            return FTA_OK;
        }
        count++;
    }
    fta_text *headers = fta_calloc(count, sizeof *headers);
    if (headers == NULL) {
        return FTA_NO_MEMORY;
    }
    left = (fta_comma_list){requested, false};
    for (size_t i = 0; fta_comma_list_next(&left, &name); i++) {
        headers[i] = name;
    }
    fta_status status = add_list(fields, FTA_FIELD_ALLOW_HEADERS,
                                 (fta_text_list){headers, count});
    fta_free(headers);
    return status;
}

/* The permission for the requested method, which the route has. */
static fta_status
add_method_permission(const fta_cors_rules *rules,
                      const fta_cors_request *request, fta_text_list route,
                      fta_fields *fields)
{
    fta_status status = FTA_OK;
    add_credentials(rules, fields);
    if (rules->any_method) {
        status = add_list(fields, FTA_FIELD_ALLOW_METHODS, route);
    } else {
        fta_fields_add(fields, FTA_FIELD_ALLOW_METHODS, rules->methods_value);
    }
    if (status == FTA_OK && rules->any_header) {
        status = add_requested_headers(request->requested_headers, fields);
    } else if (status == FTA_OK && rules->allow_headers_value.length > 0) {
        fta_fields_add(fields, FTA_FIELD_ALLOW_HEADERS,
                       rules->allow_headers_value);
    }
    fta_fields_add(fields, FTA_FIELD_MAX_AGE, rules->max_age_value);
    return status;
}

/* No permission for a method that the route lacks, or that no page may use. */
static fta_status
add_preflight(const fta_cors_rules *rules, const fta_cors_request *request,
              fta_text_list allow, fta_fields *fields)
{
    fta_text *route;
    size_t count;
    fta_fields_add(fields, FTA_FIELD_VARY, LITERAL(PREFLIGHT_VARY));
    if (rules->any_origin) {
        fta_fields_add(fields, FTA_FIELD_ALLOW_ORIGIN, LITERAL("*"));
    } else if (request->origin.data != NULL &&
               fta_cors_allows(rules, request->origin)) {
        fta_fields_add(fields, FTA_FIELD_ALLOW_ORIGIN, request->origin);
    } else {
        return FTA_OK;
    }
    fta_status status = methods_of_route(allow, &route, &count);
    if (status != FTA_OK) {
        return status;
    }
    fta_text requested = request->requested_method;
    fta_text_list methods = {route, count};
    fta_text_list allowed = {rules->methods, rules->method_count};
    if (fta_text_list_has(methods, requested) &&
        (rules->any_method || fta_text_list_has(allowed, requested))) {
        status = add_method_permission(rules, request, methods, fields);
    }
    fta_free(route);
    return status;
}

fta_status
fta_cors_add_of_request(const fta_cors_rules *rules,
                        const fta_cors_request *request, fta_text_list allow,
                        fta_fields *fields)
{
    if (asks_for_method(request)) {
        return add_preflight(rules, request, allow, fields);
    }
    fta_fields_add(fields, FTA_FIELD_VARY, LITERAL("Origin"));
    add_permission(rules, request->origin, fields);
    return FTA_OK;
}
