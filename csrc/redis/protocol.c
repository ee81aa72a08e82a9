#include "redis/protocol.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum {
    WORDS_MAX = 3,    /* of a command that is made here */
    COMMANDS_MAX = 3, /* in one round trip: AUTH, SELECT, ROLE */
};

/* --- States --------------------------------------------------------------- */

typedef enum state {
    AUTH,
    SELECT,
    ROLE,
    SENTINEL,
    SLOTS,
    ASKING,
    COMMAND,
} state;

static bool
accepts_ok(const fta_redis_reply *reply)
{
    return reply->type == FTA_REDIS_TEXT && strcmp(reply->text, "OK") == 0;
}

static bool
accepts_role(const fta_redis_reply *reply)
{
    return reply->type == FTA_REDIS_ARRAY && reply->length > 0 &&
           reply->elements[0]->type == FTA_REDIS_TEXT;
}

/* nil, of an array or of a text: the sentinel knows no primary of that name. */
static bool
accepts_address(const fta_redis_reply *reply)
{
    fta_redis_host host;
    return reply->type == FTA_REDIS_NIL ||
           fta_redis_address_parse(reply, &host);
}

static bool
accepts_array(const fta_redis_reply *reply)
{
    return reply->type == FTA_REDIS_ARRAY;
}

static bool
accepts_any(const fta_redis_reply *reply)
{
    (void)reply;
    return true;
}

/* For replies that are no errors. */
static bool (*const accepts[])(const fta_redis_reply *reply) = {
    [AUTH] = accepts_ok,     [SELECT] = accepts_ok,
    [ROLE] = accepts_role,   [SENTINEL] = accepts_address,
    [SLOTS] = accepts_array, [ASKING] = accepts_ok,
    [COMMAND] = accepts_any,
};

/* Errors that every request may meet. The others are about keys, scripts or
 * slots, which only the command of a caller has. */
static bool
is_common_error(fta_status status)
{
    switch (status) {
    case FTA_REDIS_DENIED:
    case FTA_REDIS_LOADING:
    case FTA_REDIS_BUSY:
    case FTA_REDIS_CLUSTER_DOWN:
    case FTA_REDIS_FAILED:
        return true;
    default:
        return false;
    }
}

/* What the reply means in this state. FTA_OK: it is accepted and no error. */
static fta_status
check_reply(state in, const fta_redis_reply *reply, fta_redis_problem *problem)
{
    fta_status status = fta_redis_reply_status(reply);
    if (status != FTA_OK) {
        fta_redis_problem_set(problem, reply->text);
        return in == COMMAND || is_common_error(status) ? status
                                                        : FTA_REDIS_MALFORMED;
    }
    if (!accepts[in](reply)) {
        fta_redis_problem_set(problem, "not a reply to this request");
        return FTA_REDIS_MALFORMED;
    }
    return FTA_OK;
}

/* --- A round trip --------------------------------------------------------- */

/* Commands that are sent together, each with the state that reads its reply. */
typedef struct round_trip {
    fta_redis_request request;
    size_t count;
    state states[COMMANDS_MAX];
    fta_redis_reply *replies[COMMANDS_MAX]; /* Owned */
} round_trip;

static fta_status
round_trip_add(round_trip *t, state in, int argc, const char *const *argv)
{
    size_t lengths[WORDS_MAX];
    for (int i = 0; i < argc; i++) {
        lengths[i] = strlen(argv[i]);
    }
    t->states[t->count++] = in;
    return fta_redis_request_append(&t->request,
                                    &(fta_redis_command){argc, argv, lengths});
}

static fta_status
round_trip_add_auth(round_trip *t, const char *user, const char *password)
{
    if (user != NULL) {
        const char *argv[] = {"AUTH", user, password};
        return round_trip_add(t, AUTH, 3, argv);
    }
    const char *argv[] = {"AUTH", password};
    return round_trip_add(t, AUTH, 2, argv);
}

/* On FTA_OK each reply is one that its state accepts, and none is an error.
 * Else the connection is closed. */
static fta_status
round_trip_run(round_trip *t, fta_redis_connection *c, int64_t deadline,
               fta_redis_problem *problem)
{
    if (t->count == 0) {
        return FTA_OK;
    }
    fta_status status = fta_redis_connection_exchange(
        c, &t->request, t->count, t->replies, deadline, problem);
    for (size_t i = 0; status == FTA_OK && i < t->count; i++) {
        status = check_reply(t->states[i], t->replies[i], problem);
    }
    if (status != FTA_OK) {
        fta_redis_connection_close(c);
    }
    return status;
}

static void
round_trip_end(round_trip *t)
{
    for (size_t i = 0; i < t->count; i++) {
        fta_redis_reply_free(t->replies[i]);
    }
    fta_redis_request_free(&t->request);
}

fta_status
fta_redis_protocol_start(fta_redis_connection *c, const fta_redis_url *url,
                         int64_t deadline, fta_redis_problem *problem)
{
    fta_status status = FTA_OK;
    round_trip t = {0};
    bool with_role = url->kind == FTA_REDIS_SENTINEL;
    if (url->password != NULL) {
        status = round_trip_add_auth(&t, url->user, url->password);
    }
    if (status == FTA_OK && url->database != 0) {
        char number[12];
        (void)snprintf(number, sizeof(number), "%u", url->database);
        const char *argv[] = {"SELECT", number};
        status = round_trip_add(&t, SELECT, 2, argv);
    }
    if (status == FTA_OK && with_role) {
        const char *argv[] = {"ROLE"};
        status = round_trip_add(&t, ROLE, 1, argv);
    }
    if (status == FTA_OK) {
        status = round_trip_run(&t, c, deadline, problem);
    }
    if (status == FTA_OK && with_role &&
        strcmp(t.replies[t.count - 1]->elements[0]->text, "master") != 0) {
        status = FTA_REDIS_READ_ONLY;
    }
    /* Bytes that belong to no request would be read as the reply to the next
     * command. */
    if (status == FTA_OK && t.count > 0 && !fta_redis_connection_is_quiet(c)) {
        fta_redis_problem_set(problem, "more than one reply to one request, or "
                                       "the end of the connection");
        status = FTA_REDIS_MALFORMED;
    }
    if (status != FTA_OK) {
        fta_redis_connection_close(c);
    }
    round_trip_end(&t);
    return status;
}

fta_status
fta_redis_protocol_get_primary(fta_redis_connection *c,
                               const fta_redis_url *url, int64_t deadline,
                               fta_redis_host *primary,
                               fta_redis_problem *problem)
{
    fta_status status = FTA_OK;
    round_trip t = {0};
    if (url->sentinel_password != NULL) {
        status =
            round_trip_add_auth(&t, url->sentinel_user, url->sentinel_password);
    }
    if (status == FTA_OK) {
        const char *argv[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                              url->service};
        status = round_trip_add(&t, SENTINEL, 3, argv);
    }
    if (status == FTA_OK) {
        status = round_trip_run(&t, c, deadline, problem);
    }
    if (status == FTA_OK &&
        !fta_redis_address_parse(t.replies[t.count - 1], primary)) {
        status = FTA_REDIS_NO_PRIMARY;
    }
    round_trip_end(&t);
    return status;
}

fta_status
fta_redis_protocol_get_slots(fta_redis_connection *c,
                             const fta_redis_host *node, int64_t deadline,
                             fta_redis_slots **out, fta_redis_problem *problem)
{
    *out = NULL;
    round_trip t = {0};
    const char *argv[] = {"CLUSTER", "SLOTS"};
    fta_status status = round_trip_add(&t, SLOTS, 2, argv);
    if (status == FTA_OK) {
        status = round_trip_run(&t, c, deadline, problem);
    }
    if (status == FTA_OK) {
        status = fta_redis_slots_parse(t.replies[0], node, out);
        if (status == FTA_REDIS_MALFORMED) {
            fta_redis_connection_close(c);
        }
    }
    round_trip_end(&t);
    return status;
}

/* --- The command of a caller ---------------------------------------------- */

/* Fills outcome from the reply, which it takes over. */
static fta_status
outcome_of_reply(fta_redis_reply *reply, const fta_redis_host *node,
                 fta_redis_outcome *outcome, fta_redis_problem *problem)
{
    fta_status status = check_reply(COMMAND, reply, problem);
    if (status == FTA_OK) {
        outcome->kind = FTA_REDIS_OUTCOME_REPLY;
        outcome->reply = reply;
        return status;
    }
    if (node != NULL &&
        (status == FTA_REDIS_MOVED || status == FTA_REDIS_ASK)) {
        if (fta_redis_redirect_parse(reply, node, &outcome->slot,
                                     &outcome->host)) {
            outcome->kind = FTA_REDIS_OUTCOME_REDIRECT;
            outcome->asking = status == FTA_REDIS_ASK;
        } else {
            status = FTA_REDIS_MALFORMED;
        }
    }
    fta_redis_reply_free(reply);
    return status;
}

/* ASKING and the command, as one request. */
static fta_status
send_after_asking(fta_redis_connection *c, const fta_redis_request *command,
                  fta_redis_reply **reply, int64_t deadline,
                  fta_redis_problem *problem)
{
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    const size_t before = sizeof(asking) - 1;
    fta_redis_request both = {.length = before + command->length};
    fta_redis_reply *replies[2] = {NULL, NULL};
    both.bytes = fta_malloc(both.length);
    if (both.bytes == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(both.bytes, asking, before);
    memcpy(both.bytes + before, command->bytes, command->length);
    fta_status status =
        fta_redis_connection_exchange(c, &both, 2, replies, deadline, problem);
    fta_free(both.bytes);
    if (status == FTA_OK) {
        status = check_reply(ASKING, replies[0], problem);
    }
    fta_redis_reply_free(replies[0]);
    *reply = replies[1];
    return status;
}

fta_status
fta_redis_protocol_send(fta_redis_connection *c,
                        const fta_redis_attempt *attempt, int64_t deadline,
                        fta_redis_outcome *outcome, fta_redis_problem *problem)
{
    *outcome = (fta_redis_outcome){.kind = FTA_REDIS_OUTCOME_FAILED};
    fta_redis_reply *reply = NULL;
    fta_status status =
        attempt->asking
            ? send_after_asking(c, attempt->request, &reply, deadline, problem)
            : fta_redis_connection_exchange(c, attempt->request, 1, &reply,
                                            deadline, problem);
    if (status == FTA_OK) {
        status = outcome_of_reply(reply, attempt->node, outcome, problem);
    } else {
        fta_redis_reply_free(reply);
        fta_redis_connection_close(c);
    }
    switch (status) {
    case FTA_REDIS_MALFORMED: /* Nothing is known of what follows. */
    case FTA_REDIS_READ_ONLY: /* A new connection may find the primary. */
    case FTA_REDIS_DENIED:    /* A new one sends the password. */
        fta_redis_connection_close(c);
        break;
    default:
        break;
    }
    return status;
}
