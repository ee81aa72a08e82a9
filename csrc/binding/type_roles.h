/* Roles: the roles of an app, weakest first, and what each is granted. */
#ifndef FTA_BINDING_TYPE_ROLES_H
#define FTA_BINDING_TYPE_ROLES_H

#include "binding/state.h"

#include "token/roles.h"

int fta_add_roles(PyObject *module);

/* The core's roles of an object; NULL with TypeError for one of another type.
 * They live as long as the object. */
fta_roles *fta_roles_from_object(const fta_state *state, PyObject *object);

/* The name of a role, a new reference to an interned str. */
PyObject *fta_role_name(PyObject *roles, fta_role role);

/* The role of an argument. TypeError for what is no str, ValueError that lists
 * the roles for another one. */
bool fta_read_role(PyObject *roles, PyObject *value, const char *argument,
                   fta_role *out);

#endif
