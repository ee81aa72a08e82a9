/* InvalidToken: why a token is invalid. One immutable object for each reason,
 * made with the module, so that an invalid token takes no memory. */
#ifndef FTA_BINDING_TYPE_INVALID_TOKEN_H
#define FTA_BINDING_TYPE_INVALID_TOKEN_H

#include "binding/state.h"

#include "base/status.h"

int fta_add_invalid_token(PyObject *module);

/* A new reference to the InvalidToken of that status. NULL without an exception
 * for a status that says nothing of a token. */
PyObject *fta_invalid_token_of(fta_state *state, fta_status status);

#endif
