/* The names of metrics, added by processes that are stopped between any two of
 * their accesses to shared memory. Each actor (actors.h) is a process. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <stdbool.h>

static void stop_here(void);

/* The code under test, compiled here so that the scheduler gets in. */
#define FTA_BETWEEN_ACCESSES() stop_here()
#include "metrics/names.c"

#include <stdio.h>
#include <unistd.h>

#define NAMES 3

#define ACTOR_FIELDS                                                           \
    fta_metrics_place places[NAMES];                                           \
    size_t named;
#include "schedules.h"

#define SEEDS SCHEDULES(4000)

static fta_metric_memory memory;
static fta_metrics metrics = {.memory = &memory};

static void
write_scope(char out[16], size_t which)
{
    (void)snprintf(out, 16, "view %zu", which);
}

static fta_metrics_place
add_limit(size_t which)
{
    char scope[16];
    write_scope(scope, which);
    const fta_text texts[FTA_GROUP_LABELS] = {
        {"5/s", 3}, {"user", 4}, {scope, strlen(scope)}};
    return fta_metrics_name(&metrics, FTA_GROUP_LIMIT, texts);
}

static bool
is_limit(fta_metrics_place place, size_t which)
{
    char scope[16];
    fta_metrics_name_text read;
    write_scope(scope, which);
    return fta_metrics_read_name(&metrics, FTA_GROUP_LIMIT, place, &read) &&
           fta_text_equal(read.texts[0], (fta_text){"5/s", 3}) &&
           fta_text_equal(read.texts[1], (fta_text){"user", 4}) &&
           fta_text_equal(read.texts[2], (fta_text){scope, strlen(scope)});
}

/* Nobody is given a place whose text is not there. */
static void
act_name(actor *self)
{
    for (size_t i = 0; i < NAMES; i++) {
        self->places[i] = add_limit(i);
        self->named++;
        CHECK(is_limit(self->places[i], i));
    }
}

/* The control: looks and takes, with nothing in between that sees others. */
static void
act_without_a_swap(actor *self)
{
    for (size_t at = 0; at < 256; at++) {
        uint64_t there = atomic_load(&memory.digests_LIMIT[at]);
        stop_here();
        if (there == 0) {
            atomic_store(&memory.digests_LIMIT[at], self->named);
            self->places[0] = at;
            self->named++;
            return;
        }
    }
}

static void
start_over(void)
{
    for (size_t i = 0; i < 256; i++) {
        atomic_store(&memory.digests_LIMIT[i], 0);
        atomic_store(&memory.names_LIMIT[i].length, 0);
    }
    actor_count = 0;
}

static size_t
places_taken(void)
{
    size_t count = 0;
    for (size_t i = 0; i < 256; i++) {
        count += atomic_load(&memory.digests_LIMIT[i]) != 0;
    }
    return count;
}

static void
check_that_all_agree(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        fta_metrics_place place = add_limit(i);
        CHECK(is_limit(place, i));
        for (size_t k = 0; k < actor_count; k++) {
            CHECK(actors[k].named <= i || actors[k].places[i] == place);
        }
    }
    CHECK(places_taken() == NAMES);
}

static void
test_all_find_one_place_for_a_name(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_actor(act_name);
        }
        if (seed % 2 == 0) {
            run_randomly(seed, false);
        } else {
            run_by_priority(seed);
        }
        check_that_all_agree();
    }
}

static void
test_the_name_of_a_killed_process_gets_its_text_from_the_next_one(void)
{
    size_t half = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add_actor(act_name);
        }
        run_randomly(seed, true);
        for (size_t i = 0; i < 256; i++) {
            half += atomic_load(&memory.digests_LIMIT[i]) != 0 &&
                    atomic_load(&memory.names_LIMIT[i].length) == 0;
        }
        finish(add_actor(act_name)); /* It waits for no killed process. */
        check_that_all_agree();
    }
    CHECK(half > 0); /* It came about. */
}

/* The scheduler finds two who have taken one place, where nothing keeps them
 * apart. */
static void
test_control_the_schedules_find_a_race(void)
{
    bool found = false;
    for (uint64_t seed = 0; seed < SEEDS && !found; seed++) {
        start_over();
        for (int i = 0; i < 3; i++) {
            actor *a = add_actor(act_without_a_swap);
            a->named = actor_count; /* Each its own digest. */
        }
        run_randomly(seed, false);
        found = places_taken() < 3;
    }
    CHECK(found);
}

int
main(void)
{
    alarm(300); /* Whoever spins outside of an actor is ended. */
    actors_begin();
    test_all_find_one_place_for_a_name();
    test_the_name_of_a_killed_process_gets_its_text_from_the_next_one();
    test_control_the_schedules_find_a_race();
    actors_end();
    return check_report("test_metrics_names");
}
