/* Statuses of the core as Python exceptions, by one table. */
#ifndef FTA_BINDING_ERRORS_H
#define FTA_BINDING_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/status.h"

/* Raises what the status means and returns NULL. subject names the argument
 * or the thing that is wrong, and starts the message; NULL: the status's text
 * alone. */
PyObject *fta_raise(fta_status status, const char *subject);

/* The name of a status in snake_case, for code that has to tell one from
 * another: a str, which never changes between versions. */
PyObject *fta_code_of(fta_status status);

#endif
