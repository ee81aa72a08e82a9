/* What people ask of the Redis of a limiter. */
#ifndef FTA_BINDING_LIMITER_REDIS_H
#define FTA_BINDING_LIMITER_REDIS_H

#include "binding/state.h"

#include "limit/limiter.h"

/* Methods of Limiter, without the object, which the caller holds. */
PyObject *fta_limiter_check_redis(const fta_limiter *limiter, PyObject *value);
PyObject *fta_limiter_ask_redis(const fta_limiter *limiter, PyObject *args);

#endif
