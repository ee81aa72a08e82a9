/* Decision: what the limiter says about one request. */
#ifndef FTA_BINDING_TYPE_DECISION_H
#define FTA_BINDING_TYPE_DECISION_H

#include "binding/state.h"

#include <stdbool.h>

#include "http/limit_fields.h"
#include "limit/limiter.h"

/* A new Decision. rate is what the answer is about; NULL: there was no limit.
 */
PyObject *fta_decision_new(fta_state *state, const fta_limiter_answer *answer,
                           const fta_rate *rate);

/* Whether an object is a Decision that allows its request. */
bool fta_decision_allows(const fta_state *state, PyObject *object);

/* What header fields say of a Decision: all but now_us. False, and nothing is
 * set, for any other object and NULL. */
bool fta_decision_report(const fta_state *state, PyObject *object,
                         fta_limit_report *report);

#endif
