#include "binding/state.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/type_identity.h"
#include "binding/type_key.h"
#include "binding/type_invalid_token.h"

#include "base/alloc.h"
#include "token/bearer.h"
#include "token/sign.h"
#include "token/verify.h"

typedef struct keyring_object {
    PyObject_HEAD
    PyObject *keys;       /* Owned tuple: what keyring borrows from */
    fta_keyring *keyring; /* Owned */
} keyring_object;

static void
keyring_dealloc(PyObject *object)
{
    keyring_object *self = (keyring_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_keyring_free(self->keyring);
    Py_CLEAR(self->keys);
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

/* A str or bytes object is a sequence too, but nobody means it as one. */
static PyObject *
tuple_from_sequence(PyObject *value, const char *argument)
{
    if (value == NULL) {
        return PyTuple_New(0);
    }
    PyObject *tuple = PyUnicode_Check(value) || PyBytes_Check(value)
                          ? NULL
                          : PySequence_Tuple(value);
    if (tuple == NULL &&
        (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError))) {
        PyErr_Format(PyExc_TypeError, "%s must be a sequence, not %.100s",
                     argument, Py_TYPE(value)->tp_name);
    }
    return tuple;
}

/* The texts of a tuple of str, in memory to be freed with PyMem_Free. */
static fta_text *
borrow_audiences(PyObject *tuple)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    fta_text *texts = PyMem_Calloc((size_t)count + 1, sizeof *texts);
    if (texts == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(tuple, i), "each of audiences",
                               &texts[i])) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
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

static PyObject *
keyring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"keys",   "issuer",          "audiences",
                               "leeway", "max_token_bytes", NULL};
    PyObject *key_values, *issuer = NULL, *audience_values = NULL;
    fta_claim_rules rules = {.leeway = 0};
    Py_ssize_t max_token_bytes = 8192;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOdn:Keyring", keywords,
                                     &key_values, &issuer, &audience_values,
                                     &rules.leeway, &max_token_bytes) ||
        !check_numbers(rules.leeway, max_token_bytes) ||
        (issuer != NULL && issuer != Py_None &&
         !fta_utf8_from_str(issuer, "issuer", &rules.issuer))) {
        return NULL;
    }
    fta_state *state = PyType_GetModuleState(type);
    PyObject *keys = NULL, *audiences = NULL, *result = NULL;
    const fta_key **borrowed = NULL;
    fta_text *texts = NULL;
    fta_keyring *keyring = NULL;
    if ((keys = tuple_from_sequence(key_values, "keys")) == NULL ||
        (audiences = tuple_from_sequence(audience_values, "audiences")) ==
            NULL ||
        (borrowed = borrow_keys(state, keys)) == NULL ||
        (texts = borrow_audiences(audiences)) == NULL) {
        goto done;
    }
    rules.audiences = texts;
    rules.audience_count = (size_t)PyTuple_GET_SIZE(audiences);
    fta_status status =
        fta_keyring_new(borrowed, (size_t)PyTuple_GET_SIZE(keys), &rules,
                        (size_t)max_token_bytes, &keyring);
    if (status != FTA_OK) {
        fta_raise(status);
        goto done;
    }
    keyring_object *self = PyObject_New(keyring_object, type);
    if (self == NULL) {
        fta_keyring_free(keyring);
        goto done;
    }
    self->keyring = keyring;
    self->keys = Py_NewRef(keys);
    result = (PyObject *)self;
done:
    PyMem_Free(texts);
    PyMem_Free(borrowed);
    Py_XDECREF(audiences);
    Py_XDECREF(keys);
    return result;
}

/* --- using it ----------------------------------------------------------- */

/* Verifies a token. Other threads run meanwhile if the signature takes long, so
 * the caller holds the Keyring and the object that the text is in. */
static fta_status
verify_text(const fta_keyring *keyring, fta_text text,
            const fta_json_sink *sink, fta_claims *claims)
{
    fta_token token;
    fta_status status = fta_token_open(keyring, text, &token);
    if (status == FTA_OK && fta_token_is_slow(&token)) {
        Py_BEGIN_ALLOW_THREADS
        status = fta_token_check(keyring, &token);
        Py_END_ALLOW_THREADS
    } else if (status == FTA_OK) {
        status = fta_token_check(keyring, &token);
    }
    if (status == FTA_OK) {
        status = fta_token_claims(keyring, &token, sink, claims);
    }
    fta_token_close(&token);
    return status;
}

/* An InvalidToken is returned. Any other status is raised. */
static PyObject *
invalid_token_or_error(fta_state *state, fta_status status)
{
    PyObject *invalid_token = fta_invalid_token_of(state, status);
    return invalid_token != NULL ? invalid_token : fta_raise(status);
}

static PyObject *
identity_from_text(PyObject *self, fta_text text)
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(self));
    fta_claims claims;
    Py_INCREF(self);
    fta_status status =
        verify_text(((keyring_object *)self)->keyring, text, NULL, &claims);
    Py_DECREF(self);
    return status == FTA_OK ? fta_identity_from_claims(state, &claims)
                            : invalid_token_or_error(state, status);
}

PyDoc_STRVAR(keyring_verify_doc,
             "verify($self, token, /)\n--\n\n"
             "The Identity of a token, or an InvalidToken with the reason.");

static PyObject *
keyring_verify(PyObject *self, PyObject *value)
{
    fta_text text;
    PyObject *holder;
    if (!fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    PyObject *result = identity_from_text(self, text);
    Py_XDECREF(holder);
    return result;
}

PyDoc_STRVAR(keyring_authenticate_doc,
             "authenticate($self, authorization, /)\n--\n\n"
             "As verify(), for the bearer token in the value of an\n"
             "Authorization header. None if there is no such token.");

static PyObject *
keyring_authenticate(PyObject *self, PyObject *value)
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
    PyObject *result = token.data != NULL ? identity_from_text(self, token)
                                          : Py_NewRef(Py_None);
    Py_XDECREF(holder);
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
    fta_builder builder;
    builder.root = builder.name = NULL;
    builder.depth = 0;
    fta_json_sink sink = {fta_builder_accept, &builder};
    fta_claims ignored;
    fta_text text;
    PyObject *holder;
    if (!fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    Py_INCREF(self);
    fta_status status =
        verify_text(((keyring_object *)self)->keyring, text, &sink, &ignored);
    Py_DECREF(self);
    PyObject *result = status == FTA_OK ? Py_NewRef(builder.root)
                                        : invalid_token_or_error(state, status);
    fta_builder_clear(&builder);
    Py_XDECREF(holder);
    return result;
}

/* The str of a token that the core has made. Frees the token. */
static PyObject *
token_or_error(fta_status status, char *token, size_t length)
{
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    PyObject *result = PyUnicode_DecodeASCII(token, (Py_ssize_t)length, NULL);
    fta_free(token);
    return result;
}

/* The octets of a bytes argument, which live as long as it. */
static bool
read_json(PyObject *value, const char *argument, fta_text *out)
{
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be bytes, not %.100s", argument,
                     Py_TYPE(value)->tp_name);
        return false;
    }
    *out =
        (fta_text){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
    return true;
}

PyDoc_STRVAR(keyring_sign_doc,
             "sign($self, payload, /)\n--\n\n"
             "A token of the payload, the UTF-8 text of a JSON object, signed\n"
             "by the first key through libjwt. ValueError says what is wrong\n"
             "with the payload or why the key cannot sign.");

static PyObject *
keyring_sign(PyObject *self, PyObject *value)
{
    fta_text payload;
    if (!read_json(value, "payload", &payload)) {
        return NULL;
    }
    char *token = NULL;
    size_t length = 0;
    fta_status status;
    Py_INCREF(self);
    Py_INCREF(value);
    Py_BEGIN_ALLOW_THREADS
    status = fta_token_sign(((keyring_object *)self)->keyring, payload, &token,
                            &length);
    Py_END_ALLOW_THREADS
    Py_DECREF(value);
    Py_DECREF(self);
    return token_or_error(status, token, length);
}

PyDoc_STRVAR(keyring_issue_doc,
             "issue($self, identity, issued_at, expires_at, further, /)\n--\n\n"
             "A token that says the claims of CORE_CLAIMS: those of the\n"
             "Identity, the issuer and the audiences of this Keyring, and the\n"
             "two times in seconds since 1970. further is the UTF-8 text of a\n"
             "JSON object with all other claims. ValueError as sign().");

static PyObject *
keyring_issue(PyObject *self, PyObject *args)
{
    PyObject *identity_value, *value;
    long long issued_at, expires_at;
    fta_text further;
    if (!PyArg_ParseTuple(args, "OLLO:issue", &identity_value, &issued_at,
                          &expires_at, &value) ||
        !read_json(value, "further", &further)) {
        return NULL;
    }
    const fta_identity *identity =
        fta_identity_of(PyType_GetModuleState(Py_TYPE(self)), identity_value);
    if (identity == NULL) {
        return PyErr_Format(PyExc_TypeError,
                            "identity must be Identity, not %.100s",
                            Py_TYPE(identity_value)->tp_name);
    }
    fta_claims claims = identity->claims;
    claims.present &= ~(1u << FTA_CLAIM_NBF);
    claims.present |= 1u << FTA_CLAIM_IAT | 1u << FTA_CLAIM_EXP;
    claims.issued_at = (double)issued_at;
    claims.expires_at = (double)expires_at;
    char *token = NULL;
    size_t length = 0;
    fta_status status;
    Py_INCREF(self);
    Py_INCREF(value);
    Py_BEGIN_ALLOW_THREADS
    status = fta_token_issue(((keyring_object *)self)->keyring, &claims,
                             further, &token, &length);
    Py_END_ALLOW_THREADS
    Py_DECREF(value);
    Py_DECREF(self);
    return token_or_error(status, token, length);
}

static PyObject *
keyring_repr(PyObject *self)
{
    return PyUnicode_FromFormat("Keyring(%R)", ((keyring_object *)self)->keys);
}

static PyMemberDef keyring_members[] = {
    {"keys", T_OBJECT_EX, offsetof(keyring_object, keys), READONLY,
     "Its keys; the first one signs, all of them verify."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef keyring_methods[] = {
    {"sign", keyring_sign, METH_O, keyring_sign_doc},
    {"issue", keyring_issue, METH_VARARGS, keyring_issue_doc},
    {"verify", keyring_verify, METH_O, keyring_verify_doc},
    {"decode", keyring_decode, METH_O, keyring_decode_doc},
    {"authenticate", keyring_authenticate, METH_O, keyring_authenticate_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(keyring_doc,
             "Keyring(keys, *, issuer=None, audiences=(), leeway=0, "
             "max_token_bytes=8192)\n--\n\n"
             "The keys of an application and what its tokens must say.\n"
             "It never changes, and threads may share it.");

static PyType_Slot keyring_slots[] = {
    {Py_tp_doc, (void *)keyring_doc},
    {Py_tp_new, (void *)keyring_new},
    {Py_tp_dealloc, (void *)keyring_dealloc},
    {Py_tp_repr, (void *)keyring_repr},
    {Py_tp_members, (void *)keyring_members},
    {Py_tp_methods, (void *)keyring_methods},
    {0, NULL},
};

PyType_Spec fta_keyring_spec = {
    .name = "flask_tenant_auth._core.Keyring",
    .basicsize = sizeof(keyring_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = keyring_slots,
};
