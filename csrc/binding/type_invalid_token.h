/* InvalidToken: why a token was refused. One immutable object per reason, made
 * when the module is, so that refusing takes no memory. */
#ifndef FTA_BINDING_TYPE_INVALID_TOKEN_H
#define FTA_BINDING_TYPE_INVALID_TOKEN_H

#include "binding/state.h"

#include "base/status.h"

int fta_add_invalid_token(PyObject *module);

/* A new reference to the InvalidToken of that status; NULL, with no exception
 * set, for a status that is none. */
PyObject *fta_invalid_token_of(fta_state *state, fta_status status);

#endif
