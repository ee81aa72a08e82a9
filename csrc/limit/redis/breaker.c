#include "limit/redis/breaker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/wait.h"

/* One process' part: a child makes its own, as the lock of its parent's may
 * be held by a thread that the child does not have. */
typedef struct part {
    pid_t pid;
    struct part *inherited; /* Owned but never used nor freed */
    pthread_mutex_t lock;   /* over all that follows */
    pthread_cond_t stopped;
    bool stops;
    bool joinable;
    pthread_t thread;
    atomic_bool running; /* written under the lock, read without */
    fta_status status;
    fta_redis_problem problem;
} part;

struct fta_breaker {
    fta_breaker_probe probe;
    void *context;                                /* Borrowed */
    void (*changed)(void *context, bool is_open); /* NULL: nobody is told */
    void *watcher;                                /* Borrowed: its context */
    _Atomic fta_breaker_view view;
    _Atomic(part *) part;
};

static part *
part_new(pid_t pid)
{
    part *p = fta_calloc(1, sizeof(*p));
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
this_part(fta_breaker *breaker)
{
    part *known = atomic_load(&breaker->part);
    pid_t pid = getpid();
    if (known != NULL && known->pid == pid) {
        return known;
    }
    part *fresh = part_new(pid);
    if (fresh == NULL) {
        return NULL;
    }
    fresh->inherited = known;
    if (!atomic_compare_exchange_strong(&breaker->part, &known, fresh)) {
        part_free(fresh);
        return known;
    }
    return fresh;
}

fta_status
fta_breaker_new(fta_breaker_probe probe, void *context, fta_breaker **out)
{
    *out = fta_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    (*out)->probe = probe;
    (*out)->context = context;
    return FTA_OK;
}

void
fta_breaker_watch(fta_breaker *breaker,
                  void (*changed)(void *context, bool is_open), void *context)
{
    breaker->changed = changed;
    breaker->watcher = context;
}

static void
tell(const fta_breaker *breaker, bool is_open)
{
    if (breaker->changed != NULL) {
        breaker->changed(breaker->watcher, is_open);
    }
}

void
fta_breaker_stop(fta_breaker *breaker)
{
    part *p = this_part(breaker);
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
fta_breaker_free(fta_breaker *breaker)
{
    if (breaker == NULL) {
        return;
    }
    part *p = atomic_load(&breaker->part);
    if (p != NULL && p->pid == getpid()) {
        fta_breaker_stop(breaker);
        part_free(p);
    }
    fta_free(breaker);
}

/* --- The thread
 * ------------------------------------------------------------------ */

/* Three to five quarters of it. */
static int64_t
jitter(int64_t us)
{
    uint16_t random = 0;
    (void)RAND_bytes((unsigned char *)&random, sizeof(random));
    return us * 3 / 4 + us * random / (2 * (int64_t)UINT16_MAX);
}

static void
remember(part *p, fta_status status, const fta_redis_problem *problem)
{
    p->status = status;
    p->problem = *problem;
}

/* Whether the breaker still runs at the end of the wait. Lock held. */
static bool
rest(part *p, int64_t us)
{
    /* A spurious wake-up only makes one probe come early. */
    if (!p->stops) {
        fta_cond_wait(&p->stopped, &p->lock, us);
    }
    return !p->stops;
}

static void *
watch(void *argument)
{
    fta_breaker *breaker = argument;
    part *p = atomic_load(&breaker->part);
    int64_t distance = FTA_BREAKER_FIRST_US;
    tell(breaker, true);
    (void)pthread_mutex_lock(&p->lock);
    while (rest(p, jitter(distance))) {
        (void)pthread_mutex_unlock(&p->lock);
        fta_redis_problem problem = {""};
        fta_status status = breaker->probe(breaker->context, &problem);
        (void)pthread_mutex_lock(&p->lock);
        if (status == FTA_OK) {
            tell(breaker, false); /* First: the next outage has a new thread. */
            atomic_fetch_add(&breaker->view, 1);
            break;
        }
        remember(p, status, &problem);
        distance = distance * 2 < FTA_BREAKER_LONGEST_US
                       ? distance * 2
                       : FTA_BREAKER_LONGEST_US;
    }
    atomic_store(&p->running, false);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Sees to it that this process' thread runs while the breaker is open. When
 * none can be made, the next caller tries again. */
static void
ensure_watch(fta_breaker *breaker)
{
    part *p = this_part(breaker);
    if (p == NULL || atomic_load(&p->running)) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    if (!atomic_load(&p->running) && !p->stops &&
        fta_breaker_is_open(atomic_load(&breaker->view))) {
        if (p->joinable) {
            /* It has said that it no longer runs: this does not wait. */
            (void)pthread_join(p->thread, NULL);
        }
        /* Signals are for the threads of the host program. */
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        p->joinable = pthread_create(&p->thread, NULL, watch, breaker) == 0;
        atomic_store(&p->running, p->joinable);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

/* --- Callers
 * ---------------------------------------------------------------------- */

fta_breaker_view
fta_breaker_look(fta_breaker *breaker)
{
    fta_breaker_view view = atomic_load(&breaker->view);
    if (fta_breaker_is_open(view)) {
        ensure_watch(breaker);
    }
    return view;
}

void
fta_breaker_trip(fta_breaker *breaker, fta_breaker_view seen, fta_status status,
                 const fta_redis_problem *problem)
{
    fta_breaker_note(breaker, status, problem);
    if (!fta_breaker_is_open(seen) &&
        atomic_compare_exchange_strong(&breaker->view, &seen, seen + 1)) {
        ensure_watch(breaker);
    }
}

void
fta_breaker_note(fta_breaker *breaker, fta_status status,
                 const fta_redis_problem *problem)
{
    part *p = this_part(breaker);
    if (p != NULL) {
        (void)pthread_mutex_lock(&p->lock);
        remember(p, status, problem);
        (void)pthread_mutex_unlock(&p->lock);
    }
}

void
fta_breaker_last_failure(fta_breaker *breaker, fta_status *status,
                         fta_redis_problem *problem)
{
    *status = FTA_OK;
    problem->text[0] = '\0';
    part *p = this_part(breaker);
    if (p != NULL) {
        (void)pthread_mutex_lock(&p->lock);
        *status = p->status;
        *problem = p->problem;
        (void)pthread_mutex_unlock(&p->lock);
    }
}
