/* Of the type Keyring: the arguments that say what its tokens must say. */
#ifndef FTA_BINDING_KEYRING_RULES_H
#define FTA_BINDING_KEYRING_RULES_H

#include "binding/state.h"

#include "token/claim_rules.h"

/* All are Borrowed from the arguments, or NULL where one is not given. */
typedef struct fta_rule_arguments {
    PyObject *roles;        /* Roles */
    PyObject *issuer;       /* str or None */
    PyObject *audiences;    /* sequence of str */
    PyObject *places;       /* dict: name of a claim to tuple of str */
    PyObject *role_map;     /* dict: word to name of a role */
    PyObject *default_role; /* str; empty: none */
    PyObject *id_namespace; /* str or None */
    PyObject *required;     /* dict: place to tuple of str, int and bool */
    int without_identity;
    double leeway;
} fta_rule_arguments;

/* New rules, to be freed; NULL with an exception that names the argument. */
fta_claim_rules *fta_rules_from_arguments(const fta_state *state,
                                          const fta_rule_arguments *given);

/* A tuple of any sequence but str and bytes, which nobody means as one. */
PyObject *fta_tuple_from_sequence(PyObject *value, const char *argument);

#endif
