#include "redis/url.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "guarded.h"

static fta_redis_url *
parse(const char *text, const char **problem)
{
    fta_redis_url *url = NULL;
    guarded copy = guarded_copy(text, strlen(text));
    fta_status status =
        fta_redis_url_parse(copy.text, strlen(text), &url, problem);
    guarded_free(&copy);
    CHECK((status == FTA_OK) == (url != NULL));
    CHECK((status == FTA_OK) == (*problem == NULL));
    return url;
}

static fta_redis_url *
good(const char *text)
{
    const char *problem;
    fta_redis_url *url = parse(text, &problem);
    if (url == NULL) {
        fprintf(stderr, "%s: %s\n", text, problem);
        abort();
    }
    return url;
}

static bool
same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
test_the_parts_of_a_tcp_url_are_read(void)
{
    static const struct {
        const char *text, *host;
        unsigned port, database;
        const char *user, *password;
    } cases[] = {
        {"redis://localhost:6379/0", "localhost", 6379, 0, NULL, NULL},
        {"redis://localhost", "localhost", 6379, 0, NULL, NULL},
        {"redis://", "localhost", 6379, 0, NULL, NULL},
        {"redis:///3", "localhost", 6379, 3, NULL, NULL},
        {"REDIS://h/15", "h", 6379, 15, NULL, NULL},
        {"redis://:1234", "localhost", 1234, 0, NULL, NULL},
        {"redis://[::1]:7000/1", "::1", 7000, 1, NULL, NULL},
        {"redis://[fe80::1]", "fe80::1", 6379, 0, NULL, NULL},
        {"redis://:secret@h", "h", 6379, 0, NULL, "secret"},
        {"redis://ann:secret@h:1/2", "h", 1, 2, "ann", "secret"},
        {"redis://a%3Ab:p%40%2F%25@h", "h", 6379, 0, "a:b", "p@/%"},
        {"redis://:p@ss@h", "h", 6379, 0, NULL, "p@ss"},
        {"redis://:a:b@h", "h", 6379, 0, NULL, "a:b"},
        {"redis://h?db=4&password=x", "h", 6379, 4, NULL, "x"},
        {"redis://h?username=u&password=x", "h", 6379, 0, "u", "x"},
        {"redis://:@h", "h", 6379, 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_url *url = good(cases[i].text);
        CHECK(url->kind == FTA_REDIS_TCP && !url->tls && !url->cluster);
        CHECK(url->host_count == 1);
        CHECK(same(url->hosts[0].name, cases[i].host));
        CHECK(url->hosts[0].port == cases[i].port);
        CHECK(url->database == cases[i].database);
        CHECK(same(url->user, cases[i].user));
        CHECK(same(url->password, cases[i].password));
        CHECK(url->max_connections == 32);
        fta_redis_url_free(url);
    }
}

static void
test_the_parameters_of_tls_are_read(void)
{
    fta_redis_url *url =
        good("rediss://h?ssl_ca_certs=/ca%20x.pem&ssl_certfile=c&ssl_keyfile=k"
             "&ssl_server_name=n&ssl_cert_reqs=required"
             "&ssl_check_hostname=true&max_connections=7");
    CHECK(url->tls && url->kind == FTA_REDIS_TCP);
    CHECK(same(url->ca_file, "/ca x.pem") && same(url->cert_file, "c"));
    CHECK(same(url->key_file, "k") && same(url->server_name, "n"));
    CHECK(url->max_connections == 7);
    fta_redis_url_free(url);
}

static void
test_the_path_of_a_unix_url_is_read(void)
{
    fta_redis_url *url = good("unix:///run/redis/redis.sock?db=2");
    CHECK(url->kind == FTA_REDIS_UNIX && url->host_count == 0);
    CHECK(same(url->path, "/run/redis/redis.sock") && url->database == 2);
    fta_redis_url_free(url);
    url = good("unix://u:p@/a%3Fb");
    CHECK(same(url->path, "/a?b") && same(url->user, "u"));
    fta_redis_url_free(url);
}

static void
test_the_hosts_of_sentinels_and_clusters_are_read(void)
{
    fta_redis_url *url =
        good("redis+sentinel://:pw@a,b:1,[::2]:3/mymaster/5?sentinel_username=s"
             "&sentinel_password=q");
    CHECK(url->kind == FTA_REDIS_SENTINEL && url->host_count == 3);
    CHECK(same(url->hosts[0].name, "a") && url->hosts[0].port == 26379);
    CHECK(same(url->hosts[1].name, "b") && url->hosts[1].port == 1);
    CHECK(same(url->hosts[2].name, "::2") && url->hosts[2].port == 3);
    CHECK(same(url->service, "mymaster") && url->database == 5);
    CHECK(same(url->password, "pw") && same(url->sentinel_user, "s"));
    CHECK(same(url->sentinel_password, "q"));
    fta_redis_url_free(url);
    url = good("rediss+sentinel://a/m");
    CHECK(url->tls && same(url->service, "m"));
    fta_redis_url_free(url);
    url = good("redis://a,b,c?cluster=true");
    CHECK(url->cluster && url->host_count == 3);
    fta_redis_url_free(url);
}

/* The problem never quotes the URL, which may hold a password. */
static void
test_a_url_that_is_not_valid_has_a_problem_without_its_words(void)
{
    static const char *const cases[] = {
        "",
        "redis",
        "redis:",
        "redis:/",
        "://h",
        "http://h",
        "rediss+unix://h",
        "redis://u:se/same@h/0",
        "redis://:1/sesame@h/0",
        "redis+sentinel://:1/sesame@h/m",
        "redis+sentinel://h/m@x",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h:1234567",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/-1",
        "redis://h/65536",
        "redis://h?db=",
        "redis://[::1",
        "redis://[]",
        "redis://[::1]x",
        "redis://sesame@h",
        "redis://sesame:@h",
        "redis://:sesame%@h",
        "redis://:sesame%4@h",
        "redis://:sesame%4",
        "redis://h?password=sesame%4",
        "redis://:sesame%zz@h",
        "redis://:sesame%00@h",
        "redis://:sesame #@h",
        "redis://:sesame\x01@h",
        "redis://:sesame#@h",
        "redis://:sesame@h?x=1",
        "redis://:sesame@h?cluster",
        "redis://:sesame@h?cluster=maybe",
        "redis://:sesame@h?cluster=true&",
        "redis://:sesame@h?password=",
        "redis://:sesame@h/1?cluster=true",
        "redis://:sesame@h,i",
        "redis://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a?cluster=true",
        "redis://:sesame@h?ssl_ca_certs=x",
        "rediss://:sesame@h?ssl_cert_reqs=none",
        "rediss://:sesame@h?ssl_check_hostname=false",
        "rediss://:sesame@h?ssl_certfile=x",
        "rediss://:sesame@h?ssl_keyfile=x",
        "redis://:sesame@h?max_connections=0",
        "redis://:sesame@h?max_connections=257",
        "redis://:sesame@h?sentinel_password=x",
        "unix://:sesame@h/path",
        "unix://",
        "unix:///",
        "unix:///x?cluster=true",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/m/x",
        "redis+sentinel://h/m?cluster=true",
        "redis+sentinel://h/m?sentinel_username=x",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *problem = NULL;
        fta_redis_url *url = parse(cases[i], &problem);
        if (url != NULL) {
            fprintf(stderr, "accepted: %s\n", cases[i]);
        }
        CHECK(url == NULL);
        CHECK(problem != NULL && strstr(problem, "sesame") == NULL);
        fta_redis_url_free(url);
    }
}

static void
test_the_lengths_of_a_url_and_a_host_are_bounded(void)
{
    char text[FTA_REDIS_URL_MAX + 2];
    memset(text, 'a', sizeof(text));
    memcpy(text, "redis://", 8);
    fta_redis_url *url;
    const char *problem;
    /* A host name of 255 bytes is the longest. */
    CHECK(fta_redis_url_parse(text, 8 + 255, &url, &problem) == FTA_OK);
    fta_redis_url_free(url);
    CHECK(fta_redis_url_parse(text, 8 + 256, &url, &problem) ==
          FTA_BAD_ARGUMENT);
    memcpy(text, "unix:///", 8);
    CHECK(fta_redis_url_parse(text, FTA_REDIS_URL_MAX, &url, &problem) ==
          FTA_OK);
    fta_redis_url_free(url);
    CHECK(fta_redis_url_parse(text, FTA_REDIS_URL_MAX + 1, &url, &problem) ==
          FTA_BAD_ARGUMENT);
    CHECK(fta_redis_url_parse(NULL, 0, &url, &problem) == FTA_BAD_ARGUMENT);
}

static void
test_a_description_has_no_secrets(void)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"rediss://u:sesame@h/2?ssl_ca_certs=x", "rediss://h:6379/2"},
        {"redis://[::1]", "redis://[::1]:6379"},
        {"unix://:sesame@/a/b?db=1", "unix:///a/b?db=1"},
        {"redis+sentinel://:sesame@a,b/m/1",
         "redis+sentinel://a:26379,b:26379/m/1"},
    };
    char shown[100];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fta_redis_url *url = good(cases[i].text);
        fta_redis_url_describe(url, shown, sizeof(shown));
        CHECK(same(shown, cases[i].shown));
        for (size_t size = 1; size <= strlen(cases[i].shown); size++) {
            fta_redis_url_describe(url, shown, size);
            CHECK(strlen(shown) == size - 1 &&
                  strncmp(shown, cases[i].shown, size - 1) == 0);
        }
        fta_redis_url_free(url);
    }
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    const char text[] = "redis://u:p@h:1/2";
    for (long n = 0;; n++) {
        fta_redis_url *url;
        const char *problem;
        failing_alloc_start(n);
        fta_status status =
            fta_redis_url_parse(text, strlen(text), &url, &problem);
        if (!failing_alloc_stop()) {
            CHECK(n > 0 && status == FTA_OK);
            fta_redis_url_free(url);
            break;
        }
        CHECK(status == FTA_NO_MEMORY && url == NULL);
    }
}

int
main(void)
{
    test_the_parts_of_a_tcp_url_are_read();
    test_the_parameters_of_tls_are_read();
    test_the_path_of_a_unix_url_is_read();
    test_the_hosts_of_sentinels_and_clusters_are_read();
    test_a_url_that_is_not_valid_has_a_problem_without_its_words();
    test_the_lengths_of_a_url_and_a_host_are_bounded();
    test_a_description_has_no_secrets();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_redis_url");
}
