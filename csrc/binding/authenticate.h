/* The step that authenticates a request and counts it. */
#ifndef FTA_BINDING_AUTHENTICATE_H
#define FTA_BINDING_AUTHENTICATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int fta_add_authenticate(PyObject *module);

#endif
