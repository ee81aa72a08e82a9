/* How a call into the core went.
 *
 * Every function of the core that can fail returns one of these; the binding
 * maps them to Python exceptions by table, the log names them by their text.
 * One list, so that the enum and the texts cannot drift apart. */
#ifndef FTA_STATUS_H
#define FTA_STATUS_H

#define FTA_STATUS_LIST(X)                                                     \
    X(OK, "ok")                                                                \
    X(NO_MEMORY, "out of memory")                                              \
    X(BAD_ARGUMENT, "bad argument")                                            \
    X(CRYPTO, "the crypto library refused an operation")                       \
    X(SYSTEM, "the operating system refused an operation")                     \
    X(BAD_RATE, "not a rate")                                                  \
    /* Redis: the way there */                                                 \
    X(REDIS_UNREACHABLE, "Redis cannot be reached")                            \
    X(REDIS_TIMEOUT, "Redis did not answer in time")                           \
    X(REDIS_CLOSED, "Redis closed the connection")                             \
    X(REDIS_MALFORMED, "Redis sent a malformed or oversized reply")            \
    X(REDIS_TLS, "TLS with Redis failed")                                      \
    X(REDIS_NO_PRIMARY, "no sentinel knows the primary")                       \
    X(REDIS_POOL_EMPTY, "every connection to Redis is in use")                 \
    /* Redis: what it answered */                                              \
    X(REDIS_NO_SCRIPT, "Redis does not know the script")                       \
    X(REDIS_MOVED, "the slot has moved to another node")                       \
    X(REDIS_ASK, "the slot is moving to another node")                         \
    X(REDIS_TRY_AGAIN, "the slot's keys are on two nodes")                     \
    X(REDIS_CLUSTER_DOWN, "the cluster is down")                               \
    X(REDIS_LOADING, "Redis is loading its data")                              \
    X(REDIS_BUSY, "Redis is busy with a script")                               \
    X(REDIS_READ_ONLY, "this Redis is a replica")                              \
    X(REDIS_FULL, "Redis takes no writes")                                     \
    X(REDIS_DENIED, "Redis refused the user, password or command")             \
    X(REDIS_REFUSED, "Redis answered with an error")

typedef enum fta_status {
#define X(name, text) FTA_##name,
    FTA_STATUS_LIST(X)
#undef X
        FTA_STATUS_COUNT
} fta_status;

/* The text of a status, never NULL. */
const char *fta_status_text(fta_status status);

/* The name of a status as it stands in the list ("NO_MEMORY"). */
const char *fta_status_name(fta_status status);

#endif
