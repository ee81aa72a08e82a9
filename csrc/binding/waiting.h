/* What the binding does around a wait of the limiter for the network: it lets
 * other threads run, and counts how long it was. Its caller holds all that the
 * core looks at meanwhile. */
#ifndef FTA_BINDING_WAITING_H
#define FTA_BINDING_WAITING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "limit/limiter.h"
#include "metrics/metrics.h"

/* One call of the limiter. */
typedef struct fta_released_gil {
    fta_metrics *metrics;  /* Borrowed; NULL: nothing is counted. */
    PyThreadState *thread; /* While the GIL is released. */
    uint64_t began;
} fta_released_gil;

/* gil is borrowed by what is returned. */
fta_waiting fta_waiting_without_gil(fta_released_gil *gil);

#endif
