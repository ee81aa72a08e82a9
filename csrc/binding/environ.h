/* What is read of environ, the dict of a request (PEP 3333). */
#ifndef FTA_BINDING_ENVIRON_H
#define FTA_BINDING_ENVIRON_H

#include "binding/hold.h"
#include "binding/state.h"

/* The keys that are read, in the order of fta_state.environ_names. */
#define FTA_ENVIRON_LIST(X)                                                    \
    X(METHOD, "REQUEST_METHOD")                                                \
    X(PATH, "PATH_INFO")                                                       \
    X(ORIGIN, "HTTP_ORIGIN")                                                   \
    X(REQUESTED_METHOD, "HTTP_ACCESS_CONTROL_REQUEST_METHOD")                  \
    X(REQUESTED_HEADERS, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS")                \
    X(ADDRESS, "REMOTE_ADDR")                                                  \
    X(USER_AGENT, "HTTP_USER_AGENT")                                           \
    X(AUTHORIZATION, "HTTP_AUTHORIZATION")                                     \
    X(COOKIE, "HTTP_COOKIE")

typedef enum fta_environ_key {
#define X(name, text) FTA_ENVIRON_##name,
    FTA_ENVIRON_LIST(X)
#undef X
        FTA_ENVIRON_COUNT
} fta_environ_key;

int fta_add_environ(PyObject *module);

/* A new reference, or NULL: where the key is missing, or with an exception
 * set. Foreign code may run (see fta_held_item). */
static inline PyObject *
fta_environ_item(const fta_state *state, PyObject *wsgi_environ,
                 fta_environ_key key)
{
    return fta_held_item(wsgi_environ,
                         PyTuple_GET_ITEM(state->environ_names, key));
}

#endif
