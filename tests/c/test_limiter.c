#include "limit/limiter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "check.h"
#include "failing_alloc.h"
#include "limit/shm/table.h"

static const fta_uuid tenant = {{1, 2, 3}}, other_tenant = {{9, 2, 3}};
static const fta_uuid user = {{4, 5, 6}}, other_user = {{7, 5, 6}};

static fta_text
text(const char *of)
{
    return (fta_text){of, strlen(of)};
}

static fta_limiter_options
options_of(const fta_strategy *strategy)
{
    return (fta_limiter_options){.strategy = strategy,
                                 .store = {.shm_bytes = 1 << 20,
                                           .app = text("a"),
                                           .prefix = text("p"),
                                           .timeout_ms = 50}};
}

static fta_limiter *
open_limiter(const fta_limiter_options *options)
{
    fta_limiter *limiter = NULL;
    fta_store_problem problem;
    CHECK(fta_limiter_open(options, &limiter, &problem) == FTA_OK);
    if (limiter == NULL) {
        exit(check_report("test_limiter"));
    }
    return limiter;
}

static fta_limit
limit_of(fta_per per, uint32_t limit, const char *scope)
{
    return (fta_limit){
        .rate = {limit, 1000}, .cost = 1, .per = per, .scope = text(scope)};
}

static const fta_requester somebody = {
    .tenant_id = &tenant, .user_id = &user, .address = {"192.0.2.1", 9}};

static fta_status
ask(fta_limiter *limiter, fta_action action, const fta_limit *const *limits,
    size_t count, const fta_requester *requester, const char **store,
    fta_verdict *verdict)
{
    const fta_limiter_request request = {action, limits, count, requester};
    fta_limiter_answer answer = {.verdict = *verdict};
    fta_status status = fta_limiter_hit(limiter, &request, NULL, &answer);
    *store = answer.store;
    *verdict = answer.verdict;
    return status;
}

/* A fact of a limiter; NULL where it has none of that name. */
static const fta_fact *
fact_of(const fta_limiter *limiter, const char *name)
{
    static fta_facts facts;
    fta_limiter_read(limiter, &facts);
    for (size_t i = 0; i < facts.count; i++) {
        if (strcmp(facts.facts[i].name, name) == 0) {
            return &facts.facts[i];
        }
    }
    return NULL;
}

/* How much of a limit a requester has left. */
static uint32_t
left(fta_limiter *limiter, const fta_limit *limit,
     const fta_requester *requester)
{
    const char *store;
    fta_verdict verdict = {.index = 0};
    CHECK(ask(limiter, FTA_PEEK, &limit, 1, requester, &store, &verdict) ==
          FTA_OK);
    CHECK(strcmp(store, "memory") == 0);
    return verdict.remaining;
}

static bool
hit(fta_limiter *limiter, const fta_limit *limit,
    const fta_requester *requester)
{
    const char *store;
    fta_verdict verdict = {.index = 0};
    CHECK(ask(limiter, FTA_COUNT, &limit, 1, requester, &store, &verdict) ==
          FTA_OK);
    return verdict.allowed;
}

/* Whether these two are counted as one. */
static bool
is_one_counter(const fta_limit *limit_a, const fta_requester *a,
               const fta_limit *limit_b, const fta_requester *b)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter = open_limiter(&options);
    CHECK(left(limiter, limit_b, b) == limit_b->rate.limit);
    CHECK(hit(limiter, limit_a, a));
    CHECK(left(limiter, limit_a, a) == limit_a->rate.limit - 1);
    bool one = left(limiter, limit_b, b) == limit_b->rate.limit - 1;
    fta_limiter_close(limiter);
    return one;
}

static bool
is_one_subject(fta_per per, const fta_requester *a, const fta_requester *b)
{
    fta_limit limit = limit_of(per, 10, "scope");
    return is_one_counter(&limit, a, &limit, b);
}

static void
test_a_limit_counts_the_subject_that_per_names(void)
{
    fta_requester colleague = somebody, namesake = somebody, roaming = somebody;
    colleague.user_id = &other_user;
    namesake.tenant_id = &other_tenant;
    roaming.address = text("198.51.100.7");

    CHECK(is_one_subject(FTA_PER_USER, &somebody, &roaming));
    CHECK(!is_one_subject(FTA_PER_USER, &somebody, &colleague));
    CHECK(!is_one_subject(FTA_PER_USER, &somebody, &namesake));
    CHECK(!is_one_subject(FTA_PER_MEMBER, &somebody, &colleague));
    CHECK(is_one_subject(FTA_PER_TENANT, &somebody, &colleague));
    CHECK(!is_one_subject(FTA_PER_TENANT, &somebody, &namesake));
    CHECK(is_one_subject(FTA_PER_ADDRESS, &somebody, &colleague));
    CHECK(!is_one_subject(FTA_PER_ADDRESS, &somebody, &roaming));
}

static void
test_every_requester_has_a_subject(void)
{
    static const fta_per pers[] = {FTA_PER_USER, FTA_PER_MEMBER, FTA_PER_TENANT,
                                   FTA_PER_ADDRESS, FTA_PER_CUSTOM};
    const fta_requester stranger = {.address = {"192.0.2.1", 9}};
    const fta_requester elsewhere = {.address = {"192.0.2.2", 9}};
    const fta_requester nowhere = {.address = {NULL, 0}};
    const fta_text empty[] = {{"", 0}};
    fta_requester says_nothing = stranger;
    says_nothing.custom = empty;
    says_nothing.custom_count = 1;
    for (size_t i = 0; i < 5; i++) {
        CHECK(is_one_subject(pers[i], &stranger, &stranger));
        CHECK(!is_one_subject(pers[i], &stranger, &elsewhere));
        CHECK(is_one_subject(pers[i], &nowhere, &nowhere));
        CHECK(is_one_subject(pers[i], &stranger, &says_nothing));
    }
}

static bool
is_one_address(const char *one, const char *other)
{
    const fta_requester a = {.address = text(one)},
                        b = {.address = text(other)};
    return is_one_subject(FTA_PER_ADDRESS, &a, &b);
}

/* Who rents one server has 2^64 addresses to fail to log in from. */
static void
test_a_network_of_ipv6_is_one_client(void)
{
    CHECK(is_one_address("2001:db8::1", "2001:db8::1"));
    CHECK(is_one_address("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
    CHECK(is_one_address("2001:db8::1", "2001:0DB8:0:0:8000::"));
    CHECK(!is_one_address("2001:db8::1", "2001:db8:0:1::1"));
    CHECK(!is_one_address("2001:db8::1", "2001:db9::1"));
    /* IPv4 is IPv4, and each address its own. */
    CHECK(is_one_address("::ffff:192.0.2.1", "192.0.2.1"));
    CHECK(is_one_address("::ffff:c000:201", "192.0.2.1"));
    CHECK(!is_one_address("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    CHECK(!is_one_address("192.0.2.1", "192.0.2.2"));
    CHECK(!is_one_address("10.0.0.1", "3130:2e30:2e30:2e31::"));
    /* Port, brackets and zone are no part of an address: with a proxy that
     * adds the port, each connection would be a client of its own. */
    CHECK(is_one_address("192.0.2.1:1024", "192.0.2.1:65535"));
    CHECK(is_one_address("192.0.2.1:1024", "192.0.2.1"));
    CHECK(is_one_address("[192.0.2.1]:80", "192.0.2.1"));
    CHECK(is_one_address("[2001:db8::1]:1024", "2001:db8::1"));
    CHECK(is_one_address("[2001:db8::1]:1024", "[2001:db8::2]:1025"));
    CHECK(is_one_address("2001:db8::1%eth0", "2001:db8::2%eth1"));
    CHECK(is_one_address("[2001:db8::1%eth0]:1024", "2001:db8::1"));
    CHECK(is_one_address("[::ffff:192.0.2.1]:80", "192.0.2.1:81"));
    CHECK(!is_one_address("192.0.2.1:1024", "192.0.2.2:1024"));
    CHECK(!is_one_address("[2001:db8::1]:1024", "[2001:db8:0:1::1]:1024"));
    CHECK(!is_one_address("2001:db8::1%eth0", "2001:db8:0:1::1%eth0"));
    /* What is no address is taken as it is written. */
    CHECK(!is_one_address("2001:db8::1:", "2001:db8::2:"));
    CHECK(!is_one_address("unix:", "unix:1"));
}

/* Whatever a client can choose, it never is somebody else's counter. */
static void
test_subjects_of_different_kinds_are_different(void)
{
    char bytes[2 * FTA_UUID_BYTES];
    memcpy(bytes, tenant.bytes, FTA_UUID_BYTES);
    memcpy(bytes + FTA_UUID_BYTES, user.bytes, FTA_UUID_BYTES);
    const fta_requester as_user = {.address = {bytes, sizeof bytes}};
    const fta_requester as_tenant = {.address = {bytes, FTA_UUID_BYTES}};
    CHECK(!is_one_subject(FTA_PER_USER, &somebody, &as_user));
    CHECK(!is_one_subject(FTA_PER_TENANT, &somebody, &as_tenant));

    const fta_text address = text("192.0.2.1");
    fta_requester chosen = {
        .address = text("203.0.113.5"), .custom = &address, .custom_count = 1};
    const fta_requester real = {.address = address};
    CHECK(!is_one_subject(FTA_PER_CUSTOM, &chosen, &real));

    const fta_text one = text("bc"), two = text("c");
    fta_requester says_one = chosen, says_two = chosen;
    says_one.custom = &one;
    says_two.custom = &two;
    fta_limit a = limit_of(FTA_PER_CUSTOM, 10, "a");
    fta_limit ab = limit_of(FTA_PER_CUSTOM, 10, "ab");
    CHECK(!is_one_counter(&a, &says_one, &ab, &says_two));
    CHECK(is_one_counter(&a, &says_one, &a, &says_one));

    fta_limit per_user = limit_of(FTA_PER_USER, 10, "a");
    fta_limit per_member = limit_of(FTA_PER_MEMBER, 10, "a");
    fta_limit tighter = limit_of(FTA_PER_USER, 9, "a");
    fta_limit slower = per_user, dearer = per_user;
    slower.rate.period++;
    dearer.cost = 2;
    CHECK(!is_one_counter(&per_user, &somebody, &per_member, &somebody));
    CHECK(!is_one_counter(&per_user, &somebody, &tighter, &somebody));
    CHECK(!is_one_counter(&per_user, &somebody, &slower, &somebody));
    CHECK(is_one_counter(&per_user, &somebody, &dearer, &somebody));
}

static void
test_long_subjects_are_told_apart(void)
{
    char a[5000], b[5000];
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    b[4321] = 'y';
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, sizeof a, digest);
    const fta_text texts[] = {{a, sizeof a},
                              {b, sizeof b},
                              {(const char *)digest, sizeof digest},
                              {a, FTA_SUBJECT_MAX},
                              {a, FTA_SUBJECT_MAX + 1}};
    enum { COUNT = sizeof texts / sizeof *texts };
    fta_requester requesters[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        requesters[i] = (fta_requester){.address = text("192.0.2.1"),
                                        .custom = &texts[i],
                                        .custom_count = 1};
        for (size_t k = 0; k <= i; k++) {
            CHECK(is_one_subject(FTA_PER_CUSTOM, &requesters[k],
                                 &requesters[i]) == (i == k));
        }
    }
}

static void
test_custom_limits_take_their_texts_in_order(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter = open_limiter(&options);
    const fta_text custom[] = {text("first"), text("second")};
    fta_requester requester = somebody;
    requester.custom = custom;
    requester.custom_count = 2;
    fta_limit by_custom = limit_of(FTA_PER_CUSTOM, 10, "s");
    fta_limit by_user = limit_of(FTA_PER_USER, 10, "s");
    fta_limit narrow = limit_of(FTA_PER_CUSTOM, 5, "s");
    const fta_limit *limits[] = {&by_custom, &by_user, &narrow, &narrow};
    const char *store;
    fta_verdict verdict = {.index = 0};
    CHECK(ask(limiter, FTA_COUNT, limits, 4, &requester, &store, &verdict) ==
          FTA_OK);
    CHECK(verdict.allowed && verdict.remaining == 4 && verdict.limit == 5);

    requester.custom_count = 1;
    CHECK(left(limiter, &by_custom, &requester) == 9);
    requester.custom = &custom[1];
    CHECK(left(limiter, &narrow, &requester) == 4);
    CHECK(left(limiter, &by_custom, &requester) == 10);
    requester.custom_count = 0; /* The last had none left, so the address. */
    CHECK(left(limiter, &narrow, &requester) == 4);
    fta_limiter_close(limiter);
}

static void
test_more_limits_than_the_maximum_are_an_error(void)
{
    fta_limiter_options options = options_of(&fta_strategy_gcra);
    fta_limiter *limiter = open_limiter(&options);
    CHECK(strcmp(fact_of(limiter, "strategy")->text, "gcra") == 0);
    CHECK(strcmp(fact_of(limiter, "store")->text, "memory") == 0);
    CHECK(fact_of(limiter, "redis_url") == NULL);
    fta_limit limit = limit_of(FTA_PER_USER, 100, "s");
    const fta_limit *limits[FTA_HITS_MAX + 1];
    for (size_t i = 0; i <= FTA_HITS_MAX; i++) {
        limits[i] = &limit;
    }
    const char *store;
    fta_verdict verdict = {.index = 0};
    CHECK(ask(limiter, FTA_COUNT, NULL, 0, &somebody, &store, &verdict) ==
          FTA_OK);
    CHECK(verdict.allowed && verdict.limit == 0 && store == NULL);
    CHECK(ask(limiter, FTA_COUNT, limits, FTA_HITS_MAX + 1, &somebody, &store,
              &verdict) == FTA_TOO_MANY_LIMITS);
    CHECK(ask(limiter, FTA_COUNT, limits, FTA_HITS_MAX, &somebody, &store,
              &verdict) == FTA_OK);
    CHECK(left(limiter, &limit, &somebody) == 100 - FTA_HITS_MAX);
    fta_limiter_close(limiter);
}

static void
test_a_share_limits_each_member_of_the_tenant(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter = open_limiter(&options);
    fta_limit whole = limit_of(FTA_PER_TENANT, 10, "s");
    fta_limit share = fta_limit_share(&whole, 0.4);
    CHECK(share.rate.limit == 4 && share.rate.period == whole.rate.period);
    CHECK(share.per == FTA_PER_MEMBER);
    const fta_limit *limits[] = {&whole, &share};
    fta_requester quiet = somebody;
    quiet.user_id = &other_user;
    const char *store;
    fta_verdict verdict = {.index = 0};
    int noisy_passed = 0, quiet_passed = 0;
    for (int i = 0; i < 50; i++) {
        CHECK(ask(limiter, FTA_COUNT, limits, 2, &somebody, &store, &verdict) ==
              FTA_OK);
        noisy_passed += verdict.allowed;
    }
    CHECK(noisy_passed == 4 && verdict.index == 1);
    CHECK(left(limiter, &whole, &somebody) == 6);
    for (int i = 0; i < 50; i++) {
        CHECK(ask(limiter, FTA_COUNT, limits, 2, &quiet, &store, &verdict) ==
              FTA_OK);
        quiet_passed += verdict.allowed;
    }
    CHECK(quiet_passed == 4);
    CHECK(left(limiter, &whole, &somebody) == 2);
    fta_limiter_close(limiter);

    whole.cost = 3;
    CHECK(fta_limit_share(&whole, 0.01).rate.limit == 3);
    CHECK(fta_limit_share(&whole, 0.59).rate.limit == 5);
    CHECK(fta_limit_share(&whole, 1.0).rate.limit == 10);
}

/* Rounded up, half of 5 was 3, and 55 of 100 were 56 by the binary point. */
static void
test_a_share_leaves_the_rest_to_the_others(void)
{
    for (uint32_t n = 1; n <= 1000; n++) {
        fta_limit whole = limit_of(FTA_PER_TENANT, n, "s");
        for (uint32_t percent = 1; percent <= 100; percent++) {
            uint32_t exact = n * percent / 100;
            CHECK(fta_limit_share(&whole, percent / 100.0).rate.limit ==
                  (exact > 0 ? exact : 1));
        }
    }
    fta_limit most = limit_of(FTA_PER_TENANT, FTA_RATE_LIMIT_MAX, "s");
    CHECK(fta_limit_share(&most, 1.0).rate.limit == FTA_RATE_LIMIT_MAX);
    CHECK(fta_limit_share(&most, 0.5).rate.limit == FTA_RATE_LIMIT_MAX / 2);
}

/* "0 per minute" is for nobody, and no store has to count it. */
static void
test_a_rate_of_zero_denies_everybody(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter = open_limiter(&options);
    fta_limit none = limit_of(FTA_PER_TENANT, 0, "s");
    fta_limit longer = none, some = limit_of(FTA_PER_USER, 5, "s");
    longer.rate.period = 3600;
    const fta_limit *limits[] = {&some, &none, &longer};
    static const fta_action actions[] = {FTA_COUNT, FTA_PEEK};
    const char *store;
    fta_verdict verdict = {.index = 0};
    for (size_t i = 0; i < 2; i++) {
        CHECK(ask(limiter, actions[i], limits, 3, &somebody, &store,
                  &verdict) == FTA_OK);
        CHECK(!verdict.allowed && store == NULL);
        CHECK(verdict.limit == 0 && verdict.remaining == 0);
        CHECK(verdict.index == 2);
        CHECK(verdict.retry_after_us == INT64_C(3600000000));
        CHECK(verdict.reset_after_us == verdict.retry_after_us);
    }
    CHECK(left(limiter, &some, &somebody) == 5); /* Nothing was counted. */
    CHECK(hit(limiter, &some, &somebody));
    CHECK(ask(limiter, FTA_RESET, limits, 3, &somebody, &store, &verdict) ==
          FTA_OK);
    CHECK(left(limiter, &some, &somebody) == 5); /* The others are reset. */
    CHECK(verdict.index == 0);
    /* The limit that the answer is about keeps its place behind one of 0. */
    const fta_limit *behind[] = {&none, &some};
    verdict.index = 9;
    CHECK(ask(limiter, FTA_RESET, behind, 2, &somebody, &store, &verdict) ==
          FTA_OK);
    CHECK(verdict.index == 1);
    CHECK(ask(limiter, FTA_RESET, &limits[1], 2, &somebody, &store, &verdict) ==
          FTA_OK);
    CHECK(fta_limit_share(&none, 0.5).rate.limit == 0);
    fta_limiter_close(limiter);
}

static void
test_memory_of_the_process_replaces_shared_memory_that_is_missing(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    options.store.shared = true;
    options.store.directory = "/nowhere";
    fta_limiter *limiter = open_limiter(&options);
    CHECK(strcmp(fact_of(limiter, "not_shared_because")->text,
                 strerror(ENOENT)) == 0);
    CHECK(fact_of(limiter, "path")->text == NULL);
    CHECK(fact_of(limiter, "shared")->number == 0);
    fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
    CHECK(hit(limiter, &limit, &somebody) && !hit(limiter, &limit, &somebody));
    fta_limiter_close(limiter);
}

static void
test_two_limiters_of_one_directory_count_together(void)
{
    char directory[] = "/tmp/fta-test-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    options.store.shared = true;
    options.store.directory = directory;
    fta_limiter *a = open_limiter(&options), *b = open_limiter(&options);
    CHECK(fact_of(a, "not_shared_because")->text == NULL);
    fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
    CHECK(hit(a, &limit, &somebody) && !hit(b, &limit, &somebody));

    char path[128];
    snprintf(path, sizeof path, "%s", fact_of(a, "path")->text);
    fta_limiter_leave(a);
    CHECK(!hit(a, &limit, &somebody)); /* What is counted stays so. */
    CHECK(!hit(b, &limit, &somebody));
    fta_limiter_close(a);
    fta_limiter_close(b);
    CHECK(access(path, F_OK) == 0);
    a = open_limiter(&options);
    CHECK(!hit(a, &limit, &somebody));
    fta_clock_shift(0, INT64_C(1002) * 1000000);
    fta_limiter_close(a);
    CHECK(access(path, F_OK) != 0);
    fta_clock_reset();

    /* Others may write to our file: that is told, not passed over. */
    int fd = open(path, O_CREAT | O_RDWR, 0666);
    CHECK(fchmod(fd, 0666) == 0);
    close(fd);
    fta_store_problem problem;
    CHECK(fta_limiter_open(&options, &a, &problem) == FTA_SEGMENT_FOREIGN);
    unlink(path);
    CHECK(rmdir(directory) == 0);
}

static void
test_each_word_is_read_and_written(void)
{
    CHECK(fta_per_words.count == 5);
    for (size_t i = 0; i < fta_per_words.count; i++) {
        fta_text word = fta_words_at(&fta_per_words, i);
        CHECK(fta_text_equal(fta_per_text(fta_per_at(i)), word));
        CHECK(word.data[0] == (char)fta_per_at(i));
    }
    CHECK(fta_on_store_error_words.count == 3);
    CHECK(fta_text_is(
        fta_words_at(&fta_on_store_error_words, FTA_ON_STORE_ERROR_DENY),
        "deny"));
}

static void
test_an_option_out_of_its_range_is_named(void)
{
    static const char prefix[256];
    fta_limiter_options good = options_of(&fta_strategy_fixed_window);
    fta_limiter_options cases[6] = {good, good, good, good, good, good};
    static const char *const named[] = {"shm_bytes",  "shm_bytes",
                                        "timeout_ms", "timeout_ms",
                                        "timeout_ms", "prefix"};
    cases[0].store.shm_bytes = FTA_SHM_TABLE_MIN - 1;
    cases[1].store.shm_bytes = FTA_SHM_TABLE_MAX + 1;
    cases[2].store.timeout_ms = 0;
    cases[3].store.timeout_ms = -5;
    cases[4].store.timeout_ms = 60001;
    cases[5].store.prefix = (fta_text){prefix, sizeof prefix};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fta_limiter *limiter = NULL;
        fta_store_problem problem;
        CHECK(fta_limiter_open(&cases[i], &limiter, &problem) ==
              FTA_BAD_ARGUMENT);
        CHECK(limiter == NULL && strcmp(problem.option, named[i]) == 0);
        CHECK(strncmp(problem.text, "must be from ", 13) == 0);
    }
    good.store.shm_bytes = FTA_SHM_TABLE_MIN;
    good.store.timeout_ms = 60000;
    good.store.prefix.length = 1;
    fta_limiter_close(open_limiter(&good));
}

static void
test_a_url_that_cannot_be_used_is_named(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    options.store.url = text("redis://:sesame@h:x");
    fta_limiter *limiter = NULL;
    fta_store_problem problem;
    CHECK(fta_limiter_open(&options, &limiter, &problem) == FTA_BAD_ARGUMENT);
    CHECK(limiter == NULL && strcmp(problem.option, "redis_url") == 0);
    CHECK(strstr(problem.text, "port") != NULL);
    CHECK(strstr(problem.text, "sesame") == NULL);
}

/* -- the order of stores --------------------------------------------------- */

/* At a port where nobody listens. */
static fta_limiter *
open_without_redis(fta_on_store_error on_store_error)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    options.on_store_error = on_store_error;
    options.store.url = text("redis://127.0.0.1:1");
    return open_limiter(&options);
}

static void
test_the_next_store_counts_while_the_first_is_away(void)
{
    fta_limiter *limiter = open_without_redis(FTA_ON_STORE_ERROR_MEMORY);
    fta_limit limit = limit_of(FTA_PER_USER, 2, "s");
    const fta_limit *limits[] = {&limit};
    const char *store;
    fta_verdict verdict = {.index = 0};
    CHECK(strcmp(fact_of(limiter, "store")->text, "redis") == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(ask(limiter, FTA_COUNT, limits, 1, &somebody, &store, &verdict) ==
              FTA_OK);
        CHECK(strcmp(store, "memory") == 0 && verdict.allowed == (i < 2));
    }
    CHECK(strcmp(fact_of(limiter, "store")->text, "memory") == 0);
    CHECK(strcmp(fact_of(limiter, "breaker")->text, "open") == 0);
    CHECK(fta_limiter_events(limiter).changes == 1);
    CHECK(fta_limiter_events(limiter).first_failures == 1);
    /* A reset says that Redis did not answer, and resets this host's table. */
    CHECK(ask(limiter, FTA_RESET, limits, 1, &somebody, &store, &verdict) ==
          FTA_REDIS_UNREACHABLE);
    CHECK(left(limiter, &limit, &somebody) == 2);
    fta_limiter_leave(limiter);
    CHECK(hit(limiter, &limit, &somebody));
    fta_limiter_close(limiter);
}

static void
test_no_store_counts_where_the_options_say_so(void)
{
    static const fta_on_store_error choices[] = {FTA_ON_STORE_ERROR_ALLOW,
                                                 FTA_ON_STORE_ERROR_DENY};
    for (size_t i = 0; i < 2; i++) {
        fta_limiter *limiter = open_without_redis(choices[i]);
        fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
        const fta_limit *limits[] = {&limit};
        const char *store;
        fta_verdict verdict = {.index = 0};
        bool allowed = choices[i] == FTA_ON_STORE_ERROR_ALLOW;
        for (int k = 0; k < 3; k++) {
            CHECK(ask(limiter, FTA_COUNT, limits, 1, &somebody, &store,
                      &verdict) == FTA_OK);
            CHECK(store == NULL && verdict.allowed == allowed);
            CHECK(verdict.limit == 1 && verdict.remaining == allowed);
            CHECK((verdict.retry_after_us > 0) == !allowed);
        }
        fta_limiter_close(limiter);
    }
}

static fta_reservation *
reserve(fta_limiter *limiter, const fta_limit *const *limits, size_t count,
        fta_limiter_answer *answer)
{
    const fta_limiter_request request = {FTA_PEEK, limits, count, &somebody};
    fta_reservation *reservation;
    CHECK(fta_limiter_reserve(limiter, &request, NULL, answer, &reservation) ==
          FTA_OK);
    return reservation;
}

static void
test_a_reservation_is_given_back_once_and_by_limit(void)
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        fta_limiter_options options = options_of(fta_strategies[i]);
        fta_limiter *limiter = open_limiter(&options);
        fta_limit of_user = limit_of(FTA_PER_USER, 3, "s");
        fta_limit of_address = limit_of(FTA_PER_ADDRESS, 2, "s");
        const fta_limit *limits[] = {&of_user, &of_address};
        fta_limiter_answer answer;
        fta_reservation *first = reserve(limiter, limits, 2, &answer);
        fta_reservation *second = reserve(limiter, limits, 2, &answer);
        CHECK(answer.verdict.allowed && first != NULL && second != NULL);
        CHECK(left(limiter, &of_user, &somebody) == 1);
        CHECK(reserve(limiter, limits, 2, &answer) == NULL);
        CHECK(!answer.verdict.allowed && answer.verdict.index == 1);
        CHECK(left(limiter, &of_user, &somebody) == 1);

        CHECK(fta_limiter_give_back(limiter, first, 1, 2, NULL) == FTA_OK);
        fta_clock_shift(0, 1000); /* For gcra: see its take_back. */
        CHECK(left(limiter, &of_user, &somebody) == 1);
        CHECK(left(limiter, &of_address, &somebody) == 1);
        for (int k = 0; k < 3; k++) {
            CHECK(fta_limiter_give_back(limiter, first, 0, 99, NULL) == FTA_OK);
            fta_clock_shift(0, 1000);
            CHECK(left(limiter, &of_user, &somebody) == 2);
            CHECK(left(limiter, &of_address, &somebody) == 1);
        }
        /* What was reset is not given back a second time. */
        const char *store;
        fta_verdict verdict = {.index = 0};
        CHECK(ask(limiter, FTA_RESET, limits, 2, &somebody, &store, &verdict) ==
              FTA_OK);
        CHECK(hit(limiter, &of_user, &somebody));
        CHECK(fta_limiter_give_back(limiter, second, 0, 2, NULL) == FTA_OK);
        CHECK(left(limiter, &of_user, &somebody) == 2);
        fta_reservation_free(first);
        fta_reservation_free(second);
        fta_limiter_close(limiter);
    }
    fta_clock_reset();
}

static void
test_what_no_store_has_counted_is_no_reservation(void)
{
    fta_limiter *limiter = open_without_redis(FTA_ON_STORE_ERROR_ALLOW);
    fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
    fta_limit zero = limit_of(FTA_PER_USER, 0, "s");
    const fta_limit *limits[] = {&limit, &zero};
    fta_limiter_answer answer;
    CHECK(reserve(limiter, limits, 1, &answer) == NULL);
    CHECK(answer.verdict.allowed && answer.store == NULL);
    CHECK(reserve(limiter, limits, 2, &answer) == NULL);
    CHECK(!answer.verdict.allowed);
    CHECK(reserve(limiter, limits, 0, &answer) == NULL);
    CHECK(answer.verdict.allowed);
    fta_limiter_close(limiter);
    fta_reservation_free(NULL);
}

/* The memory of this host gets back what it has counted while Redis is away. */
static void
test_a_reservation_goes_back_to_the_store_that_has_counted_it(void)
{
    fta_limiter *limiter = open_without_redis(FTA_ON_STORE_ERROR_MEMORY);
    fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
    const fta_limit *limits[] = {&limit};
    fta_limiter_answer answer;
    fta_reservation *reservation = reserve(limiter, limits, 1, &answer);
    CHECK(reservation != NULL && strcmp(answer.store, "memory") == 0);
    CHECK(!hit(limiter, &limit, &somebody));
    CHECK(fta_limiter_give_back(limiter, reservation, 0, 1, NULL) == FTA_OK);
    CHECK(hit(limiter, &limit, &somebody));
    fta_reservation_free(reservation);
    fta_limiter_close(limiter);
}

static void
test_without_memory_for_a_reservation_nothing_is_counted(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter = open_limiter(&options);
    fta_limit limit = limit_of(FTA_PER_USER, 2, "s");
    const fta_limit *limits[] = {&limit};
    const fta_limiter_request request = {FTA_COUNT, limits, 1, &somebody};
    fta_limiter_answer answer;
    fta_reservation *reservation;
    failing_alloc_start(0);
    fta_status status =
        fta_limiter_reserve(limiter, &request, NULL, &answer, &reservation);
    CHECK(failing_alloc_stop());
    CHECK(status == FTA_NO_MEMORY && reservation == NULL);
    CHECK(left(limiter, &limit, &somebody) == 2);
    fta_limiter_close(limiter);
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    fta_limiter_options options = options_of(&fta_strategy_fixed_window);
    fta_limiter *limiter;
    fta_store_problem problem;
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = fta_limiter_open(&options, &limiter, &problem);
        if (!failing_alloc_stop()) {
            break;
        }
        CHECK(status == FTA_NO_MEMORY);
    }
    /* Counting itself allocates nothing. */
    fta_limit limit = limit_of(FTA_PER_USER, 1, "s");
    failing_alloc_start(0);
    CHECK(hit(limiter, &limit, &somebody) && !hit(limiter, &limit, &somebody));
    CHECK(!failing_alloc_stop());
    fta_limiter_close(limiter);
    fta_limiter_close(NULL);
}

int
main(void)
{
    test_a_limit_counts_the_subject_that_per_names();
    test_every_requester_has_a_subject();
    test_a_network_of_ipv6_is_one_client();
    test_subjects_of_different_kinds_are_different();
    test_long_subjects_are_told_apart();
    test_custom_limits_take_their_texts_in_order();
    test_more_limits_than_the_maximum_are_an_error();
    test_a_share_limits_each_member_of_the_tenant();
    test_a_share_leaves_the_rest_to_the_others();
    test_a_rate_of_zero_denies_everybody();
    test_memory_of_the_process_replaces_shared_memory_that_is_missing();
    test_two_limiters_of_one_directory_count_together();
    test_each_word_is_read_and_written();
    test_an_option_out_of_its_range_is_named();
    test_a_url_that_cannot_be_used_is_named();
    test_the_next_store_counts_while_the_first_is_away();
    test_a_reservation_is_given_back_once_and_by_limit();
    test_what_no_store_has_counted_is_no_reservation();
    test_a_reservation_goes_back_to_the_store_that_has_counted_it();
    test_without_memory_for_a_reservation_nothing_is_counted();
    test_no_store_counts_where_the_options_say_so();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_limiter");
}
