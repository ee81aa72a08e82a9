/* Limiter: counts requests against limits. */
#ifndef FTA_TYPE_LIMITER_H
#define FTA_TYPE_LIMITER_H

#include "state.h"

int fta_add_limiter(PyObject *module);

#endif
