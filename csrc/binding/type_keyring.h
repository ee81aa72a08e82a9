/* Keyring: the keys of an application and what its tokens must say. */
#ifndef FTA_BINDING_TYPE_KEYRING_H
#define FTA_BINDING_TYPE_KEYRING_H

#include "binding/state.h"

int fta_add_keyring(PyObject *module);

#endif
