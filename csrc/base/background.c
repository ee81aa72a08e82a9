#include "base/background.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/wait.h"

/* One process' part: a child makes its own, as the lock of its parent's may be
 * held by a thread that the child does not have. */
typedef struct part {
    pid_t pid;
    struct part *inherited; /* Owned but never used nor freed. */
    pthread_mutex_t lock;   /* over all that follows */
    pthread_cond_t stopped;
    bool stops;
    bool joinable;
    pthread_t thread;
    atomic_bool running; /* Written by the thread without the lock, too. */
} part;

struct fta_background {
    fta_background_work work;
    _Atomic(part *) part;
};

static part *
part_new(pid_t pid)
{
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
    p->pid = pid;
    return p;
}

static void
part_free(part *p)
{
    (void)pthread_cond_destroy(&p->stopped);
    (void)pthread_mutex_destroy(&p->lock);
    fta_free(p);
}

/* NULL without memory. */
static part *
this_part(fta_background *background)
{
    part *known = atomic_load(&background->part);
    pid_t pid = getpid();
    if (known != NULL && known->pid == pid) {
        return known;
    }
    part *fresh = part_new(pid);
    if (fresh == NULL) {
        return NULL;
    }
    fresh->inherited = known;
    if (!atomic_compare_exchange_strong(&background->part, &known, fresh)) {
        part_free(fresh);
        return known;
    }
    return fresh;
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
    part *p = atomic_load(&background->part);
    if (p != NULL && p->pid == getpid()) {
        fta_background_stop(background);
        part_free(p);
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
    part *p = atomic_load(&background->part);
    do {
        (void)pthread_mutex_lock(&p->lock);
        if (!p->stops) {
            /* A spurious wake-up only makes one step come early. */
            fta_cond_wait(&p->stopped, &p->lock, work->pause_us);
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
