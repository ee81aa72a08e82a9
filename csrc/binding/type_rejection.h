/* Rejection: why a token was refused. One immutable object per reason, made
 * when the module is, so that refusing takes no memory. */
#ifndef FTA_BINDING_TYPE_REJECTION_H
#define FTA_BINDING_TYPE_REJECTION_H

#include "binding/state.h"

#include "base/status.h"

int fta_add_rejection(PyObject *module);

/* A new reference to the Rejection of that status; NULL, with no exception
 * set, for a status that is none. */
PyObject *fta_rejection_of(fta_state *state, fta_status status);

#endif
