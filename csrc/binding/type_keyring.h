/* Keyring: the keys of an application and what its tokens must say. */
#ifndef FTA_TYPE_KEYRING_H
#define FTA_TYPE_KEYRING_H

#include "state.h"

int fta_add_keyring(PyObject *module);

#endif
