#ifndef FTA_BINDING_TYPE_PERMITS_H
#define FTA_BINDING_TYPE_PERMITS_H

#include "binding/state.h"

/* Adds PERMITS_MOST. */
int fta_add_permits(PyObject *module);

#endif
