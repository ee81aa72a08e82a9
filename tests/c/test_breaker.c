#include "limit/redis/breaker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "failing_alloc.h"

typedef struct store {
    atomic_bool well;
    atomic_long probes;
} store;

static fta_status
probe(void *context, fta_redis_problem *problem)
{
    store *s = context;
    atomic_fetch_add(&s->probes, 1);
    fta_redis_problem_set(problem, "probed");
    return atomic_load(&s->well) ? FTA_OK : FTA_REDIS_UNREACHABLE;
}

static fta_breaker *
new_breaker(store *s)
{
    fta_breaker *breaker;
    if (fta_breaker_new(probe, s, &breaker) != FTA_OK) {
        abort();
    }
    return breaker;
}

#define PATIENCE_US 60000000

/* Waits until so many changes were seen; whether they were. */
static bool
await_view(fta_breaker *breaker, fta_breaker_view wanted)
{
    int64_t end = fta_clock_monotonic_us() + PATIENCE_US;
    while (fta_breaker_look(breaker) != wanted &&
           fta_clock_monotonic_us() < end) {
        usleep(1000);
    }
    return fta_breaker_look(breaker) == wanted;
}

static const fta_redis_problem told = {"told"};

static void
test_it_opens_at_once_and_closes_by_itself(void)
{
    store s = {.well = false};
    fta_breaker *breaker = new_breaker(&s);
    fta_status status;
    fta_redis_problem problem;
    fta_breaker_view view = fta_breaker_look(breaker);
    CHECK(view == 0 && !fta_breaker_is_open(view));
    fta_breaker_last_failure(breaker, &status, &problem);
    CHECK(status == FTA_OK && problem.text[0] == '\0');
    fta_breaker_trip(breaker, view, FTA_REDIS_TIMEOUT, &told);
    CHECK(fta_breaker_is_open(fta_breaker_look(breaker)));
    fta_breaker_last_failure(breaker, &status, &problem);
    CHECK(status == FTA_REDIS_TIMEOUT && strcmp(problem.text, "told") == 0);
    while (atomic_load(&s.probes) < 2) {
        usleep(1000);
    }
    CHECK(fta_breaker_look(breaker) == 1);
    fta_breaker_last_failure(breaker, &status, &problem);
    CHECK(status == FTA_REDIS_UNREACHABLE);
    CHECK(strcmp(problem.text, "probed") == 0);
    atomic_store(&s.well, true);
    CHECK(await_view(breaker, 2));
    /* Calm: nobody probes. */
    long probes = atomic_load(&s.probes);
    usleep(2 * FTA_BREAKER_FIRST_US);
    CHECK(atomic_load(&s.probes) == probes);
    fta_breaker_free(breaker);
}

static void
test_an_outage_before_the_last_view_does_not_open_it(void)
{
    store s = {.well = true};
    fta_breaker *breaker = new_breaker(&s);
    for (int i = 0; i < 5; i++) {
        fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    }
    CHECK(await_view(breaker, 2));
    fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    fta_breaker_trip(breaker, 1, FTA_REDIS_TIMEOUT, &told);
    CHECK(fta_breaker_look(breaker) == 2);
    fta_breaker_note(breaker, FTA_REDIS_REFUSED, &told);
    CHECK(fta_breaker_look(breaker) == 2);
    fta_breaker_free(breaker);
}

/* Distances double: 0.1, 0.2, 0.4, 0.8 s, each a quarter shorter at most. */
static void
test_probes_are_repeated_with_pauses(void)
{
    store s = {.well = false};
    fta_breaker *breaker = new_breaker(&s);
    int64_t start = fta_clock_monotonic_us();
    fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    while (atomic_load(&s.probes) < 4) {
        usleep(1000);
    }
    CHECK(fta_clock_monotonic_us() - start >=
          15 * FTA_BREAKER_FIRST_US / 4 * 3);
    fta_breaker_free(breaker);
}

static void
test_a_stopped_breaker_stays_open_without_a_thread(void)
{
    store s = {.well = false};
    fta_breaker *breaker = new_breaker(&s);
    fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    fta_breaker_stop(breaker);
    atomic_store(&s.well, true);
    long probes = atomic_load(&s.probes);
    for (int i = 0; i < 200; i++) {
        CHECK(fta_breaker_look(breaker) == 1);
        usleep(1000);
    }
    CHECK(atomic_load(&s.probes) == probes);
    fta_breaker_stop(breaker);
    fta_breaker_free(breaker);
}

#ifndef __SANITIZE_THREAD__ /* which has no threads in a forked child */
static void
test_a_child_has_a_thread_of_its_own(void)
{
    store s = {.well = false};
    fta_breaker *breaker = new_breaker(&s);
    fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    pid_t child = fork();
    if (child == 0) {
        bool open = fta_breaker_look(breaker) == 1;
        atomic_store(&s.well, true);
        bool closed = await_view(breaker, 2);
        fta_breaker_free(breaker);
        child_leave(open && closed);
    }
    CHECK(child_was_good(child));
    CHECK(fta_breaker_look(breaker) == 1);
    fta_breaker_free(breaker);
}
#endif

typedef struct crowd {
    fta_breaker *breaker;
    atomic_bool stop;
} crowd;

static void *
look_and_trip(void *argument)
{
    crowd *c = argument;
    while (!atomic_load(&c->stop)) {
        fta_breaker_view view = fta_breaker_look(c->breaker);
        if (!fta_breaker_is_open(view)) {
            fta_breaker_trip(c->breaker, view, FTA_REDIS_CLOSED, &told);
        }
        fta_status status;
        fta_redis_problem problem;
        fta_breaker_last_failure(c->breaker, &status, &problem);
    }
    return NULL;
}

static void
test_many_threads_see_one_outage(void)
{
    store s = {.well = true};
    crowd c = {.breaker = new_breaker(&s)};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, look_and_trip, &c) == 0);
    }
    int64_t start = fta_clock_monotonic_us();
    while (fta_breaker_look(c.breaker) < 7 &&
           fta_clock_monotonic_us() - start < PATIENCE_US) {
        usleep(1000);
    }
    atomic_store(&c.stop, true);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    /* Each closing was one probe's. */
    fta_breaker_view view = fta_breaker_look(c.breaker);
    CHECK(view >= 7 && atomic_load(&s.probes) <= view / 2 + 1);
    fta_breaker_free(c.breaker);
}

static void
test_a_failing_allocation_is_no_memory(void)
{
    store s = {.well = true};
    fta_breaker *breaker;
    for (long n = 0; n < 2; n++) {
        failing_alloc_start(n);
        CHECK(fta_breaker_new(probe, &s, &breaker) == FTA_NO_MEMORY);
        CHECK(failing_alloc_stop() && breaker == NULL);
    }
    breaker = new_breaker(&s);
    /* What cannot be remembered is not. */
    failing_alloc_start(0);
    fta_breaker_note(breaker, FTA_REDIS_TIMEOUT, &told);
    CHECK(failing_alloc_stop());
    fta_status status;
    fta_redis_problem problem;
    fta_breaker_last_failure(breaker, &status, &problem);
    CHECK(status == FTA_OK);
    /* The thread cannot be made now; the next look makes it. */
    failing_alloc_start(0);
    fta_breaker_trip(breaker, 0, FTA_REDIS_TIMEOUT, &told);
    CHECK(failing_alloc_stop());
    CHECK(await_view(breaker, 2));
    fta_breaker_free(breaker);
}

int
main(void)
{
    test_it_opens_at_once_and_closes_by_itself();
    test_an_outage_before_the_last_view_does_not_open_it();
    test_probes_are_repeated_with_pauses();
    test_a_stopped_breaker_stays_open_without_a_thread();
#ifndef __SANITIZE_THREAD__
    test_a_child_has_a_thread_of_its_own();
#endif
    test_many_threads_see_one_outage();
    test_a_failing_allocation_is_no_memory();
    return check_report("test_breaker");
}
