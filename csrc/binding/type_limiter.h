/* Limiter: counts requests against limits. */
#ifndef FTA_BINDING_TYPE_LIMITER_H
#define FTA_BINDING_TYPE_LIMITER_H

#include "binding/state.h"

int fta_add_limiter(PyObject *module);

#endif
