/* Limit: one rule of one route, prepared once. */
#ifndef FTA_BINDING_TYPE_LIMIT_H
#define FTA_BINDING_TYPE_LIMIT_H

#include "binding/state.h"

#include "limit/limit.h"

typedef struct fta_limit_object {
    PyObject_HEAD
    PyObject *rate;  /* Owned: a Rate. */
    PyObject *scope; /* Owned: the str that holds limit.scope. */
    fta_limit limit;
} fta_limit_object;

#endif
