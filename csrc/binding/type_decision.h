/* Decision: what the limiter says about one request. */
#ifndef FTA_TYPE_DECISION_H
#define FTA_TYPE_DECISION_H

#include "state.h"

#include "../core/limiter.h"

int fta_add_decision(PyObject *module);

/* A new Decision. rate is the Rate that decides, or None. */
PyObject *fta_decision_new(fta_state *state, fta_store store,
                           const fta_verdict *verdict, PyObject *rate);

#endif
