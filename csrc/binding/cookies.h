/* One cookie of a request as a str. */
#ifndef FTA_BINDING_COOKIES_H
#define FTA_BINDING_COOKIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The value of the one cookie of a name in the str of a Cookie header, a new
 * reference. NULL, with no exception set, where there is none or more than one:
 * *count says how many. NULL with an exception set without memory. */
PyObject *fta_cookie_value(PyObject *header, PyObject *name, size_t *count);

#endif
