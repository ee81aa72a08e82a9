/* What the binding does around a wait of the limiter for the network: it lets
 * other threads run. Its caller holds all that the core looks at meanwhile. */
#ifndef FTA_BINDING_WAITING_H
#define FTA_BINDING_WAITING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "limit/limiter.h"

/* thread is borrowed by what is returned. */
fta_waiting fta_waiting_without_gil(PyThreadState **thread);

#endif
