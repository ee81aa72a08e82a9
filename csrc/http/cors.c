#include "http/cors.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#define SUBDOMAINS "//*."

/* All origins between scheme and rest: those below one host. */
typedef struct pattern {
    fta_text scheme;    /* "https://" */
    fta_text rest;      /* ".example.com:8443" */
    size_t host_length; /* of ".example.com" */
} pattern;

typedef struct origin {
    fta_text text;
    size_t place;
} origin;

struct fta_cors_rules {
    bool any;
    size_t resource_count;
    size_t listed_count;
    size_t pattern_count;
    fta_text *resources; /* without the slashes at the beginning */
    origin *listed;
    pattern *patterns;
    char *texts; /* Owned: what the texts above point into */
};

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

static pattern
pattern_of(fta_text text, size_t slashes)
{
    size_t scheme = slashes + 2;
    pattern made = {
        .scheme = {text.data, scheme},
        .rest = {text.data + scheme + 1, text.length - scheme - 1},
    };
    const char *port = memchr(made.rest.data, ':', made.rest.length);
    made.host_length =
        port == NULL ? made.rest.length : (size_t)(port - made.rest.data);
    return made;
}

/* Copies a text behind *end, and moves that. */
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

static void
add_origin(fta_cors_rules *rules, fta_text text, size_t place)
{
    size_t slashes = find_subdomains(text);
    if (fta_text_is(text, "*")) {
        rules->any = true;
    } else if (slashes < text.length) {
        rules->patterns[rules->pattern_count++] = pattern_of(text, slashes);
    } else {
        rules->listed[rules->listed_count++] = (origin){text, place};
    }
}

fta_cors_rules *
fta_cors_rules_new(const fta_cors_config *config)
{
    size_t length = 1; /* never nothing: malloc(0) may be NULL */
    fta_cors_rules *rules = fta_calloc(1, sizeof *rules);
    if (rules == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < config->resource_count; i++) {
        length += config->resources[i].length;
    }
    for (size_t i = 0; i < config->origin_count; i++) {
        length += config->origins[i].length;
    }
    rules->texts = fta_malloc(length);
    rules->resources =
        fta_calloc(config->resource_count + 1, sizeof *rules->resources);
    rules->listed = fta_calloc(config->origin_count + 1, sizeof *rules->listed);
    rules->patterns =
        fta_calloc(config->origin_count + 1, sizeof *rules->patterns);
    if (rules->texts == NULL || rules->resources == NULL ||
        rules->listed == NULL || rules->patterns == NULL) {
        fta_cors_rules_free(rules);
        return NULL;
    }
    char *end = rules->texts;
    rules->resource_count = config->resource_count;
    for (size_t i = 0; i < config->resource_count; i++) {
        fta_text resource = kept(config->resources[i], &end);
        rules->resources[i] = without_first_slashes(resource);
    }
    for (size_t i = 0; i < config->origin_count; i++) {
        add_origin(rules, kept(config->origins[i], &end), i);
    }
    return rules;
}

void
fta_cors_rules_free(fta_cors_rules *rules)
{
    if (rules != NULL) {
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
is_below(fta_text text, const pattern *above)
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

fta_cors_match
fta_cors_match_origin(const fta_cors_rules *rules, fta_text text, size_t *place)
{
    if (rules->any) {
        return FTA_CORS_ANY;
    }
    for (size_t i = 0; i < rules->listed_count; i++) {
        if (fta_text_equal(text, rules->listed[i].text)) {
            *place = rules->listed[i].place;
            return FTA_CORS_LISTED;
        }
    }
    for (size_t i = 0; i < rules->pattern_count; i++) {
        if (is_below(text, &rules->patterns[i])) {
            return FTA_CORS_BELOW;
        }
    }
    return FTA_CORS_DENIED;
}
