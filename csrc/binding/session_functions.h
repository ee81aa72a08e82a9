/* The functions of sessions that belong to no type. */
#ifndef FTA_BINDING_SESSION_FUNCTIONS_H
#define FTA_BINDING_SESSION_FUNCTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int fta_add_session_functions(PyObject *module);

#endif
