/* open_record: how a request that Flask dispatches gets its record. */
#ifndef FTA_BINDING_OPEN_RECORD_H
#define FTA_BINDING_OPEN_RECORD_H

#include "binding/state.h"

/* The record of a request that Flask dispatches, a new reference: known, or a
 * new one of this app where that is NULL. The StartResponse in environ, a dict,
 * under the key, a str, is tied to it if it may be. */
PyObject *fta_open_record(const fta_state *state, PyObject *of_app,
                          PyObject *wsgi_environ, PyObject *key,
                          PyObject *known);

int fta_add_open_record(PyObject *module);

#endif
