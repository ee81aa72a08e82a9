#include "binding/type_identity.h"

#include <math.h>

#include "binding/convert.h"

static const fta_text source_texts[] = {
#define X(name, text) {text, sizeof(text) - 1},
    FTA_SOURCE_LIST(X)
#undef X
};
static const fta_words source_words = FTA_WORDS(source_texts);

PyObject *
fta_identity_from_claims(fta_state *state, const fta_claims *claims)
{
    fta_identity *self = PyObject_New(fta_identity, state->identity_type);
    if (self != NULL) {
        self->tenant_id = claims->tenant_id;
        self->user_id = claims->user_id;
        self->role = claims->role;
        self->source = FTA_SOURCE_TOKEN;
        self->expires_at = claims->expires_at;
    }
    return (PyObject *)self;
}

static bool
read_uuid(PyObject *value, const char *argument, fta_uuid *out)
{
    fta_text text;
    if (!fta_utf8_from_str(value, argument, &text)) {
        return false;
    }
    if (!fta_uuid_parse(text.data, text.length, out)) {
        PyErr_Format(PyExc_ValueError, "%s must be a UUID, 8-4-4-4-12 digits",
                     argument);
        return false;
    }
    return true;
}

static PyObject *
identity_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"tenant_id", "user_id", "role", "source", NULL};
    PyObject *tenant_id, *user_id, *role = NULL, *source = NULL;
    fta_claims claims = {.expires_at = NAN};
    size_t role_place = FTA_ROLE_DEFAULT, source_place = FTA_SOURCE_LOCAL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O$O:Identity", keywords,
                                     &tenant_id, &user_id, &role, &source) ||
        !read_uuid(tenant_id, "tenant_id", &claims.tenant_id) ||
        !read_uuid(user_id, "user_id", &claims.user_id) ||
        (role != NULL &&
         !fta_word_from_str(role, "role", &fta_role_words, &role_place)) ||
        (source != NULL &&
         !fta_word_from_str(source, "source", &source_words, &source_place))) {
        return NULL;
    }
    claims.role = (fta_role)role_place;
    fta_state *state = PyType_GetModuleState(type);
    PyObject *self = fta_identity_from_claims(state, &claims);
    if (self != NULL) {
        ((fta_identity *)self)->source = (fta_source)source_place;
    }
    return self;
}

static void
identity_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
uuid_text(const fta_uuid *uuid)
{
    PyObject *text = PyUnicode_New(FTA_UUID_TEXT, 127);
    if (text != NULL) {
        fta_uuid_format(uuid, (char *)PyUnicode_1BYTE_DATA(text));
    }
    return text;
}

static PyObject *
get_tenant_id(PyObject *self, void *Py_UNUSED(closure))
{
    return uuid_text(&((fta_identity *)self)->tenant_id);
}

static PyObject *
get_user_id(PyObject *self, void *Py_UNUSED(closure))
{
    return uuid_text(&((fta_identity *)self)->user_id);
}

static PyObject *
get_role(PyObject *self, void *Py_UNUSED(closure))
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    return Py_NewRef(PyTuple_GET_ITEM(
        state->roles, (Py_ssize_t)((fta_identity *)self)->role));
}

static PyObject *
get_source(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text text = source_texts[((fta_identity *)self)->source];
    return PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
}

static PyObject *
get_expires_at(PyObject *self, void *Py_UNUSED(closure))
{
    double expires_at = ((fta_identity *)self)->expires_at;
    if (isnan(expires_at)) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(expires_at);
}

static PyObject *
identity_repr(PyObject *object)
{
    const fta_identity *self = (const fta_identity *)object;
    char tenant[FTA_UUID_TEXT + 1] = "", user[FTA_UUID_TEXT + 1] = "";
    fta_uuid_format(&self->tenant_id, tenant);
    fta_uuid_format(&self->user_id, user);
    return PyUnicode_FromFormat("Identity('%s', '%s', '%s', source='%s')",
                                tenant, user, fta_role_text(self->role),
                                source_texts[self->source].data);
}

/* Two identities are one when they are the same user of the same tenant in the
 * same role; how that became known, and until when, makes no difference. */
static PyObject *
identity_compare(PyObject *a, PyObject *b, int operation)
{
    if (Py_TYPE(a) != Py_TYPE(b) ||
        (operation != Py_EQ && operation != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const fta_identity *left = (const fta_identity *)a;
    const fta_identity *right = (const fta_identity *)b;
    bool equal = fta_uuid_equal(&left->tenant_id, &right->tenant_id) &&
                 fta_uuid_equal(&left->user_id, &right->user_id) &&
                 left->role == right->role;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t
identity_hash(PyObject *object)
{
    /* Random UUIDs spread by themselves; multiplying keeps tenant and user
     * from cancelling each other. */
    const fta_identity *self = (const fta_identity *)object;
    uint64_t words[4];
    memcpy(words, self->tenant_id.bytes, FTA_UUID_BYTES);
    memcpy(words + 2, self->user_id.bytes, FTA_UUID_BYTES);
    uint64_t hash = (uint64_t)self->role;
    for (size_t i = 0; i < 4; i++) {
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    Py_hash_t result = (Py_hash_t)hash;
    return result == -1 ? -2 : result;
}

static PyGetSetDef identity_getset[] = {
    {"tenant_id", get_tenant_id, NULL, "The tenant's UUID in lower case.",
     NULL},
    {"user_id", get_user_id, NULL, "The user's UUID in lower case.", NULL},
    {"role", get_role, NULL, "One of ROLES.", NULL},
    {"source", get_source, NULL,
     "How it became known: 'token', 'headers' or 'local'.", NULL},
    {"expires_at", get_expires_at, NULL,
     "When its token expires, in seconds since 1970; None without a token.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    identity_doc,
    "Identity(tenant_id, user_id, role='user', *, source='local')\n--\n\n"
    "Who a request is: a user of a tenant, in a role. Immutable; equal and\n"
    "hashed by these three. ValueError names what is no UUID or no role.");

static PyType_Slot identity_slots[] = {
    {Py_tp_doc, (void *)identity_doc},
    {Py_tp_new, (void *)identity_new},
    {Py_tp_dealloc, (void *)identity_dealloc},
    {Py_tp_repr, (void *)identity_repr},
    {Py_tp_richcompare, (void *)identity_compare},
    {Py_tp_hash, (void *)identity_hash},
    {Py_tp_getset, (void *)identity_getset},
    {0, NULL},
};

static PyType_Spec identity_spec = {
    .name = "flask_tenant_auth._core.Identity",
    .basicsize = sizeof(fta_identity),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = identity_slots,
};

static PyObject *
make_roles(void)
{
    PyObject *roles = PyTuple_New(FTA_ROLE_COUNT);
    for (int i = 0; i < FTA_ROLE_COUNT && roles != NULL; i++) {
        PyObject *text = PyUnicode_InternFromString(fta_role_text((fta_role)i));
        if (text == NULL) {
            Py_CLEAR(roles);
        } else {
            PyTuple_SET_ITEM(roles, i, text);
        }
    }
    return roles;
}

int
fta_add_identity(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->roles = make_roles();
    if (state->roles == NULL ||
        PyModule_AddObjectRef(module, "ROLES", state->roles) < 0) {
        return -1;
    }
    state->identity_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &identity_spec, NULL);
    return state->identity_type == NULL
               ? -1
               : PyModule_AddType(module, state->identity_type);
}
