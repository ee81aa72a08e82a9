#include "base/background.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/process_part.h"
#include "base/wait.h"

typedef struct part {
    fta_process_part of_process;
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t stopped;
    bool stops;
    bool joinable;
    pthread_t thread;
    atomic_bool running; /* Written by the thread without the lock, too. */
} part;

struct fta_background {
    fta_background_work work;
    fta_process_parts parts;
};

static fta_process_part *
part_new(void *background)
{
    (void)background;
    part *p = fta_calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        fta_free(p);
        return NULL;
    }
    if (!fta_cond_init(&p->stopped)) {
        (void)pthread_mutex_destroy(&p->lock);
        fta_free(p);
        return NULL;
    }
    return &p->of_process;
}

static void
part_free(fta_process_part *of_process)
{
    part *p = (part *)of_process;
    (void)pthread_cond_destroy(&p->stopped);
    (void)pthread_mutex_destroy(&p->lock);
    fta_free(p);
}

/* NULL without memory. */
static part *
this_part(fta_background *background)
{
    static const fta_process_part_kind kind = {part_new, part_free, NULL};
    return (part *)fta_process_part_get(&background->parts, &kind, background);
}

fta_status
fta_background_new(const fta_background_work *work, fta_background **out)
{
    *out = fta_calloc(1, sizeof **out);
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    (*out)->work = *work;
    return FTA_OK;
}

void
fta_background_stop(fta_background *background)
{
    part *p = this_part(background);
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    bool joinable = p->joinable;
    p->stops = true;
    p->joinable = false;
    (void)pthread_cond_signal(&p->stopped);
    (void)pthread_mutex_unlock(&p->lock);
    if (joinable) {
        (void)pthread_join(p->thread, NULL);
    }
}

void
fta_background_free(fta_background *background)
{
    if (background == NULL) {
        return;
    }
    fta_process_part *known = fta_process_part_known(&background->parts);
    if (known != NULL) {
        fta_background_stop(background);
        part_free(known);
    }
    fta_free(background);
}

/* Whether the thread goes on. Who adds work sees that it runs no longer, or it
 * sees the work. */
static bool
goes_on(part *p, const fta_background_work *work)
{
    bool ended = false;
    if (work->is_left(work->context)) {
        return true;
    }
    atomic_store(&p->running, false);
    return work->is_left(work->context) &&
           atomic_compare_exchange_strong(&p->running, &ended, true);
}

static void *
run(void *argument)
{
    fta_background *background = argument;
    const fta_background_work *work = &background->work;
    part *p = (part *)atomic_load(&background->parts);
    do {
        int64_t pause_us = work->pause_us(work->context);
        (void)pthread_mutex_lock(&p->lock);
        if (!p->stops) {
            /* A spurious wake-up only makes one step come early. */
            fta_cond_wait(&p->stopped, &p->lock, pause_us);
        }
        bool stops = p->stops;
        (void)pthread_mutex_unlock(&p->lock);
        if (stops) {
            break;
        }
        work->step(work->context);
    } while (goes_on(p, work));
    return NULL;
}

void
fta_background_start(fta_background *background)
{
    part *p = this_part(background);
    if (p == NULL || atomic_load(&p->running)) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    if (!p->stops && !atomic_exchange(&p->running, true)) {
        if (p->joinable) {
            /* It has said that it no longer runs: this does not wait. */
            (void)pthread_join(p->thread, NULL);
        }
        /* Signals are for the threads of the host program. */
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        p->joinable = pthread_create(&p->thread, NULL, run, background) == 0;
        atomic_store(&p->running, p->joinable);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_mutex_unlock(&p->lock);
}
