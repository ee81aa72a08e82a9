/* The step that authenticates a request and counts it. */
#ifndef FTA_BINDING_AUTHENTICATE_H
#define FTA_BINDING_AUTHENTICATE_H

#include "binding/state.h"

#include "binding/type_request_record.h"

/* What the step is about. All are Borrowed; the caller holds them. */
typedef struct fta_step {
    fta_request_record *record;
    PyObject *wsgi_environ; /* a dict */
    PyObject *keyring;      /* a Keyring */
    PyObject *limiter;      /* a Limiter */
    PyObject *limits;       /* a tuple of Limit */
    PyObject *address;      /* a str */
    PyObject *cookie; /* a str: the cookie that may have a token; or NULL */
} fta_step;

/* The Decision, or None without a valid token: nothing is counted then. NULL
 * with an exception set. */
PyObject *fta_authenticate_and_count(const fta_state *state,
                                     const fta_step *step);

int fta_add_authenticate(PyObject *module);

#endif
