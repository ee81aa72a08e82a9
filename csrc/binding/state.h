/* The state of one module object: two lists, from which the struct, visit and
 * clear are made, and of the types also their creation. */
#ifndef FTA_BINDING_STATE_H
#define FTA_BINDING_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "binding/member.h"
#include "token/permission.h"

/* X(name): a type of the module, made of the spec fta_<name>_spec that
 * type_<name>.c defines. Its member is <name>_type. */
#define FTA_TYPE_LIST(X)                                                       \
    X(audit_log)                                                               \
    X(cors_rules)                                                              \
    X(decision)                                                                \
    X(identity)                                                                \
    X(invalid_token)                                                           \
    X(key)                                                                     \
    X(key_cache)                                                               \
    X(keyring)                                                                 \
    X(limit)                                                                   \
    X(limiter)                                                                 \
    X(metrics)                                                                 \
    X(middleware)                                                              \
    X(permit)                                                                  \
    X(permits)                                                                 \
    X(rate)                                                                    \
    X(redis_client)                                                            \
    X(request_record)                                                          \
    X(reservation)                                                             \
    X(revocations)                                                             \
    X(roles)                                                                   \
    X(served_request)                                                          \
    X(start_response)

/* X(name): any other object of the module. */
#define FTA_OBJECT_LIST(X)                                                     \
    X(environ_names)  /* a tuple of str, see environ.h */                      \
    X(served_names)   /* a tuple of str, see type_served_request.c */          \
    X(nothing)        /* an empty tuple */                                     \
    X(field_names)    /* a tuple of str, by fta_field_name */                  \
    X(invalid_tokens) /* a tuple in the order of FTA_INVALID_TOKEN_LIST */     \
    X(peek_seed)      /* bytes: an fta_json_seed */                            \
    X(default_roles)  /* the Roles of an app that configures none */

/* Every member is Owned, or NULL until it is made. They are made with the
 * module and then never change, but for identity_codec. The types keep the
 * module alive, so what is Borrowed from it lives as long as their objects. */
typedef struct fta_state {
#define X(name) PyTypeObject *name##_type;
    FTA_TYPE_LIST(X)
#undef X
#define X(name) PyObject *name;
    FTA_OBJECT_LIST(X)
#undef X
    fta_member identity_codec; /* of the module: a tuple of two callables, see
                                * identity_attributes.c */
    fta_permission_names *permission_names; /* freed with the module */
} fta_state;

#define X(name) extern PyType_Spec fta_##name##_spec;
FTA_TYPE_LIST(X)
#undef X

extern struct PyModuleDef fta_module_def;

static inline fta_state *
fta_state_of_module(PyObject *module)
{
    return (fta_state *)PyModule_GetState(module);
}

#endif
