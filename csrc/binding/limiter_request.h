/* The arguments of hit, peek and reset. */
#ifndef FTA_BINDING_LIMITER_REQUEST_H
#define FTA_BINDING_LIMITER_REQUEST_H

#include "binding/state.h"

#include <stdbool.h>

#include "limit/limiter.h"

/* Other threads run while the core looks at the arguments: all that it looks at
 * is in them, which the caller holds, or in a tuple that was made of a list.
 * What the caller holds gets no further reference here. It may be shared by all
 * threads, and each reference would have them wait for each other. */
typedef struct fta_request_arguments {
    PyObject *limit_objects;  /* Borrowed: a tuple of Limit. */
    PyObject *made_limits;    /* Owned: that tuple, if it was made; or NULL */
    PyObject *custom_objects; /* Borrowed: a tuple of str. */
    PyObject *made_custom;    /* Owned: likewise */
    size_t count;
    const fta_limit *limits[FTA_HITS_MAX]; /* Borrowed from limit_objects. */
    fta_text custom[FTA_HITS_MAX];         /* Borrowed from custom_objects. */
    fta_requester requester;               /* Borrowed from the arguments. */
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
