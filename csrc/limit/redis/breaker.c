#include "limit/redis/breaker.h"

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/background.h"
#include "base/process_part.h"

typedef struct part {
    fta_process_part of_process;
    bool has_told;        /* That it is open. Of the thread alone. */
    int64_t distance_us;  /* To the next probe. Of the thread alone. */
    pthread_mutex_t lock; /* over all that follows */
    fta_status status;
    fta_redis_problem problem;
} part;

struct fta_breaker {
    fta_breaker_probe probe;
    void *context;                                /* Borrowed */
    void (*changed)(void *context, bool is_open); /* NULL: nobody is told */
    void *watcher;                                /* Borrowed: its context */
    _Atomic fta_breaker_view view;
    fta_process_parts parts;
    fta_background *probing; /* Owned; runs while the breaker is open */
};

static fta_process_part *
part_new(void *breaker)
{
    (void)breaker;
    part *p = fta_calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        fta_free(p);
        return NULL;
    }
    p->distance_us = FTA_BREAKER_FIRST_US;
    return &p->of_process;
}

static void
part_free(fta_process_part *of_process)
{
    part *p = (part *)of_process;
    (void)pthread_mutex_destroy(&p->lock);
    fta_free(p);
}

/* NULL without memory. */
static part *
this_part(fta_breaker *breaker)
{
    static const fta_process_part_kind kind = {part_new, part_free, NULL};
    return (part *)fta_process_part_get(&breaker->parts, &kind, breaker);
}

/* --- The thread ----------------------------------------------------------- */

static void
tell(const fta_breaker *breaker, bool is_open)
{
    if (breaker->changed != NULL) {
        breaker->changed(breaker->watcher, is_open);
    }
}

static bool
is_open(void *context)
{
    fta_breaker *breaker = context;
    return fta_breaker_is_open(atomic_load(&breaker->view));
}

/* Three to five quarters of it. */
static int64_t
jitter(int64_t us)
{
    uint16_t random = 0;
    (void)RAND_bytes((unsigned char *)&random, sizeof(random));
    return us * 3 / 4 + us * random / (2 * (int64_t)UINT16_MAX);
}

/* Until the next probe. The first of an outage tells of it. */
static int64_t
distance_us(void *context)
{
    fta_breaker *breaker = context;
    part *p = this_part(breaker);
    if (p == NULL) {
        return FTA_BREAKER_FIRST_US;
    }
    if (!p->has_told && is_open(breaker)) {
        p->has_told = true;
        tell(breaker, true);
    }
    int64_t next = p->distance_us;
    p->distance_us =
        next * 2 < FTA_BREAKER_LONGEST_US ? next * 2 : FTA_BREAKER_LONGEST_US;
    return jitter(next);
}

static void
close_again(fta_breaker *breaker)
{
    part *p = this_part(breaker);
    if (p != NULL) {
        p->has_told = false;
        p->distance_us = FTA_BREAKER_FIRST_US;
    }
    tell(breaker, false); /* First: from then on there may be a next outage. */
    atomic_fetch_add(&breaker->view, 1);
}

static void
probe(void *context)
{
    fta_breaker *breaker = context;
    if (!is_open(breaker)) {
        return; /* It was closed when the thread was asked for. */
    }
    fta_redis_problem problem = {""};
    fta_status status = breaker->probe(breaker->context, &problem);
    if (status == FTA_OK) {
        close_again(breaker);
    } else {
        fta_breaker_note(breaker, status, &problem);
    }
}

/* --- Life ----------------------------------------------------------------- */

fta_status
fta_breaker_new(fta_breaker_probe ask, void *context, fta_breaker **out)
{
    fta_breaker *breaker = fta_calloc(1, sizeof(*breaker));
    *out = NULL;
    if (breaker == NULL) {
        return FTA_NO_MEMORY;
    }
    const fta_background_work work = {probe, is_open, distance_us, breaker};
    breaker->probe = ask;
    breaker->context = context;
    fta_status status = fta_background_new(&work, &breaker->probing);
    if (status != FTA_OK) {
        fta_free(breaker);
        return status;
    }
    *out = breaker;
    return FTA_OK;
}

void
fta_breaker_watch(fta_breaker *breaker,
                  void (*changed)(void *context, bool is_open), void *context)
{
    breaker->changed = changed;
    breaker->watcher = context;
}

void
fta_breaker_stop(fta_breaker *breaker)
{
    fta_background_stop(breaker->probing);
}

void
fta_breaker_free(fta_breaker *breaker)
{
    if (breaker == NULL) {
        return;
    }
    fta_background_free(breaker->probing);
    fta_process_part *known = fta_process_part_known(&breaker->parts);
    if (known != NULL) {
        part_free(known);
    }
    fta_free(breaker);
}

/* --- Callers -------------------------------------------------------------- */

fta_breaker_view
fta_breaker_look(fta_breaker *breaker)
{
    fta_breaker_view view = atomic_load(&breaker->view);
    if (fta_breaker_is_open(view)) {
        fta_background_start(breaker->probing);
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
        fta_background_start(breaker->probing);
    }
}

void
fta_breaker_note(fta_breaker *breaker, fta_status status,
                 const fta_redis_problem *problem)
{
    part *p = this_part(breaker);
    if (p != NULL) {
        (void)pthread_mutex_lock(&p->lock);
        p->status = status;
        p->problem = *problem;
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
