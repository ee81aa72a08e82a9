#include "binding/type_identity.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/type_keyring.h"
#include "binding/type_roles.h"

/* --- permissions -------------------------------------------------------- */

/* What the token names, as a set. It is NULL once an exception is set. */
typedef struct naming {
    PyObject *names; /* Owned */
} naming;

static void
accept_permission(void *context, fta_text name)
{
    naming *into = context;
    if (into->names == NULL) {
        return;
    }
    if (name.data == NULL) {
        (void)PySet_Clear(into->names);
        return;
    }
    PyObject *text =
        PyUnicode_DecodeUTF8(name.data, (Py_ssize_t)name.length, NULL);
    if (text == NULL || PySet_Add(into->names, text) < 0) {
        Py_CLEAR(into->names);
    }
    Py_XDECREF(text);
}

PyObject *
fta_identity_own_permissions(fta_identity *self)
{
    if (self->keyring.kept == NULL) {
        return PySet_New(self->named);
    }
    naming into = {PySet_New(NULL)};
    const fta_permission_sink sink = {accept_permission, &into};
    fta_claims ignored;
    fta_status status =
        fta_keyring_read_again(fta_kept_keyring_get(self->keyring.kept),
                               self->text, NULL, &sink, &ignored);
    if (status != FTA_OK && into.names != NULL) {
        Py_CLEAR(into.names);
        fta_raise(status);
    }
    return into.names;
}

static int
add_permissions_of_role(const fta_state *state, const fta_identity *self,
                        PyObject *names, size_t count)
{
    fta_roles *roles =
        self->roles == NULL ? NULL : fta_roles_from_object(state, self->roles);
    for (size_t i = 0; i < count && roles != NULL; i++) {
        fta_text name = fta_permission_names_at(state->permission_names, i);
        if (!fta_roles_grants(roles, self->claims.role, name)) {
            continue;
        }
        PyObject *text =
            PyUnicode_DecodeUTF8(name.data, (Py_ssize_t)name.length, NULL);
        int failed = text == NULL ? -1 : PySet_Add(names, text);
        Py_XDECREF(text);
        if (failed < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
fta_identity_permissions(fta_identity *self)
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    size_t count = fta_permission_names_count(state->permission_names);
    PyObject *all =
        fta_numbered_member_get((PyObject *)self, &self->permissions, count);
    if (all != NULL) {
        return all;
    }
    PyObject *names = fta_identity_own_permissions(self);
    if (names != NULL &&
        add_permissions_of_role(state, self, names, count) == 0) {
        all = PyFrozenSet_New(names);
    }
    Py_XDECREF(names);
    if (all != NULL) {
        fta_numbered_member_set((PyObject *)self, &self->permissions, count,
                                Py_NewRef(all));
    }
    return all;
}

PyObject *
fta_identity_get_permissions(PyObject *self, void *Py_UNUSED(closure))
{
    return fta_identity_permissions((fta_identity *)self);
}

PyObject *
fta_identity_get_own_permissions(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *names = fta_identity_own_permissions((fta_identity *)self);
    PyObject *frozen = names == NULL ? NULL : PyFrozenSet_New(names);
    Py_XDECREF(names);
    return frozen;
}

/* Whether it is permitted what has no number, or got one after this was made.
 */
static int
is_permitted_by_name(fta_identity *self, fta_text name, PyObject *text)
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    fta_roles *roles =
        self->roles == NULL ? NULL : fta_roles_from_object(state, self->roles);
    if (roles != NULL && fta_roles_grants(roles, self->claims.role, name)) {
        return 1;
    }
    PyObject *all = fta_identity_permissions(self);
    int found = all == NULL ? -1 : PySet_Contains(all, text);
    Py_XDECREF(all);
    return found;
}

static int
is_permitted_by_number(fta_identity *self, size_t number)
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (number < self->known) {
        return fta_permission_set_has(&self->claims.permissions, number);
    }
    if (number >= fta_permission_names_count(state->permission_names)) {
        return 0;
    }
    fta_text name = fta_permission_names_at(state->permission_names, number);
    PyObject *text =
        PyUnicode_DecodeUTF8(name.data, (Py_ssize_t)name.length, NULL);
    int found = text == NULL ? -1 : is_permitted_by_name(self, name, text);
    Py_XDECREF(text);
    return found;
}

static int
is_permitted(fta_identity *self, PyObject *value)
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (PyLong_CheckExact(value)) {
        size_t number = PyLong_AsSize_t(value);
        return number == (size_t)-1 && PyErr_Occurred()
                   ? -1
                   : is_permitted_by_number(self, number);
    }
    fta_text name;
    size_t number;
    if (!fta_utf8_from_str(value, "permission", &name)) {
        return -1;
    }
    if (fta_permission_names_find(state->permission_names, name, &number) &&
        number < self->known) {
        return is_permitted_by_number(self, number);
    }
    return is_permitted_by_name(self, name, value);
}

PyObject *
fta_identity_permits(PyObject *self, PyObject *value)
{
    int permitted = 1;
    if (!PyTuple_CheckExact(value)) {
        permitted = is_permitted((fta_identity *)self, value);
    }
    for (Py_ssize_t i = 0; PyTuple_CheckExact(value) && permitted > 0 &&
                           i < PyTuple_GET_SIZE(value);
         i++) {
        permitted =
            is_permitted((fta_identity *)self, PyTuple_GET_ITEM(value, i));
    }
    return permitted < 0 ? NULL : PyBool_FromLong(permitted);
}

/* --- its role ----------------------------------------------------------- */

PyObject *
fta_identity_has_role(PyObject *object, PyObject *passing)
{
    const fta_identity *self = (const fta_identity *)object;
    if (!PyTuple_CheckExact(passing) || PyTuple_GET_SIZE(passing) != 2 ||
        !PyFrozenSet_CheckExact(PyTuple_GET_ITEM(passing, 1))) {
        PyErr_SetString(PyExc_TypeError,
                        "passing must be a pair of Roles and a frozenset");
        return NULL;
    }
    int found = 0;
    if (self->roles != NULL && PyTuple_GET_ITEM(passing, 0) == self->roles) {
        found = PySet_Contains(PyTuple_GET_ITEM(passing, 1), self->role);
    }
    return found < 0 ? NULL : PyBool_FromLong(found);
}
