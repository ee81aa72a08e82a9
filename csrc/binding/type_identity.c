#include "binding/type_identity.h"

#include <stddef.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/hold.h"
#include "binding/keywords.h"
#include "binding/type_roles.h"

#include "session/api_key.h"

static const fta_text source_texts[] = {
#define X(name, text) {text, sizeof(text) - 1},
    FTA_SOURCE_LIST(X)
#undef X
};
const fta_words fta_source_words = FTA_WORDS(source_texts);

fta_identity *
fta_identity_begin(fta_state *state)
{
    fta_identity *self = PyObject_New(fta_identity, state->identity_type);
    if (self != NULL) {
        self->source = FTA_SOURCE_TOKEN;
        self->text = (fta_text){NULL, 0};
        self->keyring = (fta_keyring_keeper){NULL, 0};
        self->roles = NULL;
        self->known = fta_permission_names_count(state->permission_names);
#define X(name) self->name = NULL;
        FTA_IDENTITY_LIST(X)
#undef X
#define X(name) fta_member_init(&self->name, NULL);
        FTA_IDENTITY_MADE_LIST(X)
#undef X
        fta_numbered_member_init(&self->permissions);
    }
    return self;
}

bool
fta_identity_finish(fta_identity *self, const fta_identity_origin *origin)
{
    fta_text actor = self->claims.actor;
    self->claims.actor = (fta_text){NULL, 0};
    if (actor.data != NULL) {
        self->actor =
            PyUnicode_DecodeUTF8(actor.data, (Py_ssize_t)actor.length, NULL);
        if (self->actor == NULL) {
            return false;
        }
    }
    self->role = fta_role_name(origin->roles, self->claims.role);
    self->roles = origin->roles;
    self->keyring = fta_keep_keyring(origin->kept);
    self->token = Py_NewRef(origin->token);
    self->text = origin->text;
    return true;
}

static fta_identity *
new_identity(fta_state *state, const fta_claims *claims)
{
    fta_identity *self = fta_identity_begin(state);
    if (self != NULL) {
        self->claims = *claims;
    }
    return self;
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

/* --- made by Python ----------------------------------------------------- */

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

/* Whether an argument says that the role is of no app's roles. */
static bool
is_of_no_app(PyObject *roles)
{
    return PyTuple_CheckExact(roles) && PyTuple_GET_SIZE(roles) == 0;
}

/* A role of roles. Without them, one of an app that configures none, or any
 * text that can be a role: whoever uses the Identity knows the roles. */
static bool
read_role(const fta_state *state, fta_identity *self, PyObject *roles,
          PyObject *value)
{
    fta_text text;
    if (!fta_utf8_from_str(value, "role", &text)) {
        return false;
    }
    bool of_no_app = is_of_no_app(roles);
    if (of_no_app || Py_IsNone(roles)) {
        roles = state->default_roles;
        if (of_no_app || !fta_roles_find(fta_roles_from_object(state, roles),
                                         text, &self->claims.role)) {
            if (!fta_role_is_sound(text)) {
                fta_raise(FTA_ROLE_MALFORMED);
                return false;
            }
            self->role =
                PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
            return self->role != NULL;
        }
    } else if (!fta_read_role(roles, value, "role", &self->claims.role)) {
        return false;
    }
    self->roles = self->own_roles = Py_NewRef(roles);
    self->role = fta_role_name(roles, self->claims.role);
    return true;
}

/* The numbers of the permissions that have one; the others are listed only. */
static bool
read_permissions(const fta_state *state, fta_identity *self, PyObject *value)
{
    if (PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError,
                        "permissions must be a collection of str, not str");
        return false;
    }
    PyObject *items = fta_held_tuple(value);
    bool done = items != NULL;
    for (Py_ssize_t i = 0; done && i < PyTuple_GET_SIZE(items); i++) {
        fta_text name;
        size_t number;
        done = fta_utf8_from_str(PyTuple_GET_ITEM(items, i),
                                 "each of permissions", &name);
        if (done &&
            fta_permission_names_find(state->permission_names, name, &number)) {
            fta_permission_set_add(&self->claims.permissions, number);
        }
    }
    if (done && PyTuple_GET_SIZE(items) != 0) {
        self->named = PyFrozenSet_New(items);
        done = self->named != NULL;
    }
    Py_XDECREF(items);
    return done;
}

static bool
read_claims(fta_identity *self, PyObject *value)
{
    if (Py_IsNone(value)) {
        return true;
    }
    PyObject *copy = PyDict_New(), *shown = NULL;
    if (copy != NULL && PyDict_Update(copy, value) == 0) {
        shown = PyDictProxy_New(copy);
        fta_member_init(&self->shown_claims, shown);
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Format(PyExc_TypeError, "claims must be a mapping, not %.100s",
                     Py_TYPE(value)->tp_name);
    }
    Py_XDECREF(copy);
    return shown != NULL;
}

static bool
read_expiry(fta_identity *self, PyObject *value)
{
    if (Py_IsNone(value)) {
        return true;
    }
    self->claims.expires_at = PyFloat_AsDouble(value);
    self->claims.present |= 1u << FTA_CLAIM_EXP;
    return self->claims.expires_at != -1.0 || !PyErr_Occurred();
}

static bool
read_actor(fta_identity *self, PyObject *value)
{
    fta_text text;
    if (Py_IsNone(value)) {
        return true;
    }
    if (!fta_utf8_from_str(value, "actor", &text)) {
        return false;
    }
    self->actor =
        PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
    return self->actor != NULL;
}

/* The id of an API key: ASCII, as the key shows it. */
static bool
read_api_key_id(fta_identity *self, PyObject *value)
{
    fta_text text;
    if (Py_IsNone(value)) {
        return true;
    }
    if (!fta_utf8_from_str(value, "api_key_id", &text)) {
        return false;
    }
    if (!fta_api_key_is_id(text)) {
        PyErr_SetString(PyExc_ValueError,
                        "api_key_id must be 16 characters of a-z and 2-7");
        return false;
    }
    self->api_key =
        PyUnicode_FromStringAndSize(text.data, (Py_ssize_t)text.length);
    return self->api_key != NULL;
}

static bool
join_role(const fta_state *state, fta_identity *self)
{
    fta_roles *roles =
        self->roles == NULL ? NULL : fta_roles_from_object(state, self->roles);
    if (roles != NULL) {
        fta_roles_join_granted(roles, self->claims.role,
                               &self->claims.permissions);
    }
    return true;
}

static PyObject *
identity_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"tenant_id",  "user_id",     "role",
                               "source",     "permissions", "claims",
                               "actor",      "expires_at",  "roles",
                               "api_key_id", NULL};
    fta_state *state = PyType_GetModuleState(type);
    PyObject *tenant_id, *user_id, *role = NULL, *source = NULL;
    PyObject *permissions = state->nothing, *claims = Py_None;
    PyObject *actor = Py_None, *expires_at = Py_None, *roles = Py_None;
    PyObject *api_key_id = Py_None;
    size_t place = FTA_SOURCE_LOCAL;
    fta_claims made = {.present = 1u << FTA_CLAIM_TENANT_ID |
                                  1u << FTA_CLAIM_USER_ID |
                                  1u << FTA_CLAIM_ROLE};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O$OOOOOOO:Identity",
                                     keywords, &tenant_id, &user_id, &role,
                                     &source, &permissions, &claims, &actor,
                                     &expires_at, &roles, &api_key_id) ||
        !read_uuid(tenant_id, "tenant_id", &made.tenant_id) ||
        !read_uuid(user_id, "user_id", &made.user_id) ||
        (source != NULL &&
         !fta_word_from_str(source, "source", &fta_source_words, &place)) ||
        (!Py_IsNone(roles) && !is_of_no_app(roles) &&
         fta_roles_from_object(state, roles) == NULL)) {
        return NULL;
    }
    PyObject *usual =
        role != NULL ? NULL : fta_role_name(state->default_roles, 0);
    fta_identity *self = new_identity(state, &made);
    if (self != NULL) {
        self->source = (fta_source)place;
        if (!read_role(state, self, roles, role != NULL ? role : usual) ||
            !read_permissions(state, self, permissions) ||
            !read_claims(self, claims) || !read_actor(self, actor) ||
            !read_expiry(self, expires_at) ||
            !read_api_key_id(self, api_key_id) || !join_role(state, self)) {
            Py_CLEAR(self);
        }
    }
    Py_XDECREF(usual);
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, identity_new)

PyObject *
fta_identity_in_roles(fta_identity *self, PyObject *roles)
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    fta_claims claims = self->claims;
    memset(&claims.permissions, 0, sizeof claims.permissions);
    PyObject *own = fta_identity_own_permissions(self);
    fta_identity *made = own == NULL ? NULL : new_identity(state, &claims);
    if (made != NULL) {
        made->source = self->source;
        made->text = self->text;
        made->keyring = fta_keep_also(&self->keyring);
        made->token = Py_XNewRef(self->token);
        made->actor = Py_XNewRef(self->actor);
        made->api_key = Py_XNewRef(self->api_key);
        fta_member_init(&made->shown_claims,
                        fta_member_get((PyObject *)self, &self->shown_claims));
        if (!read_role(state, made, roles, self->role) ||
            !read_permissions(state, made, own) || !join_role(state, made)) {
            Py_CLEAR(made);
        }
    }
    Py_XDECREF(own);
    return (PyObject *)made;
}

static void
identity_dealloc(PyObject *object)
{
    fta_identity *self = (fta_identity *)object;
    PyTypeObject *type = Py_TYPE(object);
#define X(name) Py_CLEAR(self->name);
    FTA_IDENTITY_LIST(X)
#undef X
#define X(name) fta_member_clear(&self->name);
    FTA_IDENTITY_MADE_LIST(X)
#undef X
    fta_numbered_member_clear(&self->permissions);
    fta_keep_no_longer(&self->keyring);
    type->tp_free(object);
    Py_DECREF(type);
}

/* --- as a value --------------------------------------------------------- */

static PyObject *
identity_repr(PyObject *object)
{
    const fta_identity *self = (const fta_identity *)object;
    char tenant[FTA_UUID_TEXT + 1] = "", user[FTA_UUID_TEXT + 1] = "";
    fta_uuid_format(&self->claims.tenant_id, tenant);
    fta_uuid_format(&self->claims.user_id, user);
    return PyUnicode_FromFormat("Identity('%s', '%s', %R, source='%s')", tenant,
                                user, self->role,
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
    const fta_identity *left = (const fta_identity *)a;
    const fta_identity *right = (const fta_identity *)b;
    bool equal =
        fta_uuid_equal(&left->claims.tenant_id, &right->claims.tenant_id) &&
        fta_uuid_equal(&left->claims.user_id, &right->claims.user_id) &&
        PyUnicode_Compare(left->role, right->role) == 0;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t
identity_hash(PyObject *object)
{
    /* Random UUIDs are spread already. The multiplication keeps equal tenant
     * and user ids from cancelling each other. */
    const fta_identity *self = (const fta_identity *)object;
    uint64_t words[4];
    memcpy(words, self->claims.tenant_id.bytes, FTA_UUID_BYTES);
    memcpy(words + 2, self->claims.user_id.bytes, FTA_UUID_BYTES);
    uint64_t hash = (uint64_t)PyObject_Hash(self->role);
    for (size_t i = 0; i < 4; i++) {
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    Py_hash_t result = (Py_hash_t)hash;
    return result == -1 ? -2 : result;
}

PyDoc_STRVAR(
    identity_doc,
    "Identity(tenant_id, user_id, role='user', *, source='local',\n"
    "         permissions=(), claims=None, actor=None, expires_at=None,\n"
    "         roles=None, api_key_id=None)\n--\n\n"
    "Who sends a request: a user of a tenant, in a role. It never\n"
    "changes. Equality and hash are of these three. With roles, role is one\n"
    "of them and its permissions count. With roles=(), it is of no app: its\n"
    "role reaches and permits nothing until with_roles(). ValueError names\n"
    "the argument that is no UUID or no role.");

static PyType_Slot identity_slots[] = {
    {Py_tp_doc, (void *)identity_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(identity_new)},
    {Py_tp_dealloc, (void *)identity_dealloc},
    {Py_tp_repr, (void *)identity_repr},
    {Py_tp_richcompare, (void *)identity_compare},
    {Py_tp_hash, (void *)identity_hash},
    {Py_tp_getset, (void *)fta_identity_getset},
    {Py_tp_methods, (void *)fta_identity_methods},
    {0, NULL},
};

PyType_Spec fta_identity_spec = {
    .name = "flask_tenant_auth._core.Identity",
    .basicsize = sizeof(fta_identity),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = identity_slots,
};
