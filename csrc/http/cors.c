#include "http/cors.h"

#include <string.h>

#include "base/alloc.h"
#include "http/cors_rules.h"

#define SUBDOMAINS "//*."

static bool
begins_with(fta_text text, fta_text prefix)
{
    return text.length >= prefix.length &&
           (prefix.length == 0 ||
            memcmp(text.data, prefix.data, prefix.length) == 0);
}

static fta_text
without_first_slashes(fta_text path)
{
    while (path.length > 0 && path.data[0] == '/') {
        path.data++;
        path.length--;
    }
    return path;
}

/* The place of SUBDOMAINS in an origin, or its length. */
static size_t
find_subdomains(fta_text text)
{
    for (size_t i = 0; i + sizeof SUBDOMAINS - 1 <= text.length; i++) {
        if (memcmp(text.data + i, SUBDOMAINS, sizeof SUBDOMAINS - 1) == 0) {
            return i;
        }
    }
    return text.length;
}

static fta_cors_pattern
pattern_of(fta_text text, size_t slashes)
{
    size_t scheme = slashes + 2;
    fta_cors_pattern made = {
        .scheme = {text.data, scheme},
        .rest = {text.data + scheme + 1, text.length - scheme - 1},
    };
    const char *port = memchr(made.rest.data, ':', made.rest.length);
    made.host_length =
        port == NULL ? made.rest.length : (size_t)(port - made.rest.data);
    return made;
}

/* Copies a text to *end, and moves that behind the copy. */
static fta_text
kept(fta_text text, char **end)
{
    fta_text copy = {*end, text.length};
    if (text.length > 0) {
        memcpy(*end, text.data, text.length);
    }
    *end += text.length;
    return copy;
}

static bool
has_any(fta_text_list list)
{
    return fta_text_list_has(list, (fta_text){"*", 1});
}

static void
add_origin(fta_cors_rules *rules, fta_text text)
{
    size_t slashes = find_subdomains(text);
    if (fta_text_is(text, "*")) {
        rules->any_origin = true;
    } else if (slashes < text.length) {
        rules->patterns[rules->pattern_count++] = pattern_of(text, slashes);
    } else {
        rules->listed[rules->listed_count++] = text;
    }
}

static bool
allocate(fta_cors_rules *rules, const fta_cors_config *config)
{
    size_t room = FTA_DIGITS_MAX + fta_text_list_room(config->resources) +
                  fta_text_list_room(config->origins) +
                  2 * fta_text_list_room(config->methods) +
                  fta_text_list_room(config->allow_headers) +
                  fta_text_list_room(config->expose_headers);
    rules->texts = fta_malloc(room);
    /* Never nothing: calloc(0) may be NULL. */
    rules->resources =
        fta_calloc(config->resources.count + 1, sizeof *rules->resources);
    rules->listed =
        fta_calloc(config->origins.count + 1, sizeof *rules->listed);
    rules->patterns =
        fta_calloc(config->origins.count + 1, sizeof *rules->patterns);
    rules->methods =
        fta_calloc(config->methods.count + 1, sizeof *rules->methods);
    return rules->texts != NULL && rules->resources != NULL &&
           rules->listed != NULL && rules->patterns != NULL &&
           rules->methods != NULL;
}

static void
fill(fta_cors_rules *rules, const fta_cors_config *config)
{
    char *end = rules->texts;
    char digits[FTA_DIGITS_MAX];
    if (config->origins.count > 0) {
        rules->resource_count = config->resources.count;
    }
    for (size_t i = 0; i < rules->resource_count; i++) {
        fta_text resource = kept(config->resources.items[i], &end);
        rules->resources[i] = without_first_slashes(resource);
    }
    for (size_t i = 0; i < config->origins.count; i++) {
        add_origin(rules, kept(config->origins.items[i], &end));
    }
    rules->method_count = config->methods.count;
    for (size_t i = 0; i < rules->method_count; i++) {
        rules->methods[i] = kept(config->methods.items[i], &end);
    }
    rules->any_method = has_any(config->methods);
    rules->any_header = has_any(config->allow_headers);
    rules->credentials = config->credentials;
    rules->methods_value = fta_text_list_join(config->methods, &end);
    rules->allow_headers_value =
        fta_text_list_join(config->allow_headers, &end);
    rules->expose_headers_value =
        fta_text_list_join(config->expose_headers, &end);
    char *start = fta_digits_before(digits + sizeof digits, config->max_age);
    rules->max_age_value =
        kept((fta_text){start, (size_t)(digits + sizeof digits - start)}, &end);
}

fta_cors_rules *
fta_cors_rules_new(const fta_cors_config *config)
{
    fta_cors_rules *rules = fta_calloc(1, sizeof *rules);
    if (rules == NULL) {
        return NULL;
    }
    if (!allocate(rules, config)) {
        fta_cors_rules_free(rules);
        return NULL;
    }
    fill(rules, config);
    return rules;
}

void
fta_cors_rules_free(fta_cors_rules *rules)
{
    if (rules != NULL) {
        fta_free(rules->methods);
        fta_free(rules->patterns);
        fta_free(rules->listed);
        fta_free(rules->resources);
        fta_free(rules->texts);
        fta_free(rules);
    }
}

bool
fta_cors_covers(const fta_cors_rules *rules, fta_text path)
{
    path = without_first_slashes(path);
    for (size_t i = 0; i < rules->resource_count; i++) {
        fta_text resource = rules->resources[i];
        if (!begins_with(path, resource)) {
            continue;
        }
        if (resource.length == 0 || resource.data[resource.length - 1] == '/' ||
            path.length == resource.length ||
            path.data[resource.length] == '/') {
            return true;
        }
    }
    return false;
}

/* What labels of hosts consist of, as browsers write them. */
static bool
is_of_label(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool
are_labels(fta_text text)
{
    size_t length = 0; /* of the label so far */
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '.' && length > 0) {
            length = 0;
        } else if (!is_of_label(text.data[i]) ||
                   ++length > FTA_CORS_LABEL_MAX) {
            return false;
        }
    }
    return length > 0;
}

/* Whether an origin is one or more labels before the host of a pattern, and
 * all else of it the same. */
static bool
is_below(fta_text text, const fta_cors_pattern *above)
{
    size_t fixed = above->scheme.length + above->rest.length;
    if (text.length <= fixed || !begins_with(text, above->scheme) ||
        memcmp(text.data + text.length - above->rest.length, above->rest.data,
               above->rest.length) != 0) {
        return false;
    }
    fta_text labels = {text.data + above->scheme.length, text.length - fixed};
    return labels.length + above->host_length <= FTA_CORS_HOST_MAX &&
           are_labels(labels);
}

size_t
fta_cors_find_listed(const fta_cors_rules *rules, fta_text origin)
{
    size_t i = 0;
    while (i < rules->listed_count &&
           !fta_text_equal(origin, rules->listed[i])) {
        i++;
    }
    return i;
}

bool
fta_cors_is_below(const fta_cors_rules *rules, fta_text origin)
{
    for (size_t i = 0; i < rules->pattern_count; i++) {
        if (is_below(origin, &rules->patterns[i])) {
            return true;
        }
    }
    return false;
}

bool
fta_cors_allows(const fta_cors_rules *rules, fta_text origin)
{
    return rules->any_origin ||
           fta_cors_find_listed(rules, origin) < rules->listed_count ||
           fta_cors_is_below(rules, origin);
}
