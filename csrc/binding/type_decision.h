/* Decision: what the limiter says about one request. */
#ifndef FTA_BINDING_TYPE_DECISION_H
#define FTA_BINDING_TYPE_DECISION_H

#include "binding/state.h"

#include <stdbool.h>

#include "limit/limiter.h"

int fta_add_decision(PyObject *module);

/* A new Decision. rate is the Rate that the answer is about, or None. */
PyObject *fta_decision_new(fta_state *state, const fta_limiter_answer *answer,
                           PyObject *rate);

/* Whether it is a Decision that allows the request, or None. */
bool fta_decision_is_plain(const fta_state *state, PyObject *object);

/* A list of the X-RateLimit fields of a Decision, none of any other object; a
 * new reference, not to be changed. */
PyObject *fta_decision_fields(const fta_state *state, PyObject *object);

#endif
