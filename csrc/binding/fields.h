/* Header fields as WSGI has them: lists of (name, value) tuples. */
#ifndef FTA_BINDING_FIELDS_H
#define FTA_BINDING_FIELDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* 1 if two lists have a name in common, else 0; -1 with an exception set for
 * what is not such a list. */
int fta_fields_overlap(PyObject *headers, PyObject *others);

/* A new list of all three lists' fields. */
PyObject *fta_fields_joined(PyObject *a, PyObject *b, PyObject *c);

int fta_add_fields(PyObject *module);

#endif
