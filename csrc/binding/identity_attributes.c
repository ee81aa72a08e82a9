#include "binding/type_identity.h"

#include <stddef.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/type_keyring.h"
#include "binding/type_roles.h"

/* --- claims that have an attribute -------------------------------------- */

/* The closure of a getter: which claim the attribute shows, and where. */
typedef struct attribute {
    fta_claim claim;
    size_t offset; /* in fta_claims */
    size_t cache;  /* in fta_identity; 0: none */
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
get_id(PyObject *self, void *closure)
{
    const attribute *shown = closure;
    fta_member *cache = (fta_member *)(void *)((char *)self + shown->cache);
    PyObject *text = fta_member_get(self, cache);
    if (text != NULL) {
        return text;
    }
    text = PyUnicode_New(FTA_UUID_TEXT, 127);
    if (text == NULL) {
        return NULL;
    }
    fta_uuid_format(value_of(self, shown), (char *)PyUnicode_1BYTE_DATA(text));
    return fta_member_settle(self, cache, text);
}

PyObject *
fta_identity_tenant_id(fta_identity *self)
{
    static const attribute tenant = {FTA_CLAIM_TENANT_ID,
                                     offsetof(fta_claims, tenant_id),
                                     offsetof(fta_identity, tenant_text)};
    return get_id((PyObject *)self, (void *)(uintptr_t)&tenant);
}

PyObject *
fta_identity_user_id(fta_identity *self)
{
    static const attribute user = {FTA_CLAIM_USER_ID,
                                   offsetof(fta_claims, user_id),
                                   offsetof(fta_identity, user_text)};
    return get_id((PyObject *)self, (void *)(uintptr_t)&user);
}

static PyObject *
get_date(PyObject *self, void *closure)
{
    if (!has_claim(self, closure)) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(*(const double *)value_of(self, closure));
}

/* --- others ------------------------------------------------------------- */

static PyObject *
get_role(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((fta_identity *)self)->role);
}

static PyObject *
get_roles(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *roles = ((fta_identity *)self)->roles;
    return Py_NewRef(roles != NULL ? roles : Py_None);
}

static PyObject *
get_role_is_default(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(
        !fta_claims_have(&((fta_identity *)self)->claims, FTA_CLAIM_ROLE));
}

static PyObject *
get_reaches_tenant(PyObject *object, void *Py_UNUSED(closure))
{
    const fta_identity *self = (const fta_identity *)object;
    const fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    fta_roles *roles =
        self->roles == NULL ? NULL : fta_roles_from_object(state, self->roles);
    return PyBool_FromLong(roles != NULL &&
                           fta_roles_reaches_tenant(roles, self->claims.role));
}

static PyObject *
get_source(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text text =
        fta_words_at(&fta_source_words, ((fta_identity *)self)->source);
    return PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
}

static PyObject *
get_actor(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *actor = ((fta_identity *)self)->actor;
    return Py_NewRef(actor != NULL ? actor : Py_None);
}

static PyObject *
get_api_key_id(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *id = ((fta_identity *)self)->api_key;
    return Py_NewRef(id != NULL ? id : Py_None);
}

/* The claims of the token as a new dict; an empty one without a token. */
static PyObject *
read_claims(fta_identity *self)
{
    if (self->keyring.kept == NULL) {
        return PyDict_New();
    }
    fta_builder builder;
    builder.root = builder.name = NULL;
    builder.depth = 0;
    const fta_json_sink sink = {fta_builder_accept, &builder};
    fta_claims ignored;
    fta_status status =
        fta_keyring_read_again(fta_kept_keyring_get(self->keyring.kept),
                               self->text, &sink, NULL, &ignored);
    PyObject *result =
        status == FTA_OK ? Py_NewRef(builder.root) : fta_raise(status);
    fta_builder_clear(&builder);
    return result;
}

static PyObject *
get_claims(PyObject *object, void *Py_UNUSED(closure))
{
    fta_identity *self = (fta_identity *)object;
    PyObject *shown = fta_member_get(object, &self->shown_claims);
    if (shown != NULL) {
        return shown;
    }
    PyObject *claims = read_claims(self);
    PyObject *proxy = claims == NULL ? NULL : PyDictProxy_New(claims);
    Py_XDECREF(claims);
    return fta_member_settle(object, &self->shown_claims, proxy);
}

/* A claim that is a text; None where there is none. */
static PyObject *
get_text_claim(PyObject *self, void *closure)
{
    PyObject *claims = get_claims(self, NULL);
    if (claims == NULL) {
        return NULL;
    }
    PyObject *value = PyMapping_GetItemString(claims, (const char *)closure);
    Py_DECREF(claims);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
    } else if (value == NULL || PyUnicode_Check(value)) {
        return value;
    }
    Py_XDECREF(value);
    Py_RETURN_NONE;
}

/* --- in other roles ----------------------------------------------------- */

PyDoc_STRVAR(with_roles_doc,
             "with_roles($self, roles, /)\n--\n\n"
             "The same identity where these Roles hold, with its own\n"
             "permissions and those of its role there. ValueError if its role\n"
             "is none of them.");

static PyObject *
identity_with_roles(PyObject *object, PyObject *roles)
{
    fta_identity *self = (fta_identity *)object;
    const fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (fta_roles_from_object(state, roles) == NULL) {
        return NULL;
    }
    return roles == self->roles ? Py_NewRef(object)
                                : fta_identity_in_roles(self, roles);
}

/* --- copies ------------------------------------------------------------- */

static PyObject *
identity_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

/* With the permissions that it has now, of its role too, and without the token:
 * who reads a pickle must not be able to send requests with it. It is of no
 * app's roles: what its role reaches is for the app that reads it to say. */
static PyObject *
identity_getnewargs_ex(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    fta_identity *self = (fta_identity *)object;
    PyObject *claims = get_claims(object, NULL);
    PyObject *plain = claims == NULL ? NULL : PyDict_New();
    PyObject *permissions = fta_identity_permissions(self);
    PyObject *result = NULL;
    if (plain != NULL && permissions != NULL &&
        PyDict_Update(plain, claims) == 0) {
        static const attribute expiry = {FTA_CLAIM_EXP,
                                         offsetof(fta_claims, expires_at), 0};
        result = Py_BuildValue(
            "(NNO){sNsOsOsNsNsOsN}", fta_identity_tenant_id(self),
            fta_identity_user_id(self), self->role, "source",
            get_source(object, NULL), "permissions", permissions, "claims",
            plain, "actor", get_actor(object, NULL), "expires_at",
            get_date(object, (void *)(uintptr_t)&expiry), "roles",
            ((const fta_state *)PyType_GetModuleState(Py_TYPE(object)))
                ->nothing,
            "api_key_id", get_api_key_id(object, NULL));
    }
    Py_XDECREF(permissions);
    Py_XDECREF(plain);
    Py_XDECREF(claims);
    return result;
}

/* --- headers of a job --------------------------------------------------- */

/* Signing needs the keys of an app, which Python knows. */
static PyObject *
call_codec(PyTypeObject *type, Py_ssize_t which, PyObject *argument)
{
    PyObject *module = PyType_GetModule(type);
    PyObject *codec =
        fta_member_get(module, &fta_state_of_module(module)->identity_codec);
    if (codec == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "import flask_tenant_auth to sign identities");
        return NULL;
    }
    PyObject *result =
        PyObject_CallOneArg(PyTuple_GET_ITEM(codec, which), argument);
    Py_DECREF(codec);
    return result;
}

PyDoc_STRVAR(to_headers_doc,
             "to_headers($self, /)\n--\n\n"
             "Signed headers of a job that is to act as this identity.");

static PyObject *
identity_to_headers(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return call_codec(Py_TYPE(self), 0, self);
}

PyDoc_STRVAR(from_headers_doc,
             "from_headers($type, headers, /)\n--\n\n"
             "The Identity of headers that to_headers() has made.");

static PyObject *
identity_from_headers(PyObject *type, PyObject *headers)
{
    return call_codec((PyTypeObject *)type, 1, headers);
}

PyDoc_STRVAR(
    permits_doc,
    "permits($self, permission, /)\n--\n\n"
    "Whether it has a permission, given by its name, or by the number\n"
    "that permission_number() returns; or each permission of a tuple.");

PyDoc_STRVAR(
    has_role_doc,
    "has_role($self, passing, /)\n--\n\n"
    "Whether its role is one of these: a pair of the Roles that it must be\n"
    "one of, and a frozenset of their names. False for other Roles.");

PyMethodDef fta_identity_methods[] = {
    {"permits", fta_identity_permits, METH_O, permits_doc},
    {"has_role", fta_identity_has_role, METH_O, has_role_doc},
    {"with_roles", identity_with_roles, METH_O, with_roles_doc},
    {"to_headers", identity_to_headers, METH_NOARGS, to_headers_doc},
    {"from_headers", identity_from_headers, METH_O | METH_CLASS,
     from_headers_doc},
    {"__copy__", identity_copy, METH_NOARGS, NULL},
    {"__deepcopy__", identity_copy, METH_O, NULL},
    {"__getnewargs_ex__", identity_getnewargs_ex, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define GET_ID get_id
#define GET_DATE get_date
#define DOC_ID "A UUID in lower case."
#define DOC_DATE "Seconds since 1970; None where nothing says it."
#define CACHE_tenant_id offsetof(fta_identity, tenant_text)
#define CACHE_user_id offsetof(fta_identity, user_text)
#define CACHE_expires_at 0

/* Only claims that have a value can be shown. */
#define ATTRIBUTE_SHOWN(name, kind, member)                                    \
    {#member, GET_##kind, NULL, DOC_##kind,                                    \
     &(attribute){FTA_CLAIM_##name, offsetof(fta_claims, member),              \
                  CACHE_##member}},
#define ATTRIBUTE_HIDDEN(name, kind, member)

PyGetSetDef fta_identity_getset[] = {
#define X(name, text, kind, need, writer, view, member)                        \
    ATTRIBUTE_##view(name, kind, member)
    FTA_CLAIM_LIST(X)
#undef X
        {"role", get_role, NULL, "The name of a role.", NULL},
    {"roles", get_roles, NULL,
     "The Roles that its role is one of; None: those of no app.", NULL},
    {"role_is_default", get_role_is_default, NULL,
     "Whether its token names no role that is known.", NULL},
    {"reaches_tenant", get_reaches_tenant, NULL,
     "Whether its role reaches the rows of its whole tenant.", NULL},
    {"permissions", fta_identity_get_permissions, NULL,
     "The permissions of the token and of the role, as far as the process\n"
     "knows those: a frozenset.",
     NULL},
    {"own_permissions", fta_identity_get_own_permissions, NULL,
     "The permissions of its token, without those of its role: a frozenset.",
     NULL},
    {"claims", get_claims, NULL,
     "All claims of the token, a read-only mapping; empty without a token.",
     NULL},
    {"issuer", get_text_claim, NULL, "The iss of its token, or None.",
     (void *)(uintptr_t)"iss"},
    {"session_id", get_text_claim, NULL, "The sid of its token, or None.",
     (void *)(uintptr_t)"sid"},
    {"actor", get_actor, NULL,
     "Who acts as this user (RFC 8693, section 4.1): the sub of act, or None.",
     NULL},
    {"api_key_id", get_api_key_id, NULL,
     "The id of the API key that was sent, or None.", NULL},
    {"source", get_source, NULL,
     "How it became known: 'token', 'headers', 'api_key' or 'local'.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* --- functions of the module -------------------------------------------- */

PyDoc_STRVAR(set_codec_doc,
             "set_identity_codec(to_headers, from_headers, /)\n--\n\n"
             "Say what makes the headers of an Identity, and reads them.");

static PyObject *
set_codec(PyObject *module, PyObject *args)
{
    PyObject *to_headers, *from_headers;
    if (!PyArg_ParseTuple(args, "OO:set_identity_codec", &to_headers,
                          &from_headers)) {
        return NULL;
    }
    PyObject *codec = PyTuple_Pack(2, to_headers, from_headers);
    if (codec == NULL) {
        return NULL;
    }
    fta_member_set(module, &fta_state_of_module(module)->identity_codec, codec);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_identity_codec", set_codec, METH_VARARGS, set_codec_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_identity(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
