/* Rate: "50 per 1 minute"; and parse_rates, which reads them. */
#ifndef FTA_BINDING_TYPE_RATE_H
#define FTA_BINDING_TYPE_RATE_H

#include "binding/state.h"

#include "limit/rate.h"

typedef struct fta_rate_object {
    PyObject_HEAD
    fta_rate rate;
} fta_rate_object;

int fta_add_rate(PyObject *module);

/* A new Rate. */
PyObject *fta_rate_new(fta_state *state, const fta_rate *rate);

#endif
