#include "binding/type_roles.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"

typedef struct roles_object {
    PyObject_HEAD
    PyObject *names;  /* Owned tuple of interned str */
    fta_roles *roles; /* Owned */
} roles_object;

static void
roles_dealloc(PyObject *object)
{
    roles_object *self = (roles_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_roles_free(self->roles);
    Py_CLEAR(self->names);
    type->tp_free(object);
    Py_DECREF(type);
}

/* --- making one --------------------------------------------------------- */

static bool
add_names(fta_roles *roles, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        fta_text name;
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(names, i), "each of names",
                               &name)) {
            return false;
        }
        fta_status status = fta_roles_add(roles, name);
        if (status != FTA_OK) {
            fta_raise(status);
            return false;
        }
    }
    if (fta_roles_count(roles) == 0) {
        fta_raise(FTA_ROLES_TOO_MANY);
        return false;
    }
    return true;
}

static bool
let_reach_tenant(fta_roles *roles, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        fta_text name;
        fta_role role;
        PyObject *value = PyTuple_GET_ITEM(names, i);
        if (!fta_utf8_from_str(value, "each of tenant_roles", &name)) {
            return false;
        }
        if (!fta_roles_find(roles, name, &role)) {
            PyErr_Format(PyExc_ValueError,
                         "tenant_roles has no role of names: %R", value);
            return false;
        }
        fta_roles_let_reach_tenant(roles, role);
    }
    return true;
}

/* The number of a permission, which is new if the permission is. The names are
 * the module's, so it is locked: one thread adds at a time. */
static fta_status
add_permission(PyObject *module, fta_text name, size_t *number)
{
    fta_status status;
    FTA_BEGIN_LOCKED(module);
    status = fta_permission_names_add(
        fta_state_of_module(module)->permission_names, name, number);
    FTA_END_LOCKED();
    return status;
}

/* A pattern that is a permission itself gets a number, so that it is listed. */
static bool
add_grant(PyObject *module, fta_roles *roles, fta_role role, PyObject *value)
{
    fta_text pattern;
    size_t number;
    if (!fta_utf8_from_str(value, "each grant", &pattern)) {
        return false;
    }
    fta_status status = fta_roles_grant(roles, role, pattern);
    if (status == FTA_OK && pattern.data[pattern.length - 1] != '*') {
        status = add_permission(module, pattern, &number);
    }
    if (status != FTA_OK) {
        fta_raise(status);
    }
    return status == FTA_OK;
}

/* grants is a tuple with a tuple of patterns for each role. */
static bool
add_grants(PyObject *module, fta_roles *roles, PyObject *grants)
{
    if ((size_t)PyTuple_GET_SIZE(grants) > fta_roles_count(roles)) {
        PyErr_SetString(PyExc_ValueError, "grants has more items than names");
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(grants); i++) {
        PyObject *patterns = PyTuple_GET_ITEM(grants, i);
        if (!PyTuple_CheckExact(patterns)) {
            PyErr_SetString(PyExc_TypeError, "grants must hold tuples of str");
            return false;
        }
        for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(patterns); j++) {
            if (!add_grant(module, roles, (fta_role)i,
                           PyTuple_GET_ITEM(patterns, j))) {
                return false;
            }
        }
    }
    return true;
}

static PyObject *
names_of(const fta_roles *roles)
{
    Py_ssize_t count = (Py_ssize_t)fta_roles_count(roles);
    PyObject *names = PyTuple_New(count);
    for (Py_ssize_t i = 0; i < count && names != NULL; i++) {
        fta_text text = fta_roles_at(roles, (fta_role)i);
        PyObject *name =
            PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
        if (name == NULL) {
            Py_CLEAR(names);
        } else {
            PyUnicode_InternInPlace(&name);
            PyTuple_SET_ITEM(names, i, name);
        }
    }
    return names;
}

static PyObject *
roles_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"names", "tenant_roles", "grants", NULL};
    fta_state *state = PyType_GetModuleState(type);
    PyObject *names, *tenant_roles = state->nothing, *grants = state->nothing;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|$O!O!:Roles", keywords,
                                     &PyTuple_Type, &names, &PyTuple_Type,
                                     &tenant_roles, &PyTuple_Type, &grants)) {
        return NULL;
    }
    fta_roles *roles = fta_roles_new(state->permission_names);
    if (roles == NULL) {
        return PyErr_NoMemory();
    }
    roles_object *self = NULL;
    PyObject *kept = NULL;
    if (add_names(roles, names) && let_reach_tenant(roles, tenant_roles) &&
        add_grants(PyType_GetModule(type), roles, grants) &&
        (kept = names_of(roles)) != NULL) {
        self = PyObject_New(roles_object, type);
    }
    if (self == NULL) {
        Py_XDECREF(kept);
        fta_roles_free(roles);
        return NULL;
    }
    self->names = kept;
    self->roles = roles;
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, roles_new)

/* --- using it ----------------------------------------------------------- */

fta_roles *
fta_roles_from_object(const fta_state *state, PyObject *object)
{
    if (!Py_IS_TYPE(object, state->roles_type)) {
        PyErr_Format(PyExc_TypeError, "roles must be Roles, not %.100s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    return ((roles_object *)object)->roles;
}

PyObject *
fta_role_name(PyObject *roles, fta_role role)
{
    return Py_NewRef(
        PyTuple_GET_ITEM(((roles_object *)roles)->names, (Py_ssize_t)role));
}

bool
fta_read_role(PyObject *roles, PyObject *value, const char *argument,
              fta_role *out)
{
    fta_text text;
    roles_object *self = (roles_object *)roles;
    if (!fta_utf8_from_str(value, argument, &text)) {
        return false;
    }
    if (fta_roles_find(self->roles, text, out)) {
        return true;
    }
    PyObject *separator = PyUnicode_FromString(", ");
    PyObject *joined =
        separator == NULL ? NULL : PyUnicode_Join(separator, self->names);
    if (joined != NULL) {
        PyErr_Format(PyExc_ValueError, "%s must be one of %U, not %R", argument,
                     joined, value);
    }
    Py_XDECREF(joined);
    Py_XDECREF(separator);
    return false;
}

PyDoc_STRVAR(roles_grants_doc,
             "grants($self, role, permission, /)\n--\n\n"
             "Whether a role is granted a permission. ValueError for another\n"
             "role.");

static PyObject *
roles_grants(PyObject *self, PyObject *args)
{
    PyObject *role_value, *name_value;
    fta_role role;
    fta_text name;
    if (!PyArg_ParseTuple(args, "OO:grants", &role_value, &name_value) ||
        !fta_read_role(self, role_value, "role", &role) ||
        !fta_utf8_from_str(name_value, "permission", &name)) {
        return NULL;
    }
    return PyBool_FromLong(
        fta_roles_grants(((roles_object *)self)->roles, role, name));
}

static PyObject *
roles_repr(PyObject *self)
{
    return PyUnicode_FromFormat("Roles(%R)", ((roles_object *)self)->names);
}

static PyMemberDef roles_members[] = {
    {"names", T_OBJECT_EX, offsetof(roles_object, names), READONLY,
     "The names of the roles, weakest first."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef roles_methods[] = {
    {"grants", roles_grants, METH_VARARGS, roles_grants_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    roles_doc,
    "Roles(names, *, tenant_roles=(), grants=())\n--\n\n"
    "The roles of an app, weakest first; those that reach the rows of their\n"
    "whole tenant; and for each the tuple of what it is granted: permissions, "
    "'*' for all, 'accounts:*' for all that begin\n"
    "with 'accounts:'. A role has what weaker ones have. ValueError says\n"
    "what is wrong with a name.");

static PyType_Slot roles_slots[] = {
    {Py_tp_doc, (void *)roles_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(roles_new)},
    {Py_tp_dealloc, (void *)roles_dealloc},
    {Py_tp_repr, (void *)roles_repr},
    {Py_tp_members, (void *)roles_members},
    {Py_tp_methods, (void *)roles_methods},
    {0, NULL},
};

PyType_Spec fta_roles_spec = {
    .name = "flask_tenant_auth._core.Roles",
    .basicsize = sizeof(roles_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = roles_slots,
};

/* --- permissions -------------------------------------------------------- */

PyDoc_STRVAR(permission_number_doc,
             "permission_number(permission, /)\n--\n\n"
             "The number of a permission, the same for the whole life of the\n"
             "process. ValueError for what is no permission, or too many.");

static PyObject *
permission_number(PyObject *module, PyObject *value)
{
    fta_text name;
    size_t number;
    if (!fta_utf8_from_str(value, "permission", &name)) {
        return NULL;
    }
    fta_status status = add_permission(module, name, &number);
    return status == FTA_OK ? PyLong_FromSize_t(number) : fta_raise(status);
}

PyDoc_STRVAR(
    is_permission_doc,
    "is_permission(value, /)\n--\n\n"
    "Whether a str can be the name of a permission. It gets no number.");

static PyObject *
is_permission(PyObject *Py_UNUSED(module), PyObject *value)
{
    fta_text name;
    if (!fta_utf8_from_str(value, "permission", &name)) {
        return NULL;
    }
    return PyBool_FromLong(fta_permission_is_sound(name));
}

static PyMethodDef functions[] = {
    {"is_permission", is_permission, METH_O, is_permission_doc},
    {"permission_number", permission_number, METH_O, permission_number_doc},
    {NULL, NULL, 0, NULL},
};

/* The roles of an app that configures none. */
static int
add_default_roles(PyObject *module, fta_state *state)
{
    PyObject *args = Py_BuildValue("((ss))", "user", "admin");
    PyObject *kwargs = Py_BuildValue("{s(s)}", "tenant_roles", "admin");
    if (args != NULL && kwargs != NULL) {
        state->default_roles =
            PyObject_Call((PyObject *)state->roles_type, args, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    if (state->default_roles == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "DEFAULT_ROLES", state->default_roles);
}

int
fta_add_roles(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->permission_names = fta_permission_names_new();
    if (state->permission_names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (add_default_roles(module, state) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
