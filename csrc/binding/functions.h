/* The functions of the module that need no type: is_valid_uuid and the clock
 * among them. */
#ifndef FTA_BINDING_FUNCTIONS_H
#define FTA_BINDING_FUNCTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int fta_add_functions(PyObject *module);

#endif
