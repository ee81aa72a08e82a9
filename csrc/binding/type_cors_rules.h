/* CorsRules: the CORS rules of one app. */
#ifndef FTA_BINDING_TYPE_CORS_RULES_H
#define FTA_BINDING_TYPE_CORS_RULES_H

#include "binding/state.h"

#include "http/cors_fields.h"

typedef struct fta_cors_rules_object {
    PyObject_HEAD
    fta_cors_rules *rules; /* Owned */
    /* Owned: a tuple, by fta_cors_kind: a tuple of (name, value) tuples */
    PyObject *fixed;
    uint32_t *fixed_names; /* Owned: by fta_cors_kind, as fta_fields.names */
} fta_cors_rules_object;

#endif
