/* RequestRecord: what is known of one request so far. It belongs to the Request
 * object that it was made for, and to no other. */
#ifndef FTA_BINDING_TYPE_REQUEST_RECORD_H
#define FTA_BINDING_TYPE_REQUEST_RECORD_H

#include "binding/member.h"
#include "binding/state.h"

/* Its objects that change: X(name). None has NULL but a record that the garbage
 * collector has cleared, and there it reads as None. */
#define FTA_REQUEST_RECORD_LIST(X)                                             \
    X(outcome)       /* what the credentials prove; None: not read yet */      \
    X(invalid_token) /* the InvalidToken of its token, where the core saw one  \
                      */                                                       \
    X(identity)      /* an Identity, bound by a decorator, or None */          \
    X(subject)       /* an Identity that was denied all the same, or None */   \
    X(counted)       /* a tuple: the rules that were counted */                \
    X(limits)        /* a tuple: the limits that decision is about */          \
    X(decision)      /* a Decision of the limiter, or None */                  \
    X(reason)        /* a str: why it was denied, or None */

typedef struct fta_request_record {
    PyObject_HEAD
    PyObject *state; /* Owned: of the app. It never changes. */
#define X(name) fta_member name;
    FTA_REQUEST_RECORD_LIST(X)
#undef X
    atomic_bool dispatched;      /* whether Flask dispatches this request */
    atomic_bool has_answer;      /* whether a StartResponse is tied to it */
    atomic_bool failure_counted; /* whether the failure limit has counted it */
} fta_request_record;

int fta_add_request_record(PyObject *module);

/* A new one, of an app's state. */
PyObject *fta_request_record_new(const fta_state *state, PyObject *of_app);

/* The record inside an object; NULL, with no exception set, for an object of
 * another type. */
static inline fta_request_record *
fta_request_record_of(const fta_state *state, PyObject *object)
{
    return object != NULL && Py_IS_TYPE(object, state->request_record_type)
               ? (fta_request_record *)(void *)object
               : NULL;
}

#endif
