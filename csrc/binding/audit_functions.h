/* The functions of the module that read audit logs. */
#ifndef FTA_BINDING_AUDIT_FUNCTIONS_H
#define FTA_BINDING_AUDIT_FUNCTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int fta_add_audit_functions(PyObject *module);

#endif
