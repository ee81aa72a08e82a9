#include "redis/lookup.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/wait.h"

struct fta_redis_lookups {
    atomic_int holders; /* the client, and each thread */
    atomic_int running;
};

fta_redis_lookups *
fta_redis_lookups_new(void)
{
    fta_redis_lookups *lookups = fta_calloc(1, sizeof(*lookups));
    if (lookups != NULL) {
        atomic_init(&lookups->holders, 1);
    }
    return lookups;
}

void
fta_redis_lookups_release(fta_redis_lookups *lookups)
{
    if (lookups != NULL && atomic_fetch_sub(&lookups->holders, 1) == 1) {
        fta_free(lookups);
    }
}

static bool
begin_lookup(fta_redis_lookups *lookups)
{
    if (atomic_fetch_add(&lookups->running, 1) >= FTA_REDIS_LOOKUPS_MAX) {
        atomic_fetch_sub(&lookups->running, 1);
        return false;
    }
    atomic_fetch_add(&lookups->holders, 1);
    return true;
}

static void
end_lookup(fta_redis_lookups *lookups)
{
    atomic_fetch_sub(&lookups->running, 1);
    fta_redis_lookups_release(lookups);
}

/* getaddrinfo has no deadline. So it runs in a thread of its own, which the
 * caller may stop waiting for. The last of the two to release the lookup frees
 * it. */
struct fta_redis_lookup {
    fta_redis_lookups *all; /* Owned while the thread runs */
    pthread_mutex_t lock;
    pthread_cond_t done;
    int holders;
    bool is_done;
    int error;
    struct addrinfo *found; /* Owned */
    char name[FTA_REDIS_HOST_TEXT];
    char port[8];
};

static const struct addrinfo any_stream = {.ai_family = AF_UNSPEC,
                                           .ai_socktype = SOCK_STREAM};

static fta_redis_lookup *
new_lookup(const fta_redis_host *host)
{
    fta_redis_lookup *l = fta_calloc(1, sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        fta_free(l);
        return NULL;
    }
    if (!fta_cond_init(&l->done)) {
        (void)pthread_mutex_destroy(&l->lock);
        fta_free(l);
        return NULL;
    }
    l->holders = 1;
    memcpy(l->name, host->name, sizeof(l->name));
    (void)snprintf(l->port, sizeof(l->port), "%u", (unsigned)host->port);
    return l;
}

void
fta_redis_lookup_release(fta_redis_lookup *l)
{
    (void)pthread_mutex_lock(&l->lock);
    bool last = --l->holders == 0;
    (void)pthread_mutex_unlock(&l->lock);
    if (last) {
        if (l->found != NULL) {
            freeaddrinfo(l->found);
        }
        (void)pthread_cond_destroy(&l->done);
        (void)pthread_mutex_destroy(&l->lock);
        fta_free(l);
    }
}

static void *
run_lookup(void *argument)
{
    fta_redis_lookup *l = argument;
    struct addrinfo *found = NULL;
    int error = getaddrinfo(l->name, l->port, &any_stream, &found);
    end_lookup(l->all);
    (void)pthread_mutex_lock(&l->lock);
    l->error = error;
    l->found = error == 0 ? found : NULL;
    l->is_done = true;
    (void)pthread_cond_signal(&l->done);
    (void)pthread_mutex_unlock(&l->lock);
    fta_redis_lookup_release(l);
    return NULL;
}

static fta_status
start_lookup(fta_redis_lookup *l, fta_redis_lookups *lookups,
             fta_redis_problem *problem)
{
    if (!begin_lookup(lookups)) {
        return fta_redis_fail(problem, FTA_REDIS_UNREACHABLE,
                              "too many names are being resolved");
    }
    l->all = lookups;
    /* Signal handlers of the host program run in its own threads alone. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    l->holders = 2;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run_lookup, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        l->holders = 1;
        end_lookup(lookups);
        return fta_redis_fail(problem, FTA_SYSTEM, strerror(error));
    }
    (void)pthread_detach(thread);
    return FTA_OK;
}

fta_status
fta_redis_resolve(const fta_redis_host *host, int64_t deadline,
                  fta_redis_lookups *all, fta_redis_lookup **out,
                  fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_lookup *l = new_lookup(host);
    if (l == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_OK;
    struct addrinfo numeric = any_stream;
    numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    l->error = getaddrinfo(l->name, l->port, &numeric, &l->found);
    if (l->error != 0) {
        l->found = NULL;
        status = start_lookup(l, all, problem);
        (void)pthread_mutex_lock(&l->lock);
        while (status == FTA_OK && !l->is_done) {
            int64_t left = deadline - fta_clock_monotonic_us();
            if (left <= 0) {
                status = fta_redis_fail(problem, FTA_REDIS_TIMEOUT,
                                        "the name takes too long to resolve");
            } else {
                fta_cond_wait(&l->done, &l->lock, left);
            }
        }
        if (status == FTA_OK && l->error != 0) {
            status = fta_redis_fail(problem, FTA_REDIS_UNREACHABLE,
                                    gai_strerror(l->error));
        }
        (void)pthread_mutex_unlock(&l->lock);
    }
    if (status != FTA_OK) {
        fta_redis_lookup_release(l);
        return status;
    }
    *out = l;
    return FTA_OK;
}

const struct addrinfo *
fta_redis_lookup_addresses(const fta_redis_lookup *l)
{
    return l->found;
}
