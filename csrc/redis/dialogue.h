/* What is said on one connection to one Redis: the requests of this client,
 * and which reply each of them accepts.
 *
 * A connection is a state machine. Each state has one request and one list of
 * the replies that it accepts; any other reply is a protocol error, which
 * ends the connection (FTA_REDIS_MALFORMED). A redirect is accepted in one
 * state alone: as the reply to the command of a caller, in a cluster. It is
 * read there, where the reply is at hand, and handed on by value: whoever
 * follows it has no reply to look at and no pointer that could be NULL.
 *
 *   AUTH      +OK
 *   SELECT    +OK
 *   ROLE      an array that begins with a text
 *   SENTINEL  the address of the primary, or nil
 *   SLOTS     the slots of a cluster
 *   ASKING    +OK
 *   COMMAND   anything; in a cluster a redirect, which is checked
 *
 * Each state but COMMAND also accepts the errors that every request may meet:
 * the user is denied, Redis is loading or busy, the cluster is down, "ERR".
 * They end the connection too. */
#ifndef FTA_REDIS_DIALOGUE_H
#define FTA_REDIS_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/reply.h"
#include "redis/socket.h"
#include "redis/url.h"

/* One or more formatted requests. */
typedef struct fta_redis_text {
    char *bytes; /* Owned; secret when it holds a password */
    size_t length;
} fta_redis_text;

fta_status fta_redis_text_append(fta_redis_text *text, int argc,
                                 const char *const *argv,
                                 const size_t *lengths);

/* Wipes it. */
void fta_redis_text_free(fta_redis_text *text);

/* What a new connection begins with, in one round trip: who we are, which
 * database, and with sentinels whether this really is the primary. */
fta_status fta_redis_dialogue_greet(fta_redis_socket *s,
                                    const fta_redis_url *url, int64_t deadline,
                                    fta_redis_problem *problem);

/* Asks a sentinel for the primary, on a connection that has not been used. */
fta_status fta_redis_dialogue_primary(fta_redis_socket *s,
                                      const fta_redis_url *url,
                                      int64_t deadline, fta_redis_host *primary,
                                      fta_redis_problem *problem);

/* Asks a node, asked, for the slots of its cluster. *out is NULL, or the
 * caller's to free. */
fta_status fta_redis_dialogue_slots(fta_redis_socket *s,
                                    const fta_redis_host *asked,
                                    int64_t deadline, fta_redis_slots **out,
                                    fta_redis_problem *problem);

typedef enum fta_redis_answer_kind {
    FTA_REDIS_ANSWER_FAILED,   /* The status says how. */
    FTA_REDIS_ANSWER_REPLY,    /* reply is not NULL; the status is FTA_OK. */
    FTA_REDIS_ANSWER_REDIRECT, /* slot and host are set. */
} fta_redis_answer_kind;

typedef struct fta_redis_answer {
    fta_redis_answer_kind kind;
    fta_redis_reply *reply; /* Owned; set for REPLY alone */
    unsigned slot;          /* of a redirect */
    fta_redis_host host;    /* of a redirect: where to go */
    bool asking;            /* of a redirect: for this once, after ASKING */
} fta_redis_answer;

typedef struct fta_redis_question {
    const fta_redis_text *command; /* Borrowed */
    bool asking;                   /* ASKING goes first. */
    /* The node that is asked, for redirects that name none; NULL outside of
     * clusters, where a redirect is an error like others. Borrowed. */
    const fta_redis_host *node;
} fta_redis_question;

/* Sends the command of a caller. answer is set whatever happens. */
fta_status fta_redis_dialogue_command(fta_redis_socket *s,
                                      const fta_redis_question *question,
                                      int64_t deadline,
                                      fta_redis_answer *answer,
                                      fta_redis_problem *problem);

#endif
