/* The module-level functions about passwords and the Authorization header. */
#ifndef FTA_BINDING_CREDENTIALS_H
#define FTA_BINDING_CREDENTIALS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int fta_add_credentials(PyObject *module);

#endif
