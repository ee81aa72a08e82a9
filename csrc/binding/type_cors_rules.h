/* CorsRules: the paths and origins of CORS, and the header fields for them. */
#ifndef FTA_BINDING_TYPE_CORS_RULES_H
#define FTA_BINDING_TYPE_CORS_RULES_H

#include "binding/state.h"

/* What CORS adds to the response to an ordinary request, a new reference to a
 * list that nobody may change. rules is a CorsRules; path and origin are str,
 * or anything else or NULL where environ has none. NULL with an exception
 * set. */
PyObject *fta_cors_fields(const fta_state *state, PyObject *rules,
                          PyObject *path, PyObject *origin);

#endif
