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
    X(BAD_RATE, "not a rate")

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
