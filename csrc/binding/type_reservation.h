/* Reservation: what a request has taken from its limits until it is known
 * whether it counts. */
#ifndef FTA_BINDING_TYPE_RESERVATION_H
#define FTA_BINDING_TYPE_RESERVATION_H

#include "binding/state.h"

#include "limit/limiter.h"

/* A new Reservation, which takes over reservation, also where it fails. limiter
 * is the core's of the Limiter object. */
PyObject *fta_reservation_object_new(fta_state *state, PyObject *limiter_object,
                                     fta_limiter *limiter,
                                     fta_reservation *reservation,
                                     PyObject *decision);

#endif
