/* Names that do not resolve, for as long as a test likes. */
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "redis/client.h"

enum { CALLS = 40 };

static atomic_int running, most, asked;
static atomic_bool released;

/* A child may begin threads of its own. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "die_after_fork=0";
}

/* In place of the system's: a number is none, a name takes its time. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **found)
{
    (void)name, (void)service, (void)found;
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return EAI_NONAME;
    }
    int now = atomic_fetch_add(&running, 1) + 1;
    atomic_fetch_add(&asked, 1);
    int before = atomic_load(&most);
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now)) {
    }
    while (!atomic_load(&released)) {
        usleep(1000);
    }
    atomic_fetch_sub(&running, 1);
    return EAI_AGAIN;
}

static fta_redis_client *
new_link(const char *text)
{
    fta_redis_url *url;
    fta_redis_client *link = NULL;
    fta_redis_problem problem;
    const char *wrong;
    CHECK(fta_redis_url_parse(text, strlen(text), &url, &wrong) == FTA_OK);
    CHECK(fta_redis_client_new(url, &link, &problem) == FTA_OK);
    return link;
}

static fta_status
call(fta_redis_client *link, fta_redis_problem *problem)
{
    static const char *const argv[] = {"GET"};
    static const size_t lengths[] = {3};
    fta_redis_reply *reply;
    return fta_redis_client_call(link, 1, argv, lengths, 1,
                                 fta_clock_monotonic_us() + 5000, &reply,
                                 problem);
}

static void
release(void)
{
    atomic_store(&released, true);
    while (atomic_load(&running) > 0) {
        usleep(1000);
    }
    usleep(20000); /* the threads' last steps */
    atomic_store(&released, false);
    atomic_store(&most, 0);
    atomic_store(&asked, 0);
}

static void
test_lookups_are_bounded(const char *text)
{
    fta_redis_problem problem;
    fta_redis_client *link = new_link(text);
    CHECK(call(link, &problem) == FTA_REDIS_TIMEOUT);
    for (int i = 0; i < CALLS; i++) {
        (void)call(link, &problem);
    }
    CHECK(call(link, &problem) == FTA_REDIS_UNREACHABLE);
    CHECK(strstr(problem.text, "names") != NULL);
    /* The last thread may just have begun. */
    for (int i = 0; i < 5000 && atomic_load(&most) < FTA_REDIS_LOOKUPS_MAX;
         i++) {
        usleep(1000);
    }
    CHECK(atomic_load(&most) == FTA_REDIS_LOOKUPS_MAX);
    /* A child has none of the threads, and none of their count. */
    pid_t child = fork();
    if (child == 0) {
        child_leave(call(link, &problem) == FTA_REDIS_TIMEOUT);
    }
    CHECK(child_was_good(child));
    release();
    /* They are asked again when they have ended. */
    CHECK(call(link, &problem) == FTA_REDIS_TIMEOUT);
    CHECK(atomic_load(&asked) > 0);
    /* One that is under way when the link is gone. */
    fta_redis_client_free(link);
    release();
}

int
main(void)
{
    test_lookups_are_bounded("redis://name");
    test_lookups_are_bounded("redis://a,b,c,d,e?cluster=true");
    test_lookups_are_bounded("redis+sentinel://a,b,c/s");
    return check_report("test_redis_lookup");
}
