/* Metrics: the counters of an app, which the processes of a host share. */
#ifndef FTA_BINDING_TYPE_METRICS_H
#define FTA_BINDING_TYPE_METRICS_H

#include "binding/state.h"

#include <stdbool.h>

#include "metrics/requests.h"

/* The counters of a Metrics, which live as long as it; NULL for None. They may
 * be others the next time: whoever keeps something keeps the Metrics. It may be
 * called without the GIL. */
fta_metrics *fta_metrics_of(const PyObject *metrics);

/* Whether an argument is a Metrics or None. TypeError that names it if not. */
bool fta_is_metrics(const fta_state *state, PyObject *value,
                    const char *argument);

/* Counts an answer. What was denied has a reason, a str; the identity of a
 * request, if it has one, is an Identity. Both may be NULL or None. */
void fta_metrics_count_objects(const fta_state *state, PyObject *metrics,
                               int status, PyObject *reason,
                               PyObject *identity);

/* Adds METRICS, what each metric is, and METRIC_BOUNDS. */
int fta_add_metrics(PyObject *module);

#endif
