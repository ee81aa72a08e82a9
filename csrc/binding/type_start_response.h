/* StartResponse: what a Middleware gives the application inside as
 * start_response, for one request (PEP 3333). */
#ifndef FTA_BINDING_TYPE_START_RESPONSE_H
#define FTA_BINDING_TYPE_START_RESPONSE_H

#include <stdbool.h>

#include "binding/type_middleware.h"

/* Its objects that never change: X(name). All are Owned. */
#define FTA_START_RESPONSE_FIXED_LIST(X)                                       \
    X(middleware) /* that made it */                                           \
    X(start)      /* the server's start_response */                            \
    X(outer)      /* the environ that the middleware was called with */

/* Those that change. NULL reads as None. */
#define FTA_START_RESPONSE_LIST(X)                                             \
    X(wsgi_environ) /* that of the Request that took it; until then NULL */    \
    X(previous)     /* what stood in its place in outer, or NULL */            \
    X(record) /* a RequestRecord, of that Request or made here; or NULL */     \
    X(replacement) /* the response that is sent in place of the app's */

typedef struct fta_start_response {
    PyObject_HEAD
    vectorcallfunc call;
#define X(name) PyObject *name;
    FTA_START_RESPONSE_FIXED_LIST(X)
#undef X
#define X(name) fta_member name;
    FTA_START_RESPONSE_LIST(X)
#undef X
    atomic_bool begun;    /* whether the application has called it */
    atomic_bool sent;     /* whether the server's start_response was called */
    atomic_bool replaced; /* whether a replacement is being sent */
} fta_start_response;

/* A new one, which stands in environ under the middleware's key from now on. */
PyObject *fta_start_response_new(fta_state *state, fta_middleware *middleware,
                                 PyObject *wsgi_environ, PyObject *start);

/* Takes it out of environ again, if it is still there: the two would keep each
 * other alive. -1 with an exception set. */
int fta_start_response_leave(fta_start_response *self);

#endif
