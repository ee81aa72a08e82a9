/* Which paths are covered and which origins are allowed. Every text ends at the
 * end of a page. */
#include "http/cors.h"

#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"

enum { MOST = 8 };

static fta_cors_rules *
rules_of(const char *const *resources, const char *const *origins)
{
    fta_text paths[MOST], names[MOST];
    fta_cors_config config = {.resources = paths, .origins = names};
    for (; resources[config.resource_count] != NULL; config.resource_count++) {
        const char *text = resources[config.resource_count];
        paths[config.resource_count] = (fta_text){text, strlen(text)};
    }
    for (; origins[config.origin_count] != NULL; config.origin_count++) {
        const char *text = origins[config.origin_count];
        names[config.origin_count] = (fta_text){text, strlen(text)};
    }
    return fta_cors_rules_new(&config);
}

static bool
covers(const fta_cors_rules *rules, const char *path)
{
    guarded copy = guarded_copy(path, strlen(path));
    bool covered = fta_cors_covers(rules, (fta_text){copy.text, strlen(path)});
    guarded_free(&copy);
    return covered;
}

static fta_cors_match
match(const fta_cors_rules *rules, const char *origin, size_t *place)
{
    guarded copy = guarded_copy(origin, strlen(origin));
    fta_cors_match found = fta_cors_match_origin(
        rules, (fta_text){copy.text, strlen(origin)}, place);
    guarded_free(&copy);
    return found;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define EMPTY ((const char *const[]){NULL})

static void
test_a_resource_covers_what_is_below_it(void)
{
    fta_cors_rules *rules = rules_of(LIST("/api/", "/exact"), EMPTY);
    CHECK(covers(rules, "/api/x"));
    CHECK(covers(rules, "/api/"));
    CHECK(!covers(rules, "/api"));
    CHECK(!covers(rules, "/apis/x"));
    CHECK(covers(rules, "/exact"));
    CHECK(covers(rules, "/exact/below"));
    CHECK(!covers(rules, "/exactly"));
    CHECK(!covers(rules, "/"));
    CHECK(!covers(rules, ""));
    fta_cors_rules_free(rules);

    rules = rules_of(LIST("/"), EMPTY);
    CHECK(covers(rules, "/"));
    CHECK(covers(rules, ""));
    CHECK(covers(rules, "/any/thing"));
    fta_cors_rules_free(rules);

    rules = rules_of(EMPTY, LIST("*"));
    CHECK(!covers(rules, "/"));
    CHECK(!covers(rules, ""));
    fta_cors_rules_free(rules);
}

static void
test_slashes_at_the_beginning_of_a_path_are_one(void)
{
    fta_cors_rules *rules = rules_of(LIST("/api/"), EMPTY);
    CHECK(covers(rules, "//api/x"));
    CHECK(covers(rules, "///api/x"));
    CHECK(covers(rules, "api/x"));
    CHECK(!covers(rules, "//x/api/"));
    fta_cors_rules_free(rules);
}

static void
test_an_origin_is_allowed_if_it_is_listed(void)
{
    size_t place = 9;
    fta_cors_rules *rules =
        rules_of(LIST("/"), LIST("https://a.example", "https://*.example.com",
                                 "http://localhost:3000"));
    CHECK(match(rules, "https://a.example", &place) == FTA_CORS_LISTED);
    CHECK(place == 0);
    CHECK(match(rules, "http://localhost:3000", &place) == FTA_CORS_LISTED);
    CHECK(place == 2);
    CHECK(match(rules, "http://localhost:300", &place) == FTA_CORS_DENIED);
    CHECK(match(rules, "http://localhost:30000", &place) == FTA_CORS_DENIED);
    CHECK(match(rules, "https://A.example", &place) == FTA_CORS_DENIED);
    CHECK(match(rules, "null", &place) == FTA_CORS_DENIED);
    CHECK(match(rules, "*", &place) == FTA_CORS_DENIED);
    CHECK(match(rules, "", &place) == FTA_CORS_DENIED);
    fta_cors_rules_free(rules);

    rules = rules_of(LIST("/"), LIST("*"));
    CHECK(match(rules, "https://a.example", &place) == FTA_CORS_ANY);
    CHECK(match(rules, "", &place) == FTA_CORS_ANY);
    fta_cors_rules_free(rules);

    rules = rules_of(LIST("/"), EMPTY);
    CHECK(match(rules, "https://a.example", &place) == FTA_CORS_DENIED);
    fta_cors_rules_free(rules);
}

static void
test_hosts_below_a_host_are_allowed_with_its_scheme_and_port(void)
{
    static const char *const allowed[] = {
        "https://a.example.com:8443", "https://a.b.example.com:8443",
        "https://xn--a.example.com:8443", "https://a_b-1.example.com:8443",
        "https://example.com.example.com:8443"};
    static const char *const denied[] = {"https://example.com:8443",
                                         "https://.example.com:8443",
                                         "https://a..example.com:8443",
                                         "https://.a.example.com:8443",
                                         "https://a.example.com",
                                         "https://a.example.com:443",
                                         "https://a.example.com:84430",
                                         "https://a.example.com:8443/",
                                         "http://a.example.com:8443",
                                         "https://A.example.com:8443",
                                         "https://a/.example.com:8443",
                                         "https://evil@a.example.com:8443",
                                         "https://a:1.example.com:8443",
                                         "https://aexample.com:8443",
                                         "https://*.example.com:8443",
                                         "https://\xe9.example.com:8443",
                                         "https://"};
    size_t place;
    fta_cors_rules *rules =
        rules_of(LIST("/"), LIST("https://*.example.com:8443"));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        CHECK(match(rules, allowed[i], &place) == FTA_CORS_BELOW);
    }
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        CHECK(match(rules, denied[i], &place) == FTA_CORS_DENIED);
    }
    fta_cors_rules_free(rules);
}

static void
test_labels_and_hosts_have_a_greatest_length(void)
{
    size_t place;
    char origin[400];
    fta_cors_rules *rules = rules_of(LIST("/"), LIST("https://*.example"));
    for (int label = 62; label <= 65; label++) {
        memset(origin, 0, sizeof origin);
        memcpy(origin, "https://", 8);
        memset(origin + 8, 'a', (size_t)label);
        memcpy(origin + 8 + label, ".example", 8);
        CHECK((match(rules, origin, &place) == FTA_CORS_BELOW) ==
              (label <= FTA_CORS_LABEL_MAX));
    }
    for (int host = 250; host <= 256; host++) {
        memset(origin, 0, sizeof origin);
        memcpy(origin, "https://", 8);
        for (int i = 0; i < host - 8; i++) {
            origin[8 + i] = i % 50 == 49 && i + 1 < host - 8 ? '.' : 'a';
        }
        memcpy(origin + host, ".example", 8);
        CHECK((match(rules, origin, &place) == FTA_CORS_BELOW) ==
              (host <= FTA_CORS_HOST_MAX));
    }
    fta_cors_rules_free(rules);
}

static void
test_rules_without_memory_are_none(void)
{
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_cors_rules *rules =
            rules_of(LIST("/api/"), LIST("https://a.example"));
        bool failed = failing_alloc_stop();
        CHECK((rules == NULL) == failed);
        fta_cors_rules_free(rules);
        if (!failed) {
            CHECK(n > 0);
            break;
        }
    }
}

int
main(void)
{
    test_a_resource_covers_what_is_below_it();
    test_slashes_at_the_beginning_of_a_path_are_one();
    test_an_origin_is_allowed_if_it_is_listed();
    test_hosts_below_a_host_are_allowed_with_its_scheme_and_port();
    test_labels_and_hosts_have_a_greatest_length();
    test_rules_without_memory_are_none();
    return check_report("test_cors");
}
