/* Visit: what is known of one request so far, and its start_response. */
#ifndef FTA_TYPE_VISIT_H
#define FTA_TYPE_VISIT_H

#include "type_edge.h"

/* The keys of environ that are read here, in the order of
 * fta_state.environ_names. */
enum {
    FTA_ENVIRON_METHOD,
    FTA_ENVIRON_PATH,
    FTA_ENVIRON_ORIGIN,
    FTA_ENVIRON_ADDRESS,
    FTA_ENVIRON_USER_AGENT,
    FTA_ENVIRON_AUTHORIZATION,
    FTA_ENVIRON_COUNT
};

/* Every PyObject of it, once: X(name). All are Owned; NULL reads as None. */
#define FTA_VISIT_LIST(X)                                                      \
    X(state)    /* of the app */                                               \
    X(outcome)  /* what the credentials came to; None: not looked at yet */    \
    X(judged)   /* a Rejection that counting has come to */                    \
    X(identity) /* bound by a decorator */                                     \
    X(counted)  /* a tuple: the rules that were counted */                     \
    X(limits)   /* a tuple: the limits that decision is about */               \
    X(decision) /* of the limiter */                                           \
    X(reason)   /* why it was refused, for the audit log */                    \
    X(instead)  /* the answer that goes out in place of the inner one */       \
    X(edge)     /* NULL: this is not anybody's start_response */               \
    X(environ)  /* with edge */                                                \
    X(start)    /* with edge: the server's start_response */

typedef struct fta_visit {
    PyObject_HEAD
    vectorcallfunc call;
#define X(name) PyObject *name;
    FTA_VISIT_LIST(X)
#undef X
    char failure_counted;
} fta_visit;

int fta_add_visit(PyObject *module);

/* A new one, for a request that an edge has received. */
PyObject *fta_visit_begin(fta_state *state, fta_edge *edge, PyObject *environ,
                          PyObject *start);

#endif
