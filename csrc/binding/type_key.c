#include "binding/type_key.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/hold.h"
#include "binding/keywords.h"

#include "token/jwk.h"
#include "token/sign.h"

typedef struct key_object {
    PyObject_HEAD
    fta_key *key; /* Owned */
} key_object;

const fta_key *
fta_key_of(const fta_state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->key_type) ? ((key_object *)object)->key
                                               : NULL;
}

static void
key_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_key_free(((key_object *)self)->key);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The new object owns the key. */
static PyObject *
key_object_new(fta_state *state, fta_key *key)
{
    key_object *self = PyObject_New(key_object, state->key_type);
    if (self == NULL) {
        fta_key_free(key);
        return NULL;
    }
    self->key = key;
    return (PyObject *)self;
}

static const fta_algorithm *
read_algorithm(PyObject *value)
{
    size_t place;
    return fta_word_from_str(value, "algorithm", &fta_algorithm_words, &place)
               ? &fta_algorithms[place]
               : NULL;
}

/* NULL and None: the kid is derived. */
static bool
read_kid(PyObject *value, fta_text *out)
{
    *out = (fta_text){NULL, 0};
    return value == NULL || value == Py_None ||
           fta_utf8_from_str(value, "kid", out);
}

PyDoc_STRVAR(
    key_secret_doc,
    "secret($type, algorithm, secret, *, kid=None, allow_weak=False)\n--\n\n"
    "A key for HS256, HS384 or HS512. ValueError for a secret that is\n"
    "shorter than the hash (32, 48, 64 bytes), unless allow_weak, and\n"
    "for a public or private key in any encoding.");

static PyObject *
key_secret(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"algorithm", "secret", "kid", "allow_weak",
                               NULL};
    PyObject *name, *secret, *kid_value = NULL;
    int allow_weak = 0;
    fta_text kid;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OS|$Op:secret", keywords,
                                     &name, &secret, &kid_value, &allow_weak) ||
        !read_kid(kid_value, &kid)) {
        return NULL;
    }
    const fta_algorithm *algorithm = read_algorithm(name);
    if (algorithm == NULL) {
        return NULL;
    }
    fta_key *key;
    fta_status status = fta_key_from_secret(
        algorithm, kid, (const uint8_t *)PyBytes_AS_STRING(secret),
        (size_t)PyBytes_GET_SIZE(secret), allow_weak, &key);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    return key_object_new(PyType_GetModuleState((PyTypeObject *)type), key);
}

FTA_KEYWORDS(PyObject, key_secret)

/* NULL and None: there is no passphrase. The octets live as long as the bytes
 * object. */
static bool
read_passphrase(PyObject *value, fta_text *out)
{
    *out = (fta_text){NULL, 0};
    if (value == NULL || value == Py_None) {
        return true;
    }
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "passphrase must be bytes or None, not %.100s",
                     Py_TYPE(value)->tp_name);
        return false;
    }
    *out =
        (fta_text){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
    return true;
}

PyDoc_STRVAR(
    key_pem_doc,
    "pem($type, algorithm, pem, *, kid=None, passphrase=None)\n--\n\n"
    "A key for RS*, PS*, ES* or EdDSA from PEM text or DER. A private\n"
    "key signs and verifies. A public key or a certificate verifies.\n"
    "For anything else a ValueError says what it is.");

static PyObject *
key_pem(PyObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"algorithm", "pem", "kid", "passphrase", NULL};
    PyObject *name, *pem, *kid_value = NULL, *passphrase_value = NULL;
    fta_text kid, passphrase;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OS|$OO:pem", keywords,
                                     &name, &pem, &kid_value,
                                     &passphrase_value) ||
        !read_kid(kid_value, &kid) ||
        !read_passphrase(passphrase_value, &passphrase)) {
        return NULL;
    }
    const fta_algorithm *algorithm = read_algorithm(name);
    if (algorithm == NULL) {
        return NULL;
    }
    fta_text text = {PyBytes_AS_STRING(pem), (size_t)PyBytes_GET_SIZE(pem)};
    fta_key *key;
    fta_status status =
        fta_key_from_encoded(algorithm, kid, text, passphrase, &key);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    return key_object_new(PyType_GetModuleState((PyTypeObject *)type), key);
}

FTA_KEYWORDS(PyObject, key_pem)

/* A new reference to a member. NULL without an exception if it is absent or
 * None. */
static PyObject *
get_member(PyObject *mapping, const char *name)
{
    PyObject *value = PyMapping_GetItemString(mapping, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
    } else if (value == Py_None) {
        Py_CLEAR(value);
    }
    return value;
}

/* The text of a member, which lives as long as the str. The list gets a
 * reference to the str. */
static bool
read_member(PyObject *mapping, const char *name, PyObject *references,
            fta_text *out)
{
    PyObject *value = get_member(mapping, name);
    *out = (fta_text){NULL, 0};
    if (value == NULL) {
        return !PyErr_Occurred();
    }
    bool done = false;
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_ValueError, "the JWK's %s must be a string", name);
    } else if (PyList_Append(references, value) == 0) {
        done = fta_utf8_from_str(value, name, out);
    }
    Py_DECREF(value);
    return done;
}

static bool
read_key_ops(PyObject *mapping, bool *for_other_ops)
{
    *for_other_ops = false;
    PyObject *value = get_member(mapping, "key_ops");
    if (value == NULL) {
        return !PyErr_Occurred();
    }
    PyObject *operations = NULL;
    if (!PyList_Check(value) && !PyTuple_Check(value)) {
        PyErr_SetString(PyExc_ValueError, "the JWK's key_ops must be an array");
    } else {
        operations = fta_held_tuple(value);
    }
    Py_DECREF(value);
    if (operations == NULL) {
        return false;
    }
    *for_other_ops = true;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operations); i++) {
        PyObject *item = PyTuple_GET_ITEM(operations, i);
        if (PyUnicode_Check(item) &&
            (PyUnicode_CompareWithASCIIString(item, "verify") == 0 ||
             PyUnicode_CompareWithASCIIString(item, "sign") == 0)) {
            *for_other_ops = false;
        }
    }
    Py_DECREF(operations);
    return true;
}

PyDoc_STRVAR(
    key_jwk_doc,
    "jwk($type, jwk, /)\n--\n\n"
    "A private or public key from a JWK (RFC 7517). alg may be absent\n"
    "if the curve has only one algorithm. kid may be absent. None\n"
    "stands for an absent member.");

static PyObject *
key_jwk(PyObject *type, PyObject *mapping)
{
    if (!PyMapping_Check(mapping) || PySequence_Check(mapping)) {
        PyErr_Format(PyExc_TypeError, "jwk must be a mapping, not %.100s",
                     Py_TYPE(mapping)->tp_name);
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *references = PyList_New(0);
    if (references == NULL) {
        return NULL;
    }
    fta_jwk jwk;
    bool read = read_key_ops(mapping, &jwk.for_other_ops);
#define X(member)                                                              \
    read = read && read_member(mapping, #member, references, &jwk.member);
    FTA_JWK_MEMBERS(X)
#undef X
    if (read) {
        fta_key *key;
        fta_status status = fta_key_from_jwk(&jwk, &key);
        result = status == FTA_OK
                     ? key_object_new(
                           PyType_GetModuleState((PyTypeObject *)type), key)
                     : fta_raise(status);
    }
    Py_DECREF(references);
    return result;
}

static bool
put_member(PyObject *dict, const char *name, fta_text text)
{
    if (text.data == NULL) {
        return true;
    }
    PyObject *value =
        PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.length, NULL);
    int result = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);
    Py_XDECREF(value);
    return result == 0;
}

PyDoc_STRVAR(key_public_jwk_doc,
             "public_jwk($self, /)\n--\n\n"
             "The public part as a JWK (RFC 7517). ValueError for a secret.");

static PyObject *
key_public_jwk(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    char texts[FTA_JWK_TEXTS];
    fta_jwk jwk;
    fta_status status = fta_key_to_jwk(((key_object *)self)->key, texts, &jwk);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    PyObject *dict = PyDict_New();
    bool done = dict != NULL;
#define X(member) done = done && put_member(dict, #member, jwk.member);
    FTA_JWK_MEMBERS(X)
#undef X
    if (!done) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
get_algorithm(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text name = fta_key_algorithm(((key_object *)self)->key)->name;
    return PyUnicode_FromStringAndSize(name.data, (Py_ssize_t)name.length);
}

static PyObject *
get_kid(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text kid = fta_key_id(((key_object *)self)->key);
    return PyUnicode_FromStringAndSize(kid.data, (Py_ssize_t)kid.length);
}

static PyObject *
get_can_sign(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(fta_key_can_sign(((key_object *)self)->key));
}

static PyObject *
get_is_private(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(fta_key_is_private(((key_object *)self)->key));
}

static PyObject *
get_validity(PyObject *self, void *Py_UNUSED(closure))
{
    const fta_validity *validity = fta_key_validity(((key_object *)self)->key);
    if (validity == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(LL)", (long long)validity->begins,
                         (long long)validity->ends);
}

static PyObject *
key_repr(PyObject *self)
{
    const fta_key *key = ((key_object *)self)->key;
    return PyUnicode_FromFormat("<Key %s kid=%s>",
                                fta_key_algorithm(key)->name.data,
                                fta_key_id(key).data);
}

static PyGetSetDef key_getset[] = {
    {"algorithm", get_algorithm, NULL,
     "The one algorithm it serves, as in 'HS256'.", NULL},
    {"kid", get_kid, NULL, "Its id in token headers.", NULL},
    {"can_sign", get_can_sign, NULL,
     "Whether it is a secret or private key and the libjwt that is loaded\n"
     "signs with its algorithm.",
     NULL},
    {"is_private", get_is_private, NULL,
     "Whether it is the private key of a pair.", NULL},
    {"validity", get_validity, NULL,
     "When its certificate begins and ends to be good, in seconds since 1970;\n"
     "None if it is from none, or from one without sound dates.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef key_methods[] = {
    {"secret", FTA_KEYWORDS_METHOD(key_secret) | METH_CLASS, key_secret_doc},
    {"pem", FTA_KEYWORDS_METHOD(key_pem) | METH_CLASS, key_pem_doc},
    {"jwk", key_jwk, METH_O | METH_CLASS, key_jwk_doc},
    {"public_jwk", key_public_jwk, METH_NOARGS, key_public_jwk_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(key_doc, "One key, bound to one algorithm. It never changes. "
                      "Its secrets are wiped when it is freed.");

static PyType_Slot key_slots[] = {
    {Py_tp_doc, (void *)key_doc},         {Py_tp_dealloc, (void *)key_dealloc},
    {Py_tp_repr, (void *)key_repr},       {Py_tp_getset, (void *)key_getset},
    {Py_tp_methods, (void *)key_methods}, {0, NULL},
};

PyType_Spec fta_key_spec = {
    .name = "flask_tenant_auth._core.Key",
    .basicsize = sizeof(key_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = key_slots,
};

int
fta_add_key(PyObject *module)
{
    return fta_add_words(module, "ALGORITHMS", &fta_algorithm_words);
}
