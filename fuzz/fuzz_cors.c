/* Any octets as a path and as an origin, against rules that do not change. What
 * is allowed below a host has one more label and nothing else than it; a path
 * is covered whatever number of slashes it begins with. */
#include "http/cors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT(literal) {literal, sizeof(literal) - 1}

static const fta_text resources[] = {TEXT("/api/"), TEXT("/exact")};
static const fta_text origins[] = {TEXT("https://a.example"),
                                   TEXT("https://*.example.com:8443")};
static const char SCHEME[] = "https://", REST[] = ".example.com:8443";

static void
check_below(const char *text, size_t length)
{
    size_t scheme = sizeof SCHEME - 1, rest = sizeof REST - 1;
    if (length <= scheme + rest || memcmp(text, SCHEME, scheme) != 0 ||
        memcmp(text + length - rest, REST, rest) != 0) {
        abort();
    }
    for (size_t i = scheme; i < length - rest; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", text[i]) ==
                NULL ||
            text[i] == '\0' || (text[i] == '.' && text[i + 1] == '.')) {
            abort();
        }
    }
}

static void
check_path(const fta_cors_rules *rules, const char *text, size_t length)
{
    char *slashed = malloc(length + 2);
    if (slashed == NULL) {
        return;
    }
    memcpy(slashed, "//", 2);
    memcpy(slashed + 2, text, length);
    if (fta_cors_covers(rules, (fta_text){text, length}) !=
        fta_cors_covers(rules, (fta_text){slashed, length + 2})) {
        abort();
    }
    free(slashed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fta_cors_rules *rules;
    size_t place = 0;
    if (rules == NULL) {
        rules =
            fta_cors_rules_new(&(fta_cors_config){resources, 2, origins, 2});
    }
    char *copy = malloc(size + 1); /* A byte too far is found by ASan. */
    if (rules == NULL || copy == NULL) {
        return 0;
    }
    char *text = copy + 1;
    if (size > 0) {
        memcpy(text, data, size);
    }
    check_path(rules, text, size);
    switch (fta_cors_match_origin(rules, (fta_text){text, size}, &place)) {
    case FTA_CORS_LISTED:
        if (place != 0 || size != origins[0].length ||
            memcmp(text, origins[0].data, size) != 0) {
            abort();
        }
        break;
    case FTA_CORS_BELOW:
        check_below(text, size);
        break;
    case FTA_CORS_ANY:
        abort();
    case FTA_CORS_DENIED:
        break;
    }
    free(copy);
    return 0;
}
