#include "redis/dialogue.h"

#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <openssl/crypto.h>

#include "base/alloc.h"

/* --- Requests
 * ---------------------------------------------------------------------- */

enum {
    WORDS_MAX = 3,    /* of a request that is made here */
    REQUESTS_MAX = 3, /* in one round trip: AUTH, SELECT, ROLE */
};

fta_status
fta_redis_text_append(fta_redis_text *text, int argc, const char *const *argv,
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
    char *grown = fta_malloc(text->length + (size_t)length);
    if (grown != NULL) {
        if (text->length > 0) {
            memcpy(grown, text->bytes, text->length);
        }
        memcpy(grown + text->length, formatted, (size_t)length);
        fta_free_secret(text->bytes, text->length);
        text->bytes = grown;
        text->length += (size_t)length;
        status = FTA_OK;
    }
    OPENSSL_cleanse(formatted, (size_t)length);
    redisFreeCommand(formatted);
    return status;
}

void
fta_redis_text_free(fta_redis_text *text)
{
    fta_free_secret(text->bytes, text->length);
    *text = (fta_redis_text){NULL, 0};
}

/* --- States
 * ------------------------------------------------------------------------ */

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

/* A sentinel that knows no primary of that name says nil, as an array or as a
 * text. */
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

/* Asked only about replies that are no errors. */
static bool (*const accepts[])(const fta_redis_reply *reply) = {
    [AUTH] = accepts_ok,     [SELECT] = accepts_ok,
    [ROLE] = accepts_role,   [SENTINEL] = accepts_address,
    [SLOTS] = accepts_array, [ASKING] = accepts_ok,
    [COMMAND] = accepts_any,
};

/* What every request may meet. The others say something about keys, scripts
 * or slots, and only a command has any. */
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

/* What the reply means in this state: FTA_OK when it is accepted and no
 * error. */
static fta_status
judge(state in, const fta_redis_reply *reply, fta_redis_problem *problem)
{
    fta_status status = fta_redis_reply_status(reply);
    if (status != FTA_OK) {
        fta_redis_problem_set(problem, reply->text);
        return in == COMMAND || is_common_error(status) ? status
                                                        : FTA_REDIS_MALFORMED;
    }
    if (!accepts[in](reply)) {
        fta_redis_problem_set(problem, "not an answer to the request");
        return FTA_REDIS_MALFORMED;
    }
    return FTA_OK;
}

/* --- A round trip
 * -------------------------------------------------------------------- */

/* Requests that go out together, each with the state that reads its reply. */
typedef struct trip {
    fta_redis_text text;
    size_t count;
    state states[REQUESTS_MAX];
    fta_redis_reply *replies[REQUESTS_MAX]; /* Owned */
} trip;

static fta_status
trip_add(trip *t, state in, int argc, const char *const *argv)
{
    size_t lengths[WORDS_MAX];
    for (int i = 0; i < argc; i++) {
        lengths[i] = strlen(argv[i]);
    }
    t->states[t->count++] = in;
    return fta_redis_text_append(&t->text, argc, argv, lengths);
}

static fta_status
trip_add_auth(trip *t, const char *user, const char *password)
{
    if (user != NULL) {
        const char *argv[] = {"AUTH", user, password};
        return trip_add(t, AUTH, 3, argv);
    }
    const char *argv[] = {"AUTH", password};
    return trip_add(t, AUTH, 2, argv);
}

/* On FTA_OK each of the replies is one that its state accepts, and none is an
 * error. Else the connection is closed. */
static fta_status
trip_make(trip *t, fta_redis_socket *s, int64_t deadline,
          fta_redis_problem *problem)
{
    if (t->count == 0) {
        return FTA_OK;
    }
    fta_status status =
        fta_redis_socket_exchange(s, t->text.bytes, t->text.length, t->count,
                                  t->replies, deadline, problem);
    for (size_t i = 0; status == FTA_OK && i < t->count; i++) {
        status = judge(t->states[i], t->replies[i], problem);
    }
    if (status != FTA_OK) {
        fta_redis_socket_close(s);
    }
    return status;
}

static void
trip_end(trip *t)
{
    for (size_t i = 0; i < t->count; i++) {
        fta_redis_reply_free(t->replies[i]);
    }
    fta_redis_text_free(&t->text);
}

fta_status
fta_redis_dialogue_greet(fta_redis_socket *s, const fta_redis_url *url,
                         int64_t deadline, fta_redis_problem *problem)
{
    fta_status status = FTA_OK;
    trip t = {0};
    bool with_role = url->kind == FTA_REDIS_SENTINEL;
    if (url->password != NULL) {
        status = trip_add_auth(&t, url->user, url->password);
    }
    if (status == FTA_OK && url->database != 0) {
        char number[12];
        (void)snprintf(number, sizeof(number), "%u", url->database);
        const char *argv[] = {"SELECT", number};
        status = trip_add(&t, SELECT, 2, argv);
    }
    if (status == FTA_OK && with_role) {
        const char *argv[] = {"ROLE"};
        status = trip_add(&t, ROLE, 1, argv);
    }
    if (status == FTA_OK) {
        status = trip_make(&t, s, deadline, problem);
    }
    if (status == FTA_OK && with_role &&
        strcmp(t.replies[t.count - 1]->elements[0]->text, "master") != 0) {
        status = FTA_REDIS_READ_ONLY;
    }
    /* Bytes that nobody asked for would be taken for the answer to the
     * command that comes next. */
    if (status == FTA_OK && t.count > 0 && !fta_redis_socket_is_quiet(s)) {
        fta_redis_problem_set(problem, "more than one answer to one request, "
                                       "or the end of the connection");
        status = FTA_REDIS_MALFORMED;
    }
    if (status != FTA_OK) {
        fta_redis_socket_close(s);
    }
    trip_end(&t);
    return status;
}

fta_status
fta_redis_dialogue_primary(fta_redis_socket *s, const fta_redis_url *url,
                           int64_t deadline, fta_redis_host *primary,
                           fta_redis_problem *problem)
{
    fta_status status = FTA_OK;
    trip t = {0};
    if (url->sentinel_password != NULL) {
        status = trip_add_auth(&t, url->sentinel_user, url->sentinel_password);
    }
    if (status == FTA_OK) {
        const char *argv[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                              url->service};
        status = trip_add(&t, SENTINEL, 3, argv);
    }
    if (status == FTA_OK) {
        status = trip_make(&t, s, deadline, problem);
    }
    if (status == FTA_OK &&
        !fta_redis_address_parse(t.replies[t.count - 1], primary)) {
        status = FTA_REDIS_NO_PRIMARY;
    }
    trip_end(&t);
    return status;
}

fta_status
fta_redis_dialogue_slots(fta_redis_socket *s, const fta_redis_host *asked,
                         int64_t deadline, fta_redis_slots **out,
                         fta_redis_problem *problem)
{
    *out = NULL;
    trip t = {0};
    const char *argv[] = {"CLUSTER", "SLOTS"};
    fta_status status = trip_add(&t, SLOTS, 2, argv);
    if (status == FTA_OK) {
        status = trip_make(&t, s, deadline, problem);
    }
    if (status == FTA_OK) {
        status = fta_redis_slots_parse(t.replies[0], asked, out);
        if (status == FTA_REDIS_MALFORMED) {
            fta_redis_socket_close(s);
        }
    }
    trip_end(&t);
    return status;
}

/* --- The command of a caller
 * --------------------------------------------------------- */

/* Fills answer from the reply, which it takes over. */
static fta_status
answer_from_reply(fta_redis_reply *reply, const fta_redis_host *node,
                  fta_redis_answer *answer, fta_redis_problem *problem)
{
    fta_status status = judge(COMMAND, reply, problem);
    if (status == FTA_OK) {
        answer->kind = FTA_REDIS_ANSWER_REPLY;
        answer->reply = reply;
        return status;
    }
    if (node != NULL &&
        (status == FTA_REDIS_MOVED || status == FTA_REDIS_ASK)) {
        if (fta_redis_redirect_parse(reply, node, &answer->slot,
                                     &answer->host)) {
            answer->kind = FTA_REDIS_ANSWER_REDIRECT;
            answer->asking = status == FTA_REDIS_ASK;
        } else {
            status = FTA_REDIS_MALFORMED;
        }
    }
    fta_redis_reply_free(reply);
    return status;
}

fta_status
fta_redis_dialogue_command(fta_redis_socket *s,
                           const fta_redis_question *question, int64_t deadline,
                           fta_redis_answer *answer, fta_redis_problem *problem)
{
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    const fta_redis_text *command = question->command;
    *answer = (fta_redis_answer){.kind = FTA_REDIS_ANSWER_FAILED};
    fta_redis_reply *replies[2] = {NULL, NULL};
    fta_status status = FTA_OK;
    if (question->asking) {
        char *both = fta_malloc(sizeof(asking) - 1 + command->length);
        if (both == NULL) {
            return FTA_NO_MEMORY;
        }
        memcpy(both, asking, sizeof(asking) - 1);
        memcpy(both + sizeof(asking) - 1, command->bytes, command->length);
        status = fta_redis_socket_exchange(s, both,
                                           sizeof(asking) - 1 + command->length,
                                           2, replies, deadline, problem);
        fta_free(both);
        if (status == FTA_OK) {
            status = judge(ASKING, replies[0], problem);
        }
        fta_redis_reply_free(replies[0]);
    } else {
        status = fta_redis_socket_exchange(s, command->bytes, command->length,
                                           1, &replies[1], deadline, problem);
    }
    if (status == FTA_OK) {
        status = answer_from_reply(replies[1], question->node, answer, problem);
    } else {
        fta_redis_reply_free(replies[1]);
        fta_redis_socket_close(s);
    }
    switch (status) {
    case FTA_REDIS_MALFORMED: /* Nobody knows what comes next. */
    case FTA_REDIS_READ_ONLY: /* A new connection may find the primary. */
    case FTA_REDIS_DENIED:    /* A new one begins with the password. */
        fta_redis_socket_close(s);
        break;
    default:
        break;
    }
    return status;
}
