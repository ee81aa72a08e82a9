/* Limiter: counts requests against limits. */
#ifndef FTA_BINDING_TYPE_LIMITER_H
#define FTA_BINDING_TYPE_LIMITER_H

#include "binding/state.h"

#include "metrics/metrics.h"

int fta_add_limiter(PyObject *module);

/* Where a Limiter counts what it decides, borrowed from it; or NULL. */
fta_metrics *fta_limiter_metrics(PyObject *limiter);

#endif
