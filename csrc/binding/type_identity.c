#include "binding/type_identity.h"

#include <stddef.h>

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
        self->claims = *claims;
        self->source = FTA_SOURCE_TOKEN;
    }
    return (PyObject *)self;
}

bool
fta_read_identity(const fta_state *state, PyObject *value,
                  const fta_identity **out)
{
    *out = NULL;
    if (value == NULL || Py_IsNone(value)) {
        return true;
    }
    *out = fta_identity_of(state, value);
    if (*out == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "identity must be Identity or None, not %.100s",
                     Py_TYPE(value)->tp_name);
    }
    return *out != NULL;
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
    fta_claims claims = {.present = 1u << FTA_CLAIM_TENANT_ID |
                                    1u << FTA_CLAIM_USER_ID |
                                    1u << FTA_CLAIM_ROLE};
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

/* --- attributes --------------------------------------------------------- */

/* The closure of a getter: which claim the attribute shows, and where. */
typedef struct attribute {
    fta_claim claim;
    size_t offset; /* in fta_claims */
} attribute;

static bool
has_claim(PyObject *self, const attribute *shown)
{
    return fta_claims_have(&((fta_identity *)self)->claims, shown->claim);
}

static const void *
value_of(PyObject *self, const attribute *shown)
{
    return (const char *)&((fta_identity *)self)->claims + shown->offset;
}

static PyObject *
get_uuid(PyObject *self, void *closure)
{
    if (!has_claim(self, closure)) {
        Py_RETURN_NONE;
    }
    PyObject *text = PyUnicode_New(FTA_UUID_TEXT, 127);
    if (text != NULL) {
        fta_uuid_format(value_of(self, closure),
                        (char *)PyUnicode_1BYTE_DATA(text));
    }
    return text;
}

static PyObject *
get_date(PyObject *self, void *closure)
{
    if (!has_claim(self, closure)) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(*(const double *)value_of(self, closure));
}

static PyObject *
get_role(PyObject *self, void *closure)
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    fta_role role = *(const fta_role *)value_of(self, closure);
    return Py_NewRef(PyTuple_GET_ITEM(state->roles, (Py_ssize_t)role));
}

static PyObject *
get_source(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text text = source_texts[((fta_identity *)self)->source];
    return PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
}

static PyObject *
identity_repr(PyObject *object)
{
    const fta_identity *self = (const fta_identity *)object;
    char tenant[FTA_UUID_TEXT + 1] = "", user[FTA_UUID_TEXT + 1] = "";
    fta_uuid_format(&self->claims.tenant_id, tenant);
    fta_uuid_format(&self->claims.user_id, user);
    return PyUnicode_FromFormat("Identity('%s', '%s', '%s', source='%s')",
                                tenant, user, fta_role_text(self->claims.role),
                                source_texts[self->source].data);
}

/* Two identities are equal if they are the same user of the same tenant in the
 * same role, from whatever source and until whatever time. */
static PyObject *
identity_compare(PyObject *a, PyObject *b, int operation)
{
    if (Py_TYPE(a) != Py_TYPE(b) ||
        (operation != Py_EQ && operation != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const fta_claims *left = &((const fta_identity *)a)->claims;
    const fta_claims *right = &((const fta_identity *)b)->claims;
    bool equal = fta_uuid_equal(&left->tenant_id, &right->tenant_id) &&
                 fta_uuid_equal(&left->user_id, &right->user_id) &&
                 left->role == right->role;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t
identity_hash(PyObject *object)
{
    /* Random UUIDs are spread already. The multiplication keeps equal tenant
     * and user ids from cancelling each other. */
    const fta_claims *self = &((const fta_identity *)object)->claims;
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

#define GET_UUID get_uuid
#define GET_DATE get_date
#define GET_ROLE get_role
#define DOC_UUID "A UUID in lower case; None where nothing says one."
#define DOC_DATE "Seconds since 1970; None where nothing says it."
#define DOC_ROLE "One of ROLES."

/* Only claims that have a value can be shown. */
#define ATTRIBUTE_SHOWN(name, kind, member)                                    \
    {#member, GET_##kind, NULL, DOC_##kind,                                    \
     &(attribute){FTA_CLAIM_##name, offsetof(fta_claims, member)}},
#define ATTRIBUTE_HIDDEN(name, kind, member)

static PyGetSetDef identity_getset[] = {
#define X(name, text, kind, need, writer, view, member)                        \
    ATTRIBUTE_##view(name, kind, member)
    FTA_CLAIM_LIST(X)
#undef X
        {"source", get_source, NULL,
         "How it became known: 'token', 'headers' or 'local'.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    identity_doc,
    "Identity(tenant_id, user_id, role='user', *, source='local')\n--\n\n"
    "Who sends a request: a user of a tenant, in a role. It never\n"
    "changes. Equality and hash are of these three. ValueError names the\n"
    "argument that is no UUID or no role.");

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

PyType_Spec fta_identity_spec = {
    .name = "flask_tenant_auth._core.Identity",
    .basicsize = sizeof(fta_identity),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = identity_slots,
};

int
fta_add_identity(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->roles = fta_words_as_tuple(&fta_role_words);
    if (state->roles == NULL ||
        PyModule_AddObjectRef(module, "ROLES", state->roles) < 0) {
        return -1;
    }
    return fta_add_words(module, "CORE_CLAIMS", &fta_core_claim_words);
}
