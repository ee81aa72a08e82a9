/* Names whose resolution takes as long as a test wants. */
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "redis/client.h"
#include "redis/lookup.h"

enum { CALLS = 40 };

static atomic_int running, most, asked;
static atomic_bool released;
/* The names of each test begin with another letter: a thread of the test before
 * may begin late. */
static _Atomic char letter;

/* Children start threads of their own. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "die_after_fork=0";
}

/* In place of the system's. No name is numeric; each blocks until released. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **found)
{
    (void)service, (void)found;
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return EAI_NONAME;
    }
    if (*name != atomic_load(&letter)) {
        return EAI_AGAIN;
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
new_client(const char *text)
{
    fta_redis_url *url;
    fta_redis_client *client = NULL;
    fta_redis_problem problem;
    const char *wrong;
    CHECK(fta_redis_url_parse(text, strlen(text), &url, &wrong) == FTA_OK);
    CHECK(fta_redis_client_new(url, &client, &problem) == FTA_OK);
    return client;
}

static fta_status
call_within(int64_t us, fta_redis_client *client, fta_redis_problem *problem)
{
    static const char *const argv[] = {"GET"};
    static const size_t lengths[] = {3};
    static const fta_redis_command command = {1, argv, lengths};
    fta_redis_reply *reply;
    const fta_redis_sending sending = {
        .slot = 1, .deadline = fta_clock_monotonic_us() + us};
    return fta_redis_client_call(client, &command, &sending, &reply, problem);
}

/* One that has to wait does so in vain. */
static fta_status
call(fta_redis_client *client, fta_redis_problem *problem)
{
    return call_within(5000, client, problem);
}

/* Whether a number gets so large: a thread may not have reached getaddrinfo
 * yet. */
static bool
reaches(atomic_int *number, int least)
{
    for (int i = 0; i < 60000 && atomic_load(number) < least; i++) {
        usleep(1000);
    }
    return atomic_load(number) >= least;
}

static void
release(void)
{
    atomic_store(&released, true);
    while (atomic_load(&running) > 0) {
        usleep(1000);
    }
    atomic_store(&released, false);
    atomic_store(&most, 0);
    atomic_store(&asked, 0);
}

static void
test_the_number_of_lookups_is_bounded(const char *text, char first)
{
    fta_redis_problem problem;
    atomic_store(&letter, first);
    fta_redis_client *client = new_client(text);
    CHECK(call(client, &problem) == FTA_REDIS_TIMEOUT);
    for (int i = 0; i < CALLS; i++) {
        (void)call(client, &problem);
    }
    CHECK(call_within(60000000, client, &problem) == FTA_REDIS_UNREACHABLE);
    CHECK(strstr(problem.text, "names") != NULL);
    CHECK(reaches(&most, FTA_REDIS_LOOKUPS_MAX));
    CHECK(atomic_load(&most) == FTA_REDIS_LOOKUPS_MAX);
    /* A child has none of its parent's threads, and counts from zero. */
    pid_t child = fork();
    if (child == 0) {
        child_leave(call(client, &problem) == FTA_REDIS_TIMEOUT);
    }
    CHECK(child_was_good(child));
    release();
    /* Once they have ended, names are looked up again. */
    for (int i = 0; i < 60000 && atomic_load(&asked) == 0; i++) {
        (void)call(client, &problem);
        usleep(1000);
    }
    CHECK(reaches(&asked, 1));
    /* A lookup may outlive the client. */
    fta_redis_client_free(client);
    release();
}

int
main(void)
{
    test_the_number_of_lookups_is_bounded("redis://name", 'n');
    test_the_number_of_lookups_is_bounded("redis://c1,c2,c3,c4,c5?cluster=true",
                                          'c');
    test_the_number_of_lookups_is_bounded("redis+sentinel://s1,s2,s3/m", 's');
    return check_report("test_redis_lookup");
}
