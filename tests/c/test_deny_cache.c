#include "limit/redis/deny_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"

#define SECOND ((int64_t)1000000)

typedef struct named_hit {
    char name[24];
    fta_hit hit;
} named_hit;

static void
make_hit(named_hit *n, unsigned number, uint32_t cost)
{
    int length = snprintf(n->name, sizeof(n->name), "key %u", number);
    n->hit = (fta_hit){.key = (const uint8_t *)n->name,
                       .key_length = (size_t)length,
                       .limit = 50,
                       .cost = cost,
                       .period_us = 60 * SECOND};
}

static fta_deny_cache *
new_cache(void)
{
    fta_deny_cache *cache;
    if (fta_deny_cache_new(&cache) != FTA_OK) {
        abort();
    }
    return cache;
}

static const fta_verdict limited = {.limit = 50,
                                    .remaining = 2,
                                    .reset_after_us = 20 * SECOND,
                                    .retry_after_us = 10 * SECOND};

static void
test_a_denial_is_cached_until_its_time_and_for_its_cost(void)
{
    fta_deny_cache *cache = new_cache();
    named_hit three, two, four, other;
    make_hit(&two, 1, 2);
    make_hit(&three, 1, 3);
    make_hit(&four, 1, 4);
    make_hit(&other, 2, 3);
    fta_verdict verdict;
    int64_t now = 1000 * SECOND;
    CHECK(!fta_deny_cache_find(cache, &three.hit, now, &verdict));
    fta_deny_cache_add(cache, &three.hit, &limited, now);
    CHECK(fta_deny_cache_find(cache, &three.hit, now + 4 * SECOND, &verdict));
    CHECK(!verdict.allowed && verdict.limit == 50 && verdict.remaining == 2);
    CHECK(verdict.reset_after_us == 16 * SECOND);
    CHECK(verdict.retry_after_us == 6 * SECOND);
    CHECK(fta_deny_cache_find(cache, &four.hit, now, &verdict));
    /* What costs less may pass; so may others, and everybody at its time. */
    CHECK(!fta_deny_cache_find(cache, &two.hit, now, &verdict));
    CHECK(!fta_deny_cache_find(cache, &other.hit, now, &verdict));
    CHECK(fta_deny_cache_find(cache, &three.hit, now + 10 * SECOND - 1,
                              &verdict));
    CHECK(!fta_deny_cache_find(cache, &three.hit, now + 10 * SECOND, &verdict));
    fta_deny_cache_remove(cache, &two.hit);
    CHECK(!fta_deny_cache_find(cache, &three.hit, now, &verdict));
    fta_deny_cache_free(cache);
}

static void
test_a_long_denial_is_cached_for_one_minute(void)
{
    fta_deny_cache *cache = new_cache();
    named_hit n;
    make_hit(&n, 1, 1);
    fta_verdict day = limited, verdict;
    day.retry_after_us = day.reset_after_us = 86400 * SECOND;
    fta_deny_cache_add(cache, &n.hit, &day, 0);
    CHECK(fta_deny_cache_find(cache, &n.hit, FTA_DENY_CACHE_MAX_US - 1,
                              &verdict));
    CHECK(verdict.retry_after_us == 86400 * SECOND - FTA_DENY_CACHE_MAX_US + 1);
    CHECK(!fta_deny_cache_find(cache, &n.hit, FTA_DENY_CACHE_MAX_US, &verdict));
    fta_deny_cache_free(cache);
}

/* A flood leaves the table as it is in size, and most of the latest in it. */
static void
test_a_flood_keeps_the_latest_denials(void)
{
    fta_deny_cache *cache = new_cache();
    named_hit n;
    fta_verdict verdict;
    const unsigned flood = 100000, latest = 1000;
    for (unsigned i = 0; i < flood; i++) {
        make_hit(&n, i, 1);
        /* Later ones end later. */
        fta_deny_cache_add(cache, &n.hit, &limited, (int64_t)i * 10);
    }
    unsigned found = 0, old = 0;
    for (unsigned i = 0; i < latest; i++) {
        make_hit(&n, flood - 1 - i, 1);
        found += fta_deny_cache_find(cache, &n.hit, flood * 10, &verdict);
        make_hit(&n, i, 1);
        old += fta_deny_cache_find(cache, &n.hit, flood * 10, &verdict);
    }
    CHECK(found > latest * 9 / 10);
    CHECK(old == 0);
    fta_deny_cache_free(cache);
}

/* Threads write and read the same few places; what is found is never a
 * mixture: the rest says which key it is about. */
static void *
add_and_find(void *argument)
{
    fta_deny_cache *cache = argument;
    for (unsigned i = 0; i < 100000; i++) {
        named_hit n;
        unsigned number = i * 7919 % 64;
        make_hit(&n, number, 1);
        fta_verdict mine = limited, found;
        mine.remaining = number;
        mine.retry_after_us = (number + 1) * SECOND;
        mine.reset_after_us = (number + 100) * SECOND;
        fta_deny_cache_add(cache, &n.hit, &mine, 0);
        make_hit(&n, (number + 1) % 64, 1);
        if (fta_deny_cache_find(cache, &n.hit, 0, &found)) {
            unsigned other = (number + 1) % 64;
            CHECK(found.remaining == other &&
                  found.retry_after_us == (other + 1) * SECOND &&
                  found.reset_after_us == (other + 100) * SECOND);
        }
        if (i % 16 == 0) {
            fta_deny_cache_remove(cache, &n.hit);
        }
    }
    return NULL;
}

static void
test_many_threads_find_only_what_was_added(void)
{
    fta_deny_cache *cache = new_cache();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, add_and_find, cache) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    fta_deny_cache_free(cache);
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    fta_deny_cache *cache;
    failing_alloc_start(0);
    CHECK(fta_deny_cache_new(&cache) == FTA_NO_MEMORY);
    CHECK(failing_alloc_stop() && cache == NULL);
}

int
main(void)
{
    test_a_denial_is_cached_until_its_time_and_for_its_cost();
    test_a_long_denial_is_cached_for_one_minute();
    test_a_flood_keeps_the_latest_denials();
    test_many_threads_find_only_what_was_added();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_deny_cache");
}
