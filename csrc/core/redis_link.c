#include "redis_link.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <openssl/crypto.h>

#include "alloc.h"
#include "clock.h"
#include "wait.h"

enum {
    ATTEMPTS_MAX = 16, /* of one call */
    PAUSE_MS = 2,      /* before asking again for what two nodes are moving */
    SHARE_MAX = 4,     /* parts of a deadline, for trying several hosts */
    GREETING_MAX = 4,
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
    struct process *inherited; /* Owned but never used nor freed */
    pthread_mutex_t lock;      /* over all that follows */
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

struct fta_redis_link {
    fta_redis_url *url; /* Owned */
    fta_redis_tls *tls; /* Owned, or NULL */
    _Atomic(process *) process;
};

/* --- Processes
 * ------------------------------------------------------------------ */

static process *
process_new(const fta_redis_link *link, pid_t pid)
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
this_process(fta_redis_link *link)
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
fta_redis_link_new(fta_redis_url *url, fta_redis_link **out,
                   fta_redis_problem *problem)
{
    *out = NULL;
    fta_redis_link *link = fta_calloc(1, sizeof(*link));
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
    *out = link;
    return FTA_OK;
}

void
fta_redis_link_free(fta_redis_link *link)
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
fta_redis_link_hang_up(fta_redis_link *link)
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
fta_redis_link_url(const fta_redis_link *link)
{
    return link->url;
}

/* --- Commands
 * ---------------------------------------------------------------------- */

/* One or more formatted commands. */
typedef struct command {
    char *bytes; /* Owned; secret when it holds a password */
    size_t length;
} command;

static fta_status
command_append(command *c, int argc, const char *const *argv,
               const size_t *lengths)
{
    char *formatted = NULL;
    /* hiredis only reads the pointers; its prototype lacks a const. */
    long long length = redisFormatCommandArgv(
        &formatted, argc, (const char **)(uintptr_t)argv, lengths);
    if (length < 0) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_NO_MEMORY;
    char *grown = fta_malloc(c->length + (size_t)length);
    if (grown != NULL) {
        if (c->length > 0) {
            memcpy(grown, c->bytes, c->length);
        }
        memcpy(grown + c->length, formatted, (size_t)length);
        fta_free_secret(c->bytes, c->length);
        c->bytes = grown;
        c->length += (size_t)length;
        status = FTA_OK;
    }
    OPENSSL_cleanse(formatted, (size_t)length);
    redisFreeCommand(formatted);
    return status;
}

static fta_status
command_append_words(command *c, int argc, const char *const *argv)
{
    size_t lengths[GREETING_MAX];
    for (int i = 0; i < argc; i++) {
        lengths[i] = strlen(argv[i]);
    }
    return command_append(c, argc, argv, lengths);
}

static fta_status
command_append_auth(command *c, const char *user, const char *password)
{
    if (user != NULL) {
        const char *argv[] = {"AUTH", user, password};
        return command_append_words(c, 3, argv);
    }
    const char *argv[] = {"AUTH", password};
    return command_append_words(c, 2, argv);
}

static void
command_free(command *c)
{
    fta_free_secret(c->bytes, c->length);
}

static void
free_replies(fta_redis_reply **replies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fta_redis_reply_free(replies[i]);
    }
}

/* The first error among the replies. */
static fta_status
first_error(fta_redis_reply **replies, size_t count, fta_redis_problem *problem)
{
    for (size_t i = 0; i < count; i++) {
        fta_status status = fta_redis_reply_status(replies[i]);
        if (status != FTA_OK) {
            fta_redis_problem_set(problem, replies[i]->text);
            return status;
        }
    }
    return FTA_OK;
}

/* --- Connections
 * -------------------------------------------------------------------- */

/* What a new connection begins with, in one round trip: who we are, which
 * database, and with sentinels whether this really is the primary. */
static fta_status
greet(const fta_redis_url *url, fta_redis_socket *s, int64_t deadline,
      fta_redis_problem *problem)
{
    fta_status status = FTA_OK;
    command c = {0};
    size_t count = 0;
    if (url->password != NULL) {
        status = command_append_auth(&c, url->user, url->password);
        count++;
    }
    if (status == FTA_OK && url->database != 0) {
        char number[12];
        (void)snprintf(number, sizeof(number), "%u", url->database);
        const char *argv[] = {"SELECT", number};
        status = command_append_words(&c, 2, argv);
        count++;
    }
    if (status == FTA_OK && url->kind == FTA_REDIS_SENTINEL) {
        const char *argv[] = {"ROLE"};
        status = command_append_words(&c, 1, argv);
        count++;
    }
    fta_redis_reply *replies[GREETING_MAX] = {0};
    if (status == FTA_OK && count > 0) {
        status = fta_redis_socket_exchange(s, c.bytes, c.length, count, replies,
                                           deadline, problem);
    }
    if (status == FTA_OK) {
        status = first_error(replies, count, problem);
    }
    if (status == FTA_OK && url->kind == FTA_REDIS_SENTINEL) {
        const fta_redis_reply *role = replies[count - 1];
        if (role->type != FTA_REDIS_ARRAY || role->length == 0 ||
            role->elements[0]->type != FTA_REDIS_TEXT ||
            strcmp(role->elements[0]->text, "master") != 0) {
            status = FTA_REDIS_READ_ONLY;
        }
    }
    free_replies(replies, count);
    command_free(&c);
    return status;
}

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
take(fta_redis_link *link, process *p, const fta_redis_host *host,
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
            fta_redis_socket_open(&c->socket, link->url, link->tls,
                                  is_unix ? NULL : host, deadline, problem);
        if (status == FTA_OK) {
            status = greet(link->url, &c->socket, deadline, problem);
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

static fta_status
ask_sentinel(const fta_redis_link *link, const fta_redis_host *sentinel,
             int64_t deadline, fta_redis_host *primary,
             fta_redis_problem *problem)
{
    const fta_redis_url *url = link->url;
    fta_redis_socket s = FTA_REDIS_SOCKET_CLOSED;
    command c = {0};
    size_t count = 1;
    fta_status status = FTA_OK;
    if (url->sentinel_password != NULL) {
        status =
            command_append_auth(&c, url->sentinel_user, url->sentinel_password);
        count++;
    }
    const char *argv[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url->service};
    if (status == FTA_OK) {
        status = command_append_words(&c, 3, argv);
    }
    if (status == FTA_OK) {
        status = fta_redis_socket_open(&s, url, link->tls, sentinel, deadline,
                                       problem);
    }
    fta_redis_reply *replies[2] = {0};
    if (status == FTA_OK) {
        status = fta_redis_socket_exchange(&s, c.bytes, c.length, count,
                                           replies, deadline, problem);
    }
    if (status == FTA_OK) {
        status = first_error(replies, count, problem);
    }
    if (status == FTA_OK &&
        !fta_redis_address_parse(replies[count - 1], primary)) {
        status = FTA_REDIS_NO_PRIMARY;
    }
    free_replies(replies, count);
    fta_redis_socket_close(&s);
    command_free(&c);
    return status;
}

static fta_status
find_primary(fta_redis_link *link, process *p, int64_t deadline,
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
    for (size_t i = 0; i < count; i++) {
        status = ask_sentinel(link, &link->url->hosts[(turn + i) % count],
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
candidate(fta_redis_link *link, process *p, size_t index, fta_redis_host *host,
          size_t *count)
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
ask_node(fta_redis_link *link, process *p, const fta_redis_host *node,
         int64_t deadline, fta_redis_slots **out, fta_redis_problem *problem)
{
    *out = NULL;
    static const char request[] = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
    connection *c;
    bool reused;
    fta_status status = take(link, p, node, deadline, &c, &reused, problem);
    if (status != FTA_OK) {
        return status;
    }
    fta_redis_reply *reply = NULL;
    status = fta_redis_socket_exchange(&c->socket, request, sizeof(request) - 1,
                                       1, &reply, deadline, problem);
    give_back(p, c);
    if (status == FTA_OK) {
        status = first_error(&reply, 1, problem);
    }
    if (status == FTA_OK) {
        status = fta_redis_slots_parse(reply, node, out);
    }
    fta_redis_reply_free(reply);
    return status;
}

static fta_status
learn_slots(fta_redis_link *link, process *p, int64_t deadline,
            fta_redis_problem *problem)
{
    fta_status status = FTA_REDIS_UNREACHABLE;
    fta_redis_slots *fresh = NULL;
    fta_redis_host node;
    size_t count;
    for (size_t i = 0; fresh == NULL && candidate(link, p, i, &node, &count);
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
find_owner(fta_redis_link *link, process *p, unsigned slot, int64_t deadline,
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
find_host(fta_redis_link *link, process *p, unsigned slot, int64_t deadline,
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

typedef struct call {
    fta_redis_link *link;
    process *process;
    const char *bytes; /* ASKING, then the command */
    size_t length;
    size_t asking; /* length of the former */
    unsigned slot;
    int64_t deadline;
    fta_redis_problem *problem;
    fta_redis_host host;
    bool has_host; /* named by a redirection */
    bool asks;     /* ASKING goes first, once */
    bool reused;
} call;

/* Sends the command once. */
static fta_status
attempt(call *a, fta_redis_reply **out)
{
    process *p = a->process;
    fta_status status = FTA_OK;
    *out = NULL;
    if (!a->has_host) {
        status =
            find_host(a->link, p, a->slot, a->deadline, &a->host, a->problem);
    }
    connection *c = NULL;
    a->reused = false;
    if (status == FTA_OK) {
        status =
            take(a->link, p, &a->host, a->deadline, &c, &a->reused, a->problem);
    }
    if (status != FTA_OK) {
        return status;
    }
    size_t skip = a->asks ? 0 : a->asking;
    size_t count = a->asks ? 2 : 1;
    fta_redis_reply *replies[2] = {0};
    status =
        fta_redis_socket_exchange(&c->socket, a->bytes + skip, a->length - skip,
                                  count, replies, a->deadline, a->problem);
    if (status == FTA_OK) {
        *out = replies[count - 1];
        replies[count - 1] = NULL;
        status = fta_redis_reply_status(*out);
    }
    free_replies(replies, count);
    if (status == FTA_REDIS_READ_ONLY || status == FTA_REDIS_DENIED) {
        fta_redis_socket_close(&c->socket);
    }
    give_back(p, c);
    return status;
}

static void
pause_before_retry(int64_t deadline)
{
    if (fta_clock_monotonic_us() + PAUSE_MS * 1000 < deadline) {
        (void)poll(NULL, 0, PAUSE_MS);
    }
}

/* Whether to try again, after an attempt that ended like this. */
static bool
follow(call *a, fta_status status, const fta_redis_reply *reply, bool *retried)
{
    unsigned slot;
    fta_redis_host to;
    process *p = a->process;
    a->asks = false;
    switch (status) {
    case FTA_REDIS_MOVED:
    case FTA_REDIS_ASK:
        if (!a->link->url->cluster ||
            !fta_redis_redirect_parse(reply, &a->host, &slot, &to)) {
            return false;
        }
        a->host = to;
        a->has_host = true;
        a->asks = status == FTA_REDIS_ASK;
        if (status == FTA_REDIS_MOVED) {
            (void)pthread_mutex_lock(&p->lock);
            if (p->slots != NULL) {
                /* Without memory it is learnt again next time. */
                (void)fta_redis_slots_move(p->slots, slot, &to);
            }
            (void)pthread_mutex_unlock(&p->lock);
        }
        return true;
    case FTA_REDIS_TRY_AGAIN:
        /* Some of the keys have moved already, or all are new: a cluster
         * serves them together only when the whole slot has moved. */
        a->has_host = false;
        pause_before_retry(a->deadline);
        return fta_clock_monotonic_us() < a->deadline;
    case FTA_REDIS_CLOSED:
    case FTA_REDIS_READ_ONLY:
        /* An old connection tells about the past: once more, on a new one. */
        a->has_host = false;
        if (a->reused && !*retried) {
            *retried = true;
            doubt(p);
            return true;
        }
        return false;
    default:
        return false;
    }
}

fta_status
fta_redis_link_call(fta_redis_link *link, int argc, const char *const *argv,
                    const size_t *lengths, unsigned slot, int64_t deadline,
                    fta_redis_reply **out, fta_redis_problem *problem)
{
    *out = NULL;
    problem->text[0] = '\0';
    process *p = this_process(link);
    if (p == NULL) {
        return FTA_NO_MEMORY;
    }
    static const char *const asking_words[] = {"ASKING"};
    command c = {0};
    fta_status status = command_append_words(&c, 1, asking_words);
    size_t asking_length = c.length;
    if (status == FTA_OK) {
        status = command_append(&c, argc, argv, lengths);
    }
    if (status != FTA_OK) {
        command_free(&c);
        return status;
    }
    call a = {.link = link,
              .process = p,
              .bytes = c.bytes,
              .length = c.length,
              .asking = asking_length,
              .slot = slot,
              .deadline = deadline,
              .problem = problem};
    fta_redis_reply *reply = NULL;
    bool retried = false;
    for (int attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
        fta_redis_reply_free(reply);
        status = attempt(&a, &reply);
        if (status == FTA_OK || !follow(&a, status, reply, &retried)) {
            break;
        }
    }
    command_free(&c);
    if (status == FTA_OK) {
        /* One address of a name may have been tried in vain before. */
        problem->text[0] = '\0';
        *out = reply;
        return FTA_OK;
    }
    if (reply != NULL) {
        fta_redis_problem_set(problem, reply->text);
        fta_redis_reply_free(reply);
    }
    switch (status) {
    case FTA_NO_MEMORY:
    case FTA_REDIS_NO_SCRIPT:
    case FTA_REDIS_POOL_EMPTY:
    case FTA_REDIS_REFUSED:
    case FTA_REDIS_TRY_AGAIN:
    case FTA_REDIS_ASK:
        break;
    default:
        doubt(p);
    }
    return status;
}
