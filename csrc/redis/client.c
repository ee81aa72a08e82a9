#include "redis/client.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/wait.h"
#include "redis/dialogue.h"

enum {
    ATTEMPTS_MAX = 16, /* of one call */
    PAUSE_MS = 2,      /* before asking again for what two nodes are moving */
    SHARE_MAX = 4,     /* parts of a deadline, for trying several hosts */
};

typedef enum connection_state { CLOSED, IDLE, TAKEN } connection_state;

typedef struct connection {
    fta_redis_socket socket;
    fta_redis_host host; /* unix: empty */
    connection_state state;
    unsigned epoch;
} connection;

/* What one process has of a link. A child makes its own and leaves its
 * parent's alone, locks included: a thread that no longer exists may have
 * held them. */
typedef struct process {
    pid_t pid;
    struct process *inherited;     /* Owned but never used nor freed */
    fta_redis_connector connector; /* its lookups are Owned */
    pthread_mutex_t lock;          /* over all that follows */
    pthread_cond_t returned;
    unsigned epoch; /* a connection from an earlier one is not trusted */
    size_t turn;    /* whom to ask first for the topology */
    bool has_primary;
    fta_redis_host primary;
    fta_redis_slots *slots; /* Owned, or NULL */
    bool slots_doubted;
    size_t count;
    connection connections[];
} process;

struct fta_redis_client {
    fta_redis_url *url;                   /* Owned */
    fta_redis_tls *tls;                   /* Owned, or NULL */
    const fta_redis_transport *transport; /* Borrowed */
    _Atomic(process *) process;
};

/* --- Processes
 * ------------------------------------------------------------------ */

static process *
process_new(const fta_redis_client *link, pid_t pid)
{
    size_t count = link->url->max_connections;
    process *p = fta_calloc(1, sizeof(*p) + count * sizeof(connection));
    if (p == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        fta_free(p);
        return NULL;
    }
    if (!fta_cond_init(&p->returned)) {
        (void)pthread_mutex_destroy(&p->lock);
        fta_free(p);
        return NULL;
    }
    p->connector = (fta_redis_connector){link->url, link->tls, link->transport,
                                         fta_redis_lookups_new()};
    if (p->connector.lookups == NULL) {
        (void)pthread_cond_destroy(&p->returned);
        (void)pthread_mutex_destroy(&p->lock);
        fta_free(p);
        return NULL;
    }
    p->pid = pid;
    p->count = count;
    for (size_t i = 0; i < count; i++) {
        atomic_init(&p->connections[i].socket.fd, -1);
    }
    return p;
}

static void
process_free(process *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fta_redis_socket_close(&p->connections[i].socket);
    }
    fta_redis_slots_free(p->slots);
    fta_redis_lookups_leave(p->connector.lookups);
    (void)pthread_cond_destroy(&p->returned);
    (void)pthread_mutex_destroy(&p->lock);
    fta_free(p);
}

static void
process_abandon(process *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fta_redis_socket_abandon(&p->connections[i].socket);
    }
}

/* NULL without memory. */
static process *
this_process(fta_redis_client *link)
{
    process *known = atomic_load(&link->process);
    pid_t pid = getpid();
    if (known != NULL && known->pid == pid) {
        return known;
    }
    process *fresh = process_new(link, pid);
    if (fresh == NULL) {
        return NULL;
    }
    process *parents = known;
    fresh->inherited = parents;
    if (!atomic_compare_exchange_strong(&link->process, &known, fresh)) {
        /* Another thread of this process was first. */
        process_free(fresh);
        return known;
    }
    if (parents != NULL) {
        process_abandon(parents);
    }
    return fresh;
}

fta_status
fta_redis_client_new(fta_redis_url *url, fta_redis_client **out,
                     fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_client *link = fta_calloc(1, sizeof(*link));
    if (link == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        url->tls ? fta_redis_tls_new(url, &link->tls, problem) : FTA_OK;
    if (status != FTA_OK) {
        fta_free(link);
        return status;
    }
    link->url = url;
    link->transport = &fta_redis_system_transport;
    *out = link;
    return FTA_OK;
}

void
fta_redis_client_set_transport(fta_redis_client *link,
                               const fta_redis_transport *transport)
{
    link->transport = transport;
}

void
fta_redis_client_free(fta_redis_client *link)
{
    if (link == NULL) {
        return;
    }
    process *p = atomic_load(&link->process);
    if (p != NULL && p->pid == getpid()) {
        process_free(p);
        fta_redis_tls_free(link->tls);
    } else if (p != NULL) {
        /* A child that never used the link: the SSL objects of its parent
         * still refer to the context. */
        process_abandon(p);
    } else {
        fta_redis_tls_free(link->tls);
    }
    fta_redis_url_free(link->url);
    fta_free(link);
}

void
fta_redis_client_hang_up(fta_redis_client *link)
{
    process *p = this_process(link);
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    p->epoch++;
    for (size_t i = 0; i < p->count; i++) {
        if (p->connections[i].state == IDLE) {
            fta_redis_socket_close(&p->connections[i].socket);
            p->connections[i].state = CLOSED;
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
}

const fta_redis_url *
fta_redis_client_url(const fta_redis_client *link)
{
    return link->url;
}

/* --- Connections
 * -------------------------------------------------------------------- */

static bool
same_host(const fta_redis_host *a, const fta_redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* A connection that is not trusted any more is closed, not kept. */
static void
give_back(process *p, connection *c)
{
    (void)pthread_mutex_lock(&p->lock);
    bool trusted = c->epoch == p->epoch;
    (void)pthread_mutex_unlock(&p->lock);
    if (!trusted) {
        fta_redis_socket_close(&c->socket);
    }
    bool open = atomic_load(&c->socket.fd) >= 0;
    (void)pthread_mutex_lock(&p->lock);
    c->state = open ? IDLE : CLOSED;
    (void)pthread_cond_signal(&p->returned);
    (void)pthread_mutex_unlock(&p->lock);
}

static void
drop(process *p, connection *c)
{
    fta_redis_socket_close(&c->socket);
    give_back(p, c);
}

/* An idle connection to this host, or else a place for a new one. Lock held. */
static connection *
choose(process *p, const fta_redis_host *host, bool *reused)
{
    connection *place = NULL;
    for (size_t i = 0; i < p->count; i++) {
        connection *c = &p->connections[i];
        if (c->state == IDLE && c->epoch == p->epoch &&
            same_host(&c->host, host)) {
            *reused = true;
            return c;
        }
        if (c->state == CLOSED ||
            (c->state == IDLE && (place == NULL || c->epoch != p->epoch))) {
            place = place != NULL && place->state == CLOSED ? place : c;
        }
    }
    *reused = false;
    return place;
}

/* The connection is TAKEN: this thread's alone until it is given back. */
static fta_status
take(fta_redis_client *link, process *p, const fta_redis_host *host,
     int64_t deadline, connection **out, bool *reused,
     fta_redis_problem *problem)
{
    *out = NULL;
    connection *c = NULL;
    while (c == NULL) {
        (void)pthread_mutex_lock(&p->lock);
        while ((c = choose(p, host, reused)) == NULL) {
            int64_t left = deadline - fta_clock_monotonic_us();
            if (left <= 0) {
                (void)pthread_mutex_unlock(&p->lock);
                return FTA_REDIS_POOL_EMPTY;
            }
            fta_cond_wait(&p->returned, &p->lock, left);
        }
        c->state = TAKEN;
        c->epoch = p->epoch;
        (void)pthread_mutex_unlock(&p->lock);
        if (*reused && !fta_redis_socket_is_quiet(&c->socket)) {
            drop(p, c);
            c = NULL;
        }
    }
    fta_status status = FTA_OK;
    if (!*reused) {
        fta_redis_socket_close(&c->socket);
        c->host = *host;
        bool is_unix = link->url->kind == FTA_REDIS_UNIX;
        status =
            fta_redis_socket_open(&c->socket, &p->connector,
                                  is_unix ? NULL : host, deadline, problem);
        if (status == FTA_OK) {
            status = fta_redis_dialogue_greet(&c->socket, link->url, deadline,
                                              problem);
        }
    }
    if (status != FTA_OK) {
        drop(p, c);
        return status;
    }
    *out = c;
    return FTA_OK;
}

/* --- Topology
 * ------------------------------------------------------------------------ */

/* After a failure nothing that was known is taken for true any more: not the
 * primary, not the slots, not the connections that lie idle. */
static void
doubt(process *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->epoch++;
    p->turn++;
    p->has_primary = false;
    p->slots_doubted = true;
    (void)pthread_mutex_unlock(&p->lock);
}

/* Part of the time that is left, for one of so many hosts. */
static int64_t
share(int64_t deadline, size_t hosts_left)
{
    int64_t now = fta_clock_monotonic_us();
    int64_t parts = hosts_left < SHARE_MAX ? (int64_t)hosts_left : SHARE_MAX;
    return now + (deadline - now) / parts;
}

static bool
is_over(int64_t deadline)
{
    return fta_clock_monotonic_us() > deadline;
}

static fta_status
ask_sentinel(const process *p, const fta_redis_host *sentinel, int64_t deadline,
             fta_redis_host *primary, fta_redis_problem *problem)
{
    fta_redis_socket s = FTA_REDIS_SOCKET_CLOSED;
    fta_status status =
        fta_redis_socket_open(&s, &p->connector, sentinel, deadline, problem);
    if (status == FTA_OK) {
        status = fta_redis_dialogue_primary(&s, p->connector.url, deadline,
                                            primary, problem);
    }
    fta_redis_socket_close(&s);
    return status;
}

static fta_status
find_primary(fta_redis_client *link, process *p, int64_t deadline,
             fta_redis_host *host, fta_redis_problem *problem)
{
    (void)pthread_mutex_lock(&p->lock);
    bool known = p->has_primary;
    *host = p->primary;
    size_t turn = p->turn;
    unsigned epoch = p->epoch;
    (void)pthread_mutex_unlock(&p->lock);
    if (known) {
        return FTA_OK;
    }
    fta_status status = FTA_REDIS_NO_PRIMARY;
    size_t count = link->url->host_count;
    for (size_t i = 0; i < count && (i == 0 || !is_over(deadline)); i++) {
        status = ask_sentinel(p, &link->url->hosts[(turn + i) % count],
                              share(deadline, count - i), host, problem);
        if (status == FTA_OK) {
            (void)pthread_mutex_lock(&p->lock);
            if (p->epoch == epoch) {
                p->primary = *host;
                p->has_primary = true;
            }
            (void)pthread_mutex_unlock(&p->lock);
            break;
        }
    }
    return status;
}

/* The nodes that were known and those of the URL, in one row. */
static bool
candidate(fta_redis_client *link, process *p, size_t index,
          fta_redis_host *host, size_t *count)
{
    (void)pthread_mutex_lock(&p->lock);
    size_t known = p->slots != NULL ? p->slots->count : 0;
    *count = known + link->url->host_count;
    size_t at = (p->turn + index) % *count;
    *host = at < known ? p->slots->nodes[at] : link->url->hosts[at - known];
    (void)pthread_mutex_unlock(&p->lock);
    return index < *count;
}

static fta_status
ask_node(fta_redis_client *link, process *p, const fta_redis_host *node,
         int64_t deadline, fta_redis_slots **out, fta_redis_problem *problem)
{
    *out = NULL;
    connection *c;
    bool reused;
    fta_status status = take(link, p, node, deadline, &c, &reused, problem);
    if (status != FTA_OK) {
        return status;
    }
    status = fta_redis_dialogue_slots(&c->socket, node, deadline, out, problem);
    give_back(p, c);
    return status;
}

static fta_status
learn_slots(fta_redis_client *link, process *p, int64_t deadline,
            fta_redis_problem *problem)
{
    fta_status status = FTA_REDIS_UNREACHABLE;
    fta_redis_slots *fresh = NULL;
    fta_redis_host node;
    size_t count;
    for (size_t i = 0; fresh == NULL && (i == 0 || !is_over(deadline)) &&
                       candidate(link, p, i, &node, &count);
         i++) {
        status = ask_node(link, p, &node, share(deadline, count - i), &fresh,
                          problem);
    }
    if (fresh != NULL) {
        (void)pthread_mutex_lock(&p->lock);
        fta_redis_slots *old = p->slots;
        p->slots = fresh;
        p->slots_doubted = false;
        (void)pthread_mutex_unlock(&p->lock);
        fta_redis_slots_free(old);
    }
    return status;
}

static fta_status
find_owner(fta_redis_client *link, process *p, unsigned slot, int64_t deadline,
           fta_redis_host *host, fta_redis_problem *problem)
{
    (void)pthread_mutex_lock(&p->lock);
    bool known = p->slots != NULL && !p->slots_doubted;
    (void)pthread_mutex_unlock(&p->lock);
    fta_status status =
        known ? FTA_OK : learn_slots(link, p, deadline, problem);
    if (status != FTA_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&p->lock);
    uint16_t owner = p->slots->owner[slot];
    if (owner != FTA_REDIS_NO_OWNER) {
        *host = p->slots->nodes[owner];
    } else {
        p->slots_doubted = true;
        status = FTA_REDIS_CLUSTER_DOWN;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return status;
}

static fta_status
find_host(fta_redis_client *link, process *p, unsigned slot, int64_t deadline,
          fta_redis_host *host, fta_redis_problem *problem)
{
    if (link->url->cluster) {
        return find_owner(link, p, slot, deadline, host, problem);
    }
    if (link->url->kind == FTA_REDIS_SENTINEL) {
        return find_primary(link, p, deadline, host, problem);
    }
    if (link->url->kind == FTA_REDIS_UNIX) {
        memset(host, 0, sizeof(*host));
    } else {
        *host = link->url->hosts[0];
    }
    return FTA_OK;
}

/* --- A call
 * ---------------------------------------------------------------------------
 */

/* Where the next attempt goes. */
typedef struct route {
    fta_redis_host host;
    bool is_redirect; /* host was named by a node */
    bool asking;      /* ASKING goes first */
} route;

typedef struct call {
    fta_redis_client *link;
    process *process;
    fta_redis_text command;
    unsigned slot;
    int64_t deadline;
    fta_redis_problem *problem;
    route route;
    bool reused;  /* the last attempt went over an old connection */
    bool retried; /* an old connection has failed once */
} call;

/* Sends the command once. answer is set whatever happens. */
static fta_status
attempt(call *a, fta_redis_answer *answer)
{
    process *p = a->process;
    fta_status status = FTA_OK;
    *answer = (fta_redis_answer){.kind = FTA_REDIS_ANSWER_FAILED};
    if (!a->route.is_redirect) {
        status = find_host(a->link, p, a->slot, a->deadline, &a->route.host,
                           a->problem);
    }
    connection *c = NULL;
    a->reused = false;
    if (status == FTA_OK) {
        status = take(a->link, p, &a->route.host, a->deadline, &c, &a->reused,
                      a->problem);
    }
    if (status != FTA_OK) {
        return status;
    }
    const fta_redis_question question = {
        .command = &a->command,
        .asking = a->route.asking,
        .node = a->link->url->cluster ? &a->route.host : NULL,
    };
    status = fta_redis_dialogue_command(&c->socket, &question, a->deadline,
                                        answer, a->problem);
    give_back(p, c);
    return status;
}

static void
remember_slot(process *p, unsigned slot, const fta_redis_host *to)
{
    (void)pthread_mutex_lock(&p->lock);
    if (p->slots != NULL &&
        fta_redis_slots_move(p->slots, slot, to) != FTA_OK) {
        /* No room or no memory for it. */
        p->slots_doubted = true;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

static void
follow_redirect(call *a, const fta_redis_answer *redirect)
{
    a->route = (route){.host = redirect->host,
                       .is_redirect = true,
                       .asking = redirect->asking};
    if (!redirect->asking) {
        remember_slot(a->process, redirect->slot, &redirect->host);
    }
}

/* Whether to try again after a failure: the command was not carried out, and
 * the next attempt may find what this one did not. */
static bool
tries_again(call *a, fta_status status)
{
    a->route = (route){.is_redirect = false};
    switch (status) {
    case FTA_REDIS_TRY_AGAIN:
        /* Some of the keys have moved already, or all are new: a cluster
         * serves them together only when the whole slot has moved. */
        if (fta_clock_monotonic_us() + PAUSE_MS * 1000 < a->deadline) {
            a->process->connector.transport->pause(PAUSE_MS);
        }
        return fta_clock_monotonic_us() < a->deadline;
    case FTA_REDIS_CLOSED:
    case FTA_REDIS_READ_ONLY:
        /* An old connection tells about the past: once more, on a new one. */
        if (a->reused && !a->retried) {
            a->retried = true;
            doubt(a->process);
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
        fta_redis_answer answer;
        status = attempt(a, &answer);
        switch (answer.kind) {
        case FTA_REDIS_ANSWER_REPLY:
            *out = answer.reply;
            return FTA_OK;
        case FTA_REDIS_ANSWER_REDIRECT:
            if (is_over(a->deadline)) {
                return FTA_REDIS_TIMEOUT;
            }
            follow_redirect(a, &answer);
            break;
        case FTA_REDIS_ANSWER_FAILED:
            if (!tries_again(a, status)) {
                return status;
            }
            break;
        }
    }
    return status;
}

/* Whether a failure is one of this call alone, and no reason to doubt what is
 * known of Redis. */
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
fta_redis_client_call(fta_redis_client *link, int argc, const char *const *argv,
                      const size_t *lengths, unsigned slot, int64_t deadline,
                      fta_redis_reply **out, fta_redis_problem *problem)
{
    *out = NULL;
    problem->text[0] = '\0';
    process *p = this_process(link);
    if (p == NULL) {
        return FTA_NO_MEMORY;
    }
    call a = {.link = link,
              .process = p,
              .slot = slot,
              .deadline = deadline,
              .problem = problem};
    fta_status status = fta_redis_text_append(&a.command, argc, argv, lengths);
    if (status == FTA_OK) {
        status = make_call(&a, out);
    }
    fta_redis_text_free(&a.command);
    if (status == FTA_OK) {
        /* One address of a name may have been tried in vain before. */
        problem->text[0] = '\0';
    } else if (!is_of_the_call(status)) {
        doubt(p);
    }
    return status;
}
