/* What metrics count for the console, as Python objects. */
#ifndef FTA_BINDING_METRICS_CONSOLE_H
#define FTA_BINDING_METRICS_CONSOLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "metrics/metrics.h"

/* A new dict: the requests of each minute of the last hour, and the reasons for
 * which some were denied. */
PyObject *fta_last_hour_values(const fta_metrics *metrics);

/* A new dict: the users and tenants that were limited most. */
PyObject *fta_most_limited_values(const fta_metrics *metrics);

#endif
