#include "binding/keywords.h"
#include "binding/state.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keyring_rules.h"
#include "binding/type_identity.h"
#include "binding/type_key.h"
#include "binding/type_keyring.h"
#include "binding/type_revocations.h"
#include "binding/type_roles.h"
#include "binding/type_invalid_token.h"

#include "base/base64url.h"
#include "token/bearer.h"
#include "token/claims_write.h"
#include "token/peek.h"
#include "token/verify.h"

static void
keyring_dealloc(PyObject *object)
{
    fta_keyring_object *self = (fta_keyring_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_kept_keyring_leave(self->kept);
    Py_CLEAR(self->keys);
    Py_CLEAR(self->roles);
    Py_CLEAR(self->on_default_role);
    Py_CLEAR(self->revocations);
    type->tp_free(object);
    Py_DECREF(type);
}

/* --- making one --------------------------------------------------------- */

/* The core's keys of a tuple of Keys, in memory to be freed with PyMem_Free. */
static const fta_key **
borrow_keys(const fta_state *state, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    const fta_key **keys = PyMem_Calloc((size_t)count + 1, sizeof *keys);
    if (keys == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        keys[i] = fta_key_of(state, item);
        if (keys[i] == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "keys must be a sequence of Key, not of %.100s",
                         Py_TYPE(item)->tp_name);
            PyMem_Free(keys);
            return NULL;
        }
    }
    return keys;
}

static bool
check_numbers(double leeway, Py_ssize_t max_token_bytes)
{
    if (!(leeway >= 0 && leeway <= FTA_LEEWAY_MAX)) {
        PyErr_SetString(PyExc_ValueError,
                        "leeway must be from 0 to 86400 seconds");
        return false;
    }
    if (max_token_bytes < 1 || (size_t)max_token_bytes > FTA_TOKEN_MAX) {
        PyErr_Format(PyExc_ValueError, "max_token_bytes must be from 1 to %zu",
                     FTA_TOKEN_MAX);
        return false;
    }
    return true;
}

/* What the arguments of a Keyring make. */
typedef struct making {
    PyObject *keys;           /* Owned */
    const fta_key **borrowed; /* Owned array */
    fta_claim_rules *rules;   /* Owned, until keyring owns them */
    fta_kept_keyring *kept;   /* Owned, until a Keyring owns it */
} making;

static bool
make_keyring(const fta_state *state, PyObject *key_values,
             const fta_rule_arguments *given, Py_ssize_t max_token_bytes,
             making *made)
{
    if ((made->keys = fta_tuple_from_sequence(key_values, "keys")) == NULL ||
        (made->borrowed = borrow_keys(state, made->keys)) == NULL ||
        (made->rules = fta_rules_from_arguments(state, given)) == NULL) {
        return false;
    }
    fta_keyring *keyring;
    fta_status status =
        fta_keyring_new(made->borrowed, (size_t)PyTuple_GET_SIZE(made->keys),
                        made->rules, (size_t)max_token_bytes, &keyring);
    if (status != FTA_OK) {
        (void)fta_raise(status);
        return false;
    }
    made->rules = NULL;
    made->kept = fta_kept_keyring_new(keyring, made->keys, given->roles);
    return made->kept != NULL;
}

static PyObject *
keyring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"keys",
                               "issuer",
                               "audiences",
                               "leeway",
                               "max_token_bytes",
                               "roles",
                               "places",
                               "role_map",
                               "default_role",
                               "id_namespace",
                               "required",
                               "without_identity",
                               "on_default_role",
                               "revocations",
                               NULL};
    fta_state *state = PyType_GetModuleState(type);
    PyObject *keys, *on_default_role = Py_None, *revocations = Py_None;
    fta_rule_arguments given = {.roles = state->default_roles};
    Py_ssize_t max_token_bytes = 8192;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$OOdnOOOOOOpOO:Keyring", keywords, &keys,
            &given.issuer, &given.audiences, &given.leeway, &max_token_bytes,
            &given.roles, &given.places, &given.role_map, &given.default_role,
            &given.id_namespace, &given.required, &given.without_identity,
            &on_default_role, &revocations) ||
        !check_numbers(given.leeway, max_token_bytes)) {
        return NULL;
    }
    if (!Py_IsNone(revocations) &&
        !Py_IS_TYPE(revocations, state->revocations_type)) {
        return PyErr_Format(PyExc_TypeError,
                            "revocations must be Revocations or None, not "
                            "%.100s",
                            Py_TYPE(revocations)->tp_name);
    }
    making made = {NULL, NULL, NULL, NULL};
    fta_keyring_object *self = NULL;
    if (make_keyring(state, keys, &given, max_token_bytes, &made)) {
        self = PyObject_New(fta_keyring_object, type);
    }
    if (self != NULL) {
        self->kept = made.kept;
        self->keyring = fta_kept_keyring_get(made.kept);
        self->keys = Py_NewRef(made.keys);
        self->roles = Py_NewRef(given.roles);
        self->on_default_role = Py_NewRef(on_default_role);
        self->revocations = Py_NewRef(revocations);
    } else {
        fta_kept_keyring_leave(made.kept);
    }
    fta_claim_rules_free(made.rules);
    PyMem_Free(made.borrowed);
    Py_XDECREF(made.keys);
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, keyring_new)

/* --- using it ----------------------------------------------------------- */

/* Opens a token and checks its signature; fta_token_close must follow. Other
 * threads run meanwhile if the signature takes long, so the caller holds the
 * Keyring and the object that the text is in. */
static fta_status
open_token(const fta_keyring *keyring, fta_text text, fta_token *token)
{
    fta_status status = fta_token_open(keyring, text, token);
    if (status == FTA_OK && fta_token_is_slow(token)) {
        Py_BEGIN_ALLOW_THREADS
        status = fta_token_check(keyring, token);
        Py_END_ALLOW_THREADS
    } else if (status == FTA_OK) {
        status = fta_token_check(keyring, token);
    }
    return status;
}

fta_status
fta_keyring_read_again(const fta_keyring *keyring, fta_text text,
                       const fta_json_sink *events,
                       const fta_permission_sink *permissions, fta_claims *out)
{
    const fta_token_sinks sinks = {events, permissions, true, NULL};
    fta_token token;
    fta_status status = fta_token_open(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_token_claims(keyring, &token, &sinks, out);
    }
    fta_token_close(&token);
    return status;
}

/* Asks the table of the Keyring, if it has one. */
static fta_status
check_revocations(const fta_keyring_object *self, const fta_token *token,
                  const fta_token_ids *ids, const fta_claims *claims)
{
    fta_revocations *table = fta_revocations_of(self->revocations);
    if (table == NULL) {
        return FTA_OK;
    }
    const fta_claim_rules *rules = self->keyring->rules;
    const fta_revocation_query query = {
        .tenant = rules->without_identity ? NULL : &claims->tenant_id,
        .user = &claims->user_id,
        .actor = ids->has_actor ? &ids->actor : NULL,
        .session = ids->session,
        .jti = ids->token,
        .issued_at =
            fta_claims_have(claims, FTA_CLAIM_IAT) ? claims->issued_at : Py_NAN,
        .expires_at = claims->expires_at + rules->leeway,
        .now = token->now,
        .signed_part = {token->text, token->signed_length},
    };
    return fta_revocations_check(table, &query);
}

/* An InvalidToken is returned. Any other status is raised. */
static PyObject *
invalid_token_or_error(fta_state *state, fta_status status)
{
    PyObject *invalid_token = fta_invalid_token_of(state, status);
    return invalid_token != NULL ? invalid_token : fta_raise(status);
}

/* Tells who asked for it that a token has no role that is known. What it raises
 * is no fault of the token. */
static void
tell_of_default_role(PyObject *callable, PyObject *identity)
{
    PyObject *result = PyObject_CallOneArg(callable, identity);
    if (result == NULL) {
        PyErr_WriteUnraisable(callable);
    }
    Py_XDECREF(result);
}

/* holder is the object that the text is in. */
static PyObject *
identity_from_text(PyObject *object, fta_text text, PyObject *holder)
{
    fta_token_ids ids;
    const fta_token_sinks sinks = {NULL, NULL, false, &ids};
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    fta_keyring_object *self = (fta_keyring_object *)object;
    if (self->keyring->rules->without_identity) {
        PyErr_SetString(PyExc_TypeError,
                        "a Keyring without identity can only decode()");
        return NULL;
    }
    fta_token token;
    fta_identity *made = NULL;
    PyObject *result = NULL;
    fta_status status = open_token(self->keyring, text, &token);
    if (status == FTA_OK && (made = fta_identity_begin(state)) != NULL) {
        status = fta_token_claims(self->keyring, &token, &sinks, &made->claims);
        if (status == FTA_OK) {
            status = check_revocations(self, &token, &ids, &made->claims);
        }
    }
    if (status != FTA_OK) {
        result = invalid_token_or_error(state, status);
    } else if (made != NULL) {
        const fta_identity_origin origin = {self->roles, self->kept, holder,
                                            text};
        if (fta_identity_finish(made, &origin)) {
            result = Py_NewRef(made);
        }
    }
    fta_token_close(&token);
    if (status == FTA_OK && result != NULL &&
        !fta_claims_have(&made->claims, FTA_CLAIM_ROLE) &&
        !Py_IsNone(self->on_default_role)) {
        tell_of_default_role(self->on_default_role, result);
    }
    Py_XDECREF(made);
    return result;
}

PyDoc_STRVAR(keyring_verify_doc,
             "verify($self, token, /)\n--\n\n"
             "The Identity of a token, or an InvalidToken with the reason.");

PyObject *
fta_keyring_verify(PyObject *self, PyObject *value)
{
    fta_text text;
    PyObject *holder;
    if (!fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    PyObject *result = identity_from_text(self, text, holder);
    Py_XDECREF(holder);
    return result;
}

PyDoc_STRVAR(keyring_authenticate_doc,
             "authenticate($self, authorization, /)\n--\n\n"
             "As verify(), for the bearer token in the value of an\n"
             "Authorization header. None if there is no such token.");

PyObject *
fta_keyring_authenticate(PyObject *self, PyObject *value)
{
    if (value == Py_None) {
        Py_RETURN_NONE;
    }
    fta_text text;
    PyObject *holder;
    if (!fta_octets_from_object(value, "authorization", &text, &holder)) {
        return NULL;
    }
    fta_text token = fta_bearer_token(text);
    PyObject *result = token.data != NULL
                           ? identity_from_text(self, token, holder)
                           : Py_NewRef(Py_None);
    Py_XDECREF(holder);
    return result;
}

PyDoc_STRVAR(
    keyring_claimed_tenant_doc,
    "claimed_tenant($self, token, /)\n--\n\n"
    "The tenant that a token claims under these rules, and nobody has\n"
    "verified; None where it breaks one. It only serves to find a\n"
    "key.");

static PyObject *
keyring_claimed_tenant(PyObject *self, PyObject *value)
{
    const fta_keyring *keyring = ((fta_keyring_object *)self)->keyring;
    const fta_claim_reader how = {
        .rules = keyring->rules, .seed = &keyring->seed, .now = Py_NAN};
    fta_token_segments segments;
    fta_claims claims;
    fta_text text;
    PyObject *holder, *result = NULL;
    char *room = NULL;
    if (!fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    if (keyring->rules->without_identity ||
        text.length > keyring->max_token_bytes ||
        fta_token_split(text, &segments) != FTA_OK) {
        result = Py_NewRef(Py_None);
    } else if ((room = PyMem_Malloc(text.length)) == NULL) {
        PyErr_NoMemory();
    } else if (!fta_base64url_decode(segments.payload.data,
                                     segments.payload.length,
                                     (uint8_t *)room) ||
               fta_claims_read(&how, room,
                               FTA_BASE64_SIZE(segments.payload.length),
                               &claims) != FTA_OK) {
        result = Py_NewRef(Py_None);
    } else {
        char tenant[FTA_UUID_TEXT];
        fta_uuid_format(&claims.tenant_id, tenant);
        result = PyUnicode_FromStringAndSize(tenant, FTA_UUID_TEXT);
    }
    PyMem_Free(room);
    Py_DECREF(holder);
    return result;
}

PyDoc_STRVAR(keyring_decode_doc,
             "decode($self, token, /)\n--\n\n"
             "All claims of a token as a dict, or an InvalidToken with the\n"
             "reason. It is as strict as verify(). The ids are in lower case.");

static PyObject *
keyring_decode(PyObject *self, PyObject *value)
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    const fta_keyring *keyring = ((fta_keyring_object *)self)->keyring;
    fta_builder builder;
    builder.root = builder.name = NULL;
    builder.depth = 0;
    const fta_json_sink sink = {fta_builder_accept, &builder};
    fta_token_ids ids;
    const fta_token_sinks sinks = {&sink, NULL, false, &ids};
    fta_token token;
    fta_claims claims;
    fta_text text;
    PyObject *holder;
    if (!fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    fta_status status = open_token(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_token_claims(keyring, &token, &sinks, &claims);
    }
    if (status == FTA_OK) {
        status = check_revocations((fta_keyring_object *)self, &token, &ids,
                                   &claims);
    }
    fta_token_close(&token);
    PyObject *result = status == FTA_OK ? Py_NewRef(builder.root)
                                        : invalid_token_or_error(state, status);
    fta_builder_clear(&builder);
    Py_XDECREF(holder);
    return result;
}

/* The names of the members that issue() may write. */
static PyObject *
get_core_claims(PyObject *object, void *Py_UNUSED(closure))
{
    const fta_claim_rules *rules =
        ((fta_keyring_object *)object)->keyring->rules;
    PyObject *names = PyList_New(0);
    uint16_t node = FTA_CLAIM_ROOT;
    while (names != NULL &&
           (node = fta_claims_next_written(rules, node)) != FTA_CLAIM_ROOT) {
        fta_text text = rules->tree.nodes[node].name;
        PyObject *name =
            PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.length, NULL);
        if (name == NULL || PyList_Append(names, name) < 0) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    PyObject *result = names == NULL ? NULL : PyList_AsTuple(names);
    Py_XDECREF(names);
    return result;
}

static PyObject *
keyring_repr(PyObject *self)
{
    return PyUnicode_FromFormat("Keyring(%R)",
                                ((fta_keyring_object *)self)->keys);
}

static PyMemberDef keyring_members[] = {
    {"keys", T_OBJECT_EX, offsetof(fta_keyring_object, keys), READONLY,
     "Its keys; the first one signs, all of them verify."},
    {"roles", T_OBJECT_EX, offsetof(fta_keyring_object, roles), READONLY,
     "The Roles of its identities."},
    {"revocations", T_OBJECT_EX, offsetof(fta_keyring_object, revocations),
     READONLY, "The Revocations that it asks, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef keyring_getset[] = {
    {"core_claims", get_core_claims, NULL,
     "The names of the members of a payload that issue() may write, and its\n"
     "caller may not.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef keyring_methods[] = {
    {"sign", fta_keyring_sign, METH_O, fta_keyring_sign_doc},
    {"issue", fta_keyring_issue, METH_VARARGS, fta_keyring_issue_doc},
    {"verify", fta_keyring_verify, METH_O, keyring_verify_doc},
    {"decode", keyring_decode, METH_O, keyring_decode_doc},
    {"claimed_tenant", keyring_claimed_tenant, METH_O,
     keyring_claimed_tenant_doc},
    {"authenticate", fta_keyring_authenticate, METH_O,
     keyring_authenticate_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    keyring_doc,
    "Keyring(keys, *, issuer=None, audiences=(), leeway=0,\n"
    "        max_token_bytes=8192, roles=DEFAULT_ROLES, places=None,\n"
    "        role_map=None, default_role=None, id_namespace=None,\n"
    "        required=None, without_identity=False, on_default_role=None,\n"
    "        revocations=None)\n"
    "--\n\n"
    "The keys of an application and what its tokens must say.\n"
    "It never changes, and threads may share it. on_default_role is called\n"
    "with the Identity of a token that has no role that is known; it must\n"
    "not refer to the Keyring. revocations is asked for each token whose\n"
    "signature is right.");

static PyType_Slot keyring_slots[] = {
    {Py_tp_doc, (void *)keyring_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(keyring_new)},
    {Py_tp_dealloc, (void *)keyring_dealloc},
    {Py_tp_repr, (void *)keyring_repr},
    {Py_tp_members, (void *)keyring_members},
    {Py_tp_getset, (void *)keyring_getset},
    {Py_tp_methods, (void *)keyring_methods},
    {0, NULL},
};

PyType_Spec fta_keyring_spec = {
    .name = "flask_tenant_auth._core.Keyring",
    .basicsize = sizeof(fta_keyring_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = keyring_slots,
};
