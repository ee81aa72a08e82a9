/* Between the C client of Redis and Python. */
#ifndef FTA_BINDING_REDIS_VALUES_H
#define FTA_BINDING_REDIS_VALUES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/status.h"
#include "redis/problem.h"
#include "redis/reply.h"

/* A reply as int, str, list or None; an error inside an array is a str. */
PyObject *fta_str_of_reply(const fta_redis_reply *reply);

/* A reply as int, bytes, list or None. An error inside an array is raised. */
PyObject *fta_bytes_of_reply(const fta_redis_reply *reply);

/* Sets an exception whose attribute code says which status it is, and detail
 * what Redis or the system said, as far as that is known. Returns NULL. */
PyObject *fta_raise_redis(fta_status status, const fta_redis_problem *problem);

#endif
