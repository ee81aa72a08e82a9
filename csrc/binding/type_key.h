/* Key: one key bound to one algorithm. */
#ifndef FTA_BINDING_TYPE_KEY_H
#define FTA_BINDING_TYPE_KEY_H

#include "binding/state.h"

#include "token/key.h"

int fta_add_key(PyObject *module);

/* The key inside a Key, which lives as long as the Key. NULL without an
 * exception for an object of another type. */
const fta_key *fta_key_of(const fta_state *state, PyObject *object);

#endif
