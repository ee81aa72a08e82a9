/* Actors for tests of lock-free code: coroutines and a scheduler, which decides
 * before each access to shared memory who goes on. So races come about in every
 * order there is, not in the few that a machine happens to produce, and an
 * actor that is never resumed is a process killed between two instructions.
 *
 * The test defines _XOPEN_SOURCE 700 (ucontext on macOS), declares stop_here,
 * which its code under test calls between two accesses, and defines
 * ACTOR_FIELDS: what an actor has beside what stands here. */
#ifndef FTA_TESTS_ACTORS_H
#define FTA_TESTS_ACTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "check.h"

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define SCHEDULES(n) ((n) / 20)
#elif defined(__SANITIZE_ADDRESS__)
#define SCHEDULES(n) ((n) / 4)
#else
#define SCHEDULES(n) (n)
#endif

/* -- actors and their scheduler -------------------------------------------- */

#define ACTORS_MAX 4
#define STACK_SIZE ((size_t)256 << 10)

typedef struct actor {
    ucontext_t context;
    char *stack;
    void *fiber;
    void (*act)(struct actor *self);
    bool done;
    bool killed;
    ACTOR_FIELDS
} actor;

static actor actors[ACTORS_MAX];
static size_t actor_count;
static actor *running; /* NULL: the scheduler itself, which nobody stops. */
static ucontext_t scheduler;
#ifdef __SANITIZE_THREAD__
static void *scheduler_fiber;
#endif

static void
stop_here(void)
{
    if (running != NULL) {
        actor *self = running;
#ifdef __SANITIZE_THREAD__
        __tsan_switch_to_fiber(scheduler_fiber, 0);
#endif
        swapcontext(&self->context, &scheduler);
    }
}

static void
enter(void)
{
    running->act(running);
    running->done = true;
    for (;;) {
        stop_here();
    }
}

static void
resume(actor *a)
{
    running = a;
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(a->fiber, 0);
#endif
    swapcontext(&scheduler, &a->context);
    running = NULL;
}

static actor *
add_actor(void (*act)(actor *self))
{
    actor *a = &actors[actor_count++];
    char *stack = a->stack != NULL ? a->stack : malloc(STACK_SIZE);
    void *fiber = a->fiber;
    if (stack == NULL) {
        abort();
    }
    *a = (actor){.stack = stack, .fiber = fiber, .act = act};
#ifdef __SANITIZE_THREAD__
    if (fiber == NULL) {
        a->fiber = __tsan_create_fiber(0);
    }
#endif
    getcontext(&a->context);
    a->context.uc_stack.ss_sp = stack;
    a->context.uc_stack.ss_size = STACK_SIZE;
    a->context.uc_link = NULL;
    makecontext(&a->context, enter, 0);
    return a;
}

/* Before the first actor, in the thread that schedules them all. */
static void
actors_begin(void)
{
#ifdef __SANITIZE_THREAD__
    scheduler_fiber = __tsan_get_current_fiber();
#endif
}

static void
actors_end(void)
{
    for (size_t i = 0; i < ACTORS_MAX; i++) {
        free(actors[i].stack);
#ifdef __SANITIZE_THREAD__
        if (actors[i].fiber != NULL) {
            __tsan_destroy_fiber(actors[i].fiber);
        }
#endif
    }
}

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

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
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
