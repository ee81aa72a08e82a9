/* The state of one module object: one list, from which the struct, visit and
 * clear are made, so that they cannot drift apart. */
#ifndef FTA_BINDING_STATE_H
#define FTA_BINDING_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* X(C type, name): every member is one owned reference or NULL. */
#define FTA_STATE_LIST(X)                                                      \
    X(PyTypeObject, audit_log_type)                                            \
    X(PyTypeObject, cors_rules_type)                                           \
    X(PyTypeObject, decision_type)                                             \
    X(PyTypeObject, identity_type)                                             \
    X(PyTypeObject, key_type)                                                  \
    X(PyTypeObject, keyring_type)                                              \
    X(PyTypeObject, limit_type)                                                \
    X(PyTypeObject, limiter_type)                                              \
    X(PyTypeObject, rate_type)                                                 \
    X(PyTypeObject, invalid_token_type)                                        \
    X(PyTypeObject, middleware_type)                                           \
    X(PyTypeObject, request_record_type)                                       \
    X(PyTypeObject, start_response_type)                                       \
    X(PyObject, environ_names) /* a tuple of str, see type_start_response.h */ \
    X(PyObject, authenticate_name)                                             \
    X(PyObject, hit_name)                                                      \
    X(PyObject, no_fields)         /* an empty list, never changed */          \
    X(PyObject, nothing)           /* an empty tuple */                        \
    X(PyObject, limit_field_names) /* a tuple of str */                        \
    X(PyObject,                                                                \
      invalid_tokens)  /* a tuple in the order of FTA_INVALID_TOKEN_LIST */    \
    X(PyObject, roles) /* a tuple of str in the order of FTA_ROLE_LIST */

typedef struct fta_state {
#define X(type, name) type *name;
    FTA_STATE_LIST(X)
#undef X
} fta_state;

extern struct PyModuleDef fta_module_def;

static inline fta_state *
fta_state_of_module(PyObject *module)
{
    return (fta_state *)PyModule_GetState(module);
}

#endif
