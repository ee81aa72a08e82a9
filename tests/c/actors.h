/* Actors for tests of code that others interrupt: coroutines, of which the test
 * decides before each access or call who goes on (schedules.h has ways to). So
 * races come about in every order there is, not in the few that a machine
 * happens to produce, and an actor that is never resumed is a process killed
 * between two instructions.
 *
 * The test defines _XOPEN_SOURCE 700 (ucontext on macOS), declares stop_here,
 * which its code under test calls between two accesses, and defines
 * ACTOR_FIELDS: what an actor has beside what stands here. */
#ifndef FTA_TESTS_ACTORS_H
#define FTA_TESTS_ACTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
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

#define ACTORS_MAX 5
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
    a->context.uc_stack.ss_sp = a->stack;
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

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
