/* The catalogue of metrics and their values as Python objects. */
#ifndef FTA_BINDING_METRICS_VALUES_H
#define FTA_BINDING_METRICS_VALUES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "metrics/metrics.h"

/* A new dict of the name of each metric to a list of its values. */
PyObject *fta_metrics_values(const fta_metrics *metrics);

/* A new tuple: for each metric its name, kind, help, the names of its labels
 * and the words of the last one. */
PyObject *fta_metrics_catalogue(void);

/* A new tuple of the bounds of histograms, in seconds. */
PyObject *fta_metrics_bounds(void);

/* A word of the catalogue, whose lists are in capitals, as a new str. */
PyObject *fta_metric_word(fta_text word);

#endif
