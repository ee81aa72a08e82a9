/* Who of the actors goes on, at random: for tests of lock-free code. */
#ifndef FTA_TESTS_SCHEDULES_H
#define FTA_TESTS_SCHEDULES_H

#include <string.h>

#include "actors.h"

/* Far more than any actor needs if nobody holds anything: one that takes more
 * is spinning. */
#define SOLO_STEPS 5000

static void
finish(actor *a)
{
    int steps = 0;
    while (!a->done && !a->killed && steps++ < SOLO_STEPS) {
        resume(a);
    }
    CHECK(a->done || a->killed);
}

static void
run_steps(actor *a, int steps)
{
    while (steps-- > 0 && !a->done) {
        resume(a);
    }
}

/* Lets them run in random turns. With kills, each may be stopped for good. */
static void
run_randomly(uint64_t seed, bool with_kills)
{
    uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    (void)next_random(&state);
    /* Long turns find other races than short ones. */
    uint64_t turn = 1 + next_random(&state) % 8;
    for (;;) {
        actor *alive[ACTORS_MAX];
        size_t count = 0;
        for (size_t i = 0; i < actor_count; i++) {
            if (!actors[i].done && !actors[i].killed) {
                alive[count++] = &actors[i];
            }
        }
        if (count == 0) {
            return;
        }
        actor *next = alive[next_random(&state) % count];
        if (with_kills && next_random(&state) % 60 == 0) {
            next->killed = true;
            continue;
        }
        run_steps(next, (int)(1 + next_random(&state) % turn));
    }
}

/* Lets the one of highest priority run, and a few times, at random moments,
 * puts whoever runs last. That finds what needs one actor to sleep for long,
 * which turns at random hardly ever bring about. */
static void
run_by_priority(uint64_t seed)
{
    enum { CHANGES = 3, LENGTH = 160 };
    uint64_t state = seed * UINT64_C(0xD1B54A32D192ED03) + 1;
    (void)next_random(&state);
    actor *order[ACTORS_MAX];
    size_t alive = 0;
    for (size_t i = 0; i < actor_count; i++) {
        if (!actors[i].killed) {
            size_t at = next_random(&state) % (alive + 1);
            order[alive++] = order[at];
            order[at] = &actors[i];
        }
    }
    int change_at[CHANGES];
    for (int i = 0; i < CHANGES; i++) {
        change_at[i] = (int)(next_random(&state) % LENGTH);
    }
    for (int at = 0; alive > 0; at++) {
        resume(order[0]);
        bool last = order[0]->done;
        for (int i = 0; i < CHANGES; i++) {
            last = last || change_at[i] == at;
        }
        if (last) {
            actor *a = order[0];
            memmove(&order[0], &order[1], (alive - 1) * sizeof order[0]);
            order[alive - 1] = a;
            alive -= a->done;
        }
    }
}

#endif
