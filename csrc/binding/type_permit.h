#ifndef FTA_BINDING_TYPE_PERMIT_H
#define FTA_BINDING_TYPE_PERMIT_H

#include "binding/state.h"

#include "concurrency/permits.h"

/* A Permit that has been taken from the table of permits_object. Holds a
 * reference to that. On failure the permit is released. */
PyObject *fta_permit_object_new(fta_state *state, PyObject *permits_object,
                                fta_permits *permits, const fta_permit *permit);

#endif
