/* Statuses of the core as Python exceptions, by one table. */
#ifndef FTA_BINDING_ERRORS_H
#define FTA_BINDING_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/status.h"

/* Raises the exception of the status, with its text as the message, and
 * returns NULL. After FTA_STOPPED the exception that is set stays. */
PyObject *fta_raise(fta_status status);

/* The name of a status in snake_case. Programs compare it, so it never changes
 * between versions. */
PyObject *fta_code_of(fta_status status);

#endif
