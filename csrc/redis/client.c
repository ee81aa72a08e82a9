#include "redis/client.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process_part.h"
#include "redis/pool.h"
#include "redis/protocol.h"
#include "redis/tls.h"
#include "redis/topology.h"

enum {
    ATTEMPTS_MAX = 16, /* of one call */
    PAUSE_MS = 2,      /* before the next attempt while a slot is being moved */
};

typedef struct process {
    fta_process_part of_process;
    fta_redis_connector connector; /* its lookups are Owned */
    fta_redis_pool *pool;          /* Owned */
    fta_redis_topology *topology;  /* Owned */
    atomic_uint lost;              /* how often all connections were */
} process;

struct fta_redis_client {
    fta_redis_url *url;                   /* Owned */
    fta_redis_tls *tls;                   /* Owned, or NULL */
    const fta_redis_transport *transport; /* Borrowed */
    fta_process_parts processes;
};

/* --- Processes ------------------------------------------------------------ */

static void
process_free(fta_process_part *of_process)
{
    process *p = (process *)of_process;
    fta_redis_topology_free(p->topology);
    fta_redis_pool_free(p->pool);
    fta_redis_lookups_release(p->connector.lookups);
    fta_free(p);
}

static fta_process_part *
process_new(void *object)
{
    const fta_redis_client *client = object;
    process *p = fta_calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    p->connector = (fta_redis_connector){
        client->url, client->tls, client->transport, fta_redis_lookups_new()};
    if (p->connector.lookups != NULL) {
        p->pool = fta_redis_pool_new(&p->connector);
    }
    if (p->pool != NULL) {
        p->topology = fta_redis_topology_new(&p->connector, p->pool);
    }
    if (p->topology == NULL) {
        process_free(&p->of_process);
        return NULL;
    }
    return &p->of_process;
}

/* Closes the descriptors that a child has inherited, and sends nothing. */
static void
leave_parents(fta_process_part *parents)
{
    fta_redis_pool_abandon(((process *)parents)->pool);
}

/* NULL without memory. */
static process *
this_process(fta_redis_client *client)
{
    static const fta_process_part_kind kind = {process_new, process_free,
                                               leave_parents};
    return (process *)fta_process_part_get(&client->processes, &kind, client);
}

static void
invalidate(process *p)
{
    fta_redis_topology_invalidate(p->topology);
    fta_redis_pool_invalidate(p->pool);
}

/* After a failure nothing that is known is trusted any more: not the primary,
 * not the slots, not the idle connections. */
static void
lose(process *p)
{
    atomic_fetch_add(&p->lost, 1);
    invalidate(p);
}

/* --- The client ----------------------------------------------------------- */

fta_status
fta_redis_client_new(fta_redis_url *url, fta_redis_client **out,
                     fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_client *client = fta_calloc(1, sizeof(*client));
    if (client == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        url->tls ? fta_redis_tls_new(url, &client->tls, problem) : FTA_OK;
    if (status != FTA_OK) {
        fta_free(client);
        return status;
    }
    client->url = url;
    client->transport = &fta_redis_system_transport;
    *out = client;
    return FTA_OK;
}

void
fta_redis_client_set_transport(fta_redis_client *client,
                               const fta_redis_transport *transport)
{
    client->transport = transport;
}

void
fta_redis_client_free(fta_redis_client *client)
{
    if (client == NULL) {
        return;
    }
    fta_process_part *newest = atomic_load(&client->processes);
    fta_process_part *own = fta_process_part_known(&client->processes);
    if (newest != NULL && own == NULL) {
        /* This child never used the client. The SSL objects of its parent
         * still refer to the context, so that is not freed. */
        leave_parents(newest);
    } else {
        if (own != NULL) {
            process_free(own);
        }
        fta_redis_tls_free(client->tls);
    }
    fta_redis_url_free(client->url);
    fta_free(client);
}

void
fta_redis_client_disconnect(fta_redis_client *client)
{
    process *p = this_process(client);
    if (p != NULL) {
        fta_redis_pool_disconnect(p->pool);
    }
}

const fta_redis_url *
fta_redis_client_url(const fta_redis_client *client)
{
    return client->url;
}

/* --- A call --------------------------------------------------------------- */

/* Where the next attempt goes. */
typedef struct route {
    fta_redis_host host;
    bool is_redirect; /* host was named by a node */
    bool asking;      /* ASKING goes first */
} route;

typedef struct call {
    process *process;
    fta_redis_request request;
    unsigned slot;
    int64_t deadline;
    fta_redis_resend resend;
    fta_redis_problem *problem;
    route route;
    bool is_reused;  /* the last attempt used an old connection */
    bool is_retried; /* an old connection has failed once */
} call;

/* Sends the command once. outcome is set whatever happens. */
static fta_status
send_once(call *a, fta_redis_outcome *outcome)
{
    const process *p = a->process;
    fta_status status = FTA_OK;
    *outcome = (fta_redis_outcome){.kind = FTA_REDIS_OUTCOME_FAILED};
    if (!a->route.is_redirect) {
        status = fta_redis_topology_find(p->topology, a->slot, a->deadline,
                                         &a->route.host, a->problem);
    }
    fta_redis_pooled *taken = NULL;
    a->is_reused = false;
    if (status == FTA_OK && a->resend == FTA_REDIS_RESEND_NEVER) {
        fta_redis_pool_take_idle(p->pool, &a->route.host, &taken);
        status = taken != NULL ? FTA_OK : FTA_REDIS_POOL_EMPTY;
    } else if (status == FTA_OK) {
        status = fta_redis_pool_take(p->pool, &a->route.host, a->deadline,
                                     &taken, a->problem);
    }
    if (status != FTA_OK) {
        return status;
    }
    a->is_reused = taken->is_reused;
    const fta_redis_attempt attempt = {
        .request = &a->request,
        .asking = a->route.asking,
        .node = p->connector.url->cluster ? &a->route.host : NULL,
    };
    status = fta_redis_protocol_send(&taken->connection, &attempt, a->deadline,
                                     outcome, a->problem);
    fta_redis_pool_give_back(p->pool, taken);
    return status;
}

static void
follow_redirect(call *a, const fta_redis_outcome *redirect)
{
    a->route = (route){.host = redirect->host,
                       .is_redirect = true,
                       .asking = redirect->asking};
    if (!redirect->asking) {
        fta_redis_topology_move_slot(a->process->topology, redirect->slot,
                                     &redirect->host);
    }
}

/* Whether to try again after a failure: the next attempt may succeed. The
 * command was not carried out, or it may be carried out twice: a connection
 * that closes does not say. */
static bool
tries_again(call *a, fta_status status)
{
    a->route = (route){.is_redirect = false};
    if (a->resend == FTA_REDIS_RESEND_NEVER) {
        return false;
    }
    switch (status) {
    case FTA_REDIS_TRY_AGAIN:
        /* Some of the keys have moved, or none exists yet. A cluster serves
         * them together only when the whole slot has moved. */
        if (fta_clock_monotonic_us() + PAUSE_MS * 1000 < a->deadline) {
            a->process->connector.transport->pause(PAUSE_MS);
        }
        return fta_clock_monotonic_us() < a->deadline;
    case FTA_REDIS_CLOSED:
    case FTA_REDIS_READ_ONLY:
        /* An old connection may lead to a process or a role that is past:
         * tries once more, on a new one. */
        if (a->is_reused && !a->is_retried &&
            (status == FTA_REDIS_READ_ONLY ||
             a->resend == FTA_REDIS_RESEND_CLOSED)) {
            a->is_retried = true;
            lose(a->process);
            return true;
        }
        return false;
    default:
        return false;
    }
}

static fta_status
make_call(call *a, fta_redis_reply **out)
{
    fta_status status = FTA_OK;
    for (int attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
        fta_redis_outcome outcome;
        status = send_once(a, &outcome);
        switch (outcome.kind) {
        case FTA_REDIS_OUTCOME_REPLY:
            *out = outcome.reply;
            return FTA_OK;
        case FTA_REDIS_OUTCOME_REDIRECT:
            if (a->resend == FTA_REDIS_RESEND_NEVER) {
                return FTA_REDIS_MOVED;
            }
            if (fta_clock_monotonic_us() > a->deadline) {
                return FTA_REDIS_TIMEOUT;
            }
            follow_redirect(a, &outcome);
            break;
        case FTA_REDIS_OUTCOME_FAILED:
            if (!tries_again(a, status)) {
                return status;
            }
            break;
        }
    }
    return status;
}

/* Whether a failure is about this call alone, so that what is known of Redis
 * still holds. */
static bool
is_of_the_call(fta_status status)
{
    switch (status) {
    case FTA_NO_MEMORY:
    case FTA_REDIS_NO_SCRIPT:
    case FTA_REDIS_POOL_EMPTY:
    case FTA_REDIS_REFUSED:
    case FTA_REDIS_TRY_AGAIN:
    case FTA_REDIS_ASK:
        return true;
    default:
        return false;
    }
}

fta_status
fta_redis_client_call(fta_redis_client *client,
                      const fta_redis_command *command,
                      const fta_redis_sending *sending, fta_redis_reply **out,
                      fta_redis_problem *problem)
{
    *out = NULL;
    problem->text[0] = '\0';
    call a = {
        .process = this_process(client),
        .slot = sending->slot,
        .deadline = sending->deadline,
        .resend = sending->resend,
        .problem = problem,
    };
    if (a.process == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = fta_redis_request_append(&a.request, command);
    if (status == FTA_OK) {
        status = make_call(&a, out);
    }
    fta_redis_request_free(&a.request);
    if (status == FTA_OK) {
        /* An earlier address of the name may have failed. */
        problem->text[0] = '\0';
    } else if (!is_of_the_call(status)) {
        lose(a.process);
    }
    return status;
}

fta_redis_client_history
fta_redis_client_history_read(fta_redis_client *client)
{
    process *p = this_process(client);
    if (p == NULL) {
        return (fta_redis_client_history){0, 0};
    }
    return (fta_redis_client_history){fta_redis_pool_opened(p->pool),
                                      atomic_load(&p->lost)};
}

void
fta_redis_client_renew(fta_redis_client *client)
{
    process *p = this_process(client);
    if (p != NULL) {
        invalidate(p);
    }
}
