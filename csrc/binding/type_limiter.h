/* Limiter: counts requests against limits. */
#ifndef FTA_BINDING_TYPE_LIMITER_H
#define FTA_BINDING_TYPE_LIMITER_H

#include "binding/state.h"

#include "metrics/metrics.h"

/* The method hit: the Decision about a request. self is a Limiter. */
PyObject *fta_limiter_count(PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs);

/* The attribute store_events. */
unsigned long long fta_limiter_store_events(PyObject *self);

int fta_add_limiter(PyObject *module);

/* Where a Limiter counts what it decides, borrowed from it; or NULL. */
fta_metrics *fta_limiter_metrics(PyObject *limiter);

#endif
