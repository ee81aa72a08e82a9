/* The arguments of hit, peek and reset. */
#ifndef FTA_BINDING_LIMITER_REQUEST_H
#define FTA_BINDING_LIMITER_REQUEST_H

#include "binding/state.h"

#include <stdbool.h>

#include "limit/limiter.h"

/* Other threads run while the core looks at the arguments: all that it looks at
 * is held. */
typedef struct fta_request_arguments {
    PyObject *limit_objects;  /* Owned: a tuple of Limit. */
    PyObject *identity;       /* Owned */
    PyObject *address;        /* Owned */
    PyObject *custom_objects; /* Owned: a tuple of str. */
    size_t count;
    const fta_limit *limits[FTA_HITS_MAX]; /* Borrowed from limit_objects. */
    fta_text custom[FTA_HITS_MAX];         /* Borrowed from custom_objects. */
    fta_requester requester; /* Borrowed from identity and address. */
} fta_request_arguments;

/* Fills all of out; else returns false with an exception set. Both ways out is
 * to be cleared. */
bool fta_request_arguments_read(const fta_state *state, PyObject *const *args,
                                Py_ssize_t nargs, fta_request_arguments *out);
void fta_request_arguments_clear(fta_request_arguments *arguments);

/* The ids of an Identity or None, borrowed from it. */
bool fta_requester_read_identity(const fta_state *state, PyObject *value,
                                 fta_requester *out);

/* A tuple of the items of a list or tuple: it cannot change, whatever other
 * threads do. A new reference; TypeError that names the argument. */
PyObject *fta_tuple_of(PyObject *value, const char *argument);

#endif
