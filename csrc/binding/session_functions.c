#include "binding/session_functions.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"

#include "session/derive.h"
#include "session/refresh_token.h"
#include "session/uuid7.h"

static fta_text
text_of_bytes(PyObject *bytes)
{
    return (fta_text){PyBytes_AS_STRING(bytes),
                      (size_t)PyBytes_GET_SIZE(bytes)};
}

static PyObject *
str_of_uuid(const fta_uuid *uuid)
{
    char text[FTA_UUID_TEXT];
    fta_uuid_format(uuid, text);
    return PyUnicode_FromStringAndSize(text, FTA_UUID_TEXT);
}

PyDoc_STRVAR(make_refresh_token_doc,
             "make_refresh_token(key, salt, session_id, counter)\n--\n\n"
             "The refresh token of a session. ValueError for a session_id\n"
             "that is no UUID, an empty key or salt, and a counter that is\n"
             "not from 1 to 2**63 - 1.");

static PyObject *
make_refresh_token(PyObject *Py_UNUSED(module), PyObject *args,
                   PyObject *kwargs)
{
    static char *keywords[] = {"key", "salt", "session_id", "counter", NULL};
    PyObject *key, *salt, *id;
    long long counter;
    fta_text text;
    fta_uuid session;
    char token[FTA_REFRESH_TOKEN_MAX];
    size_t length;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SSOL:make_refresh_token",
                                     keywords, &key, &salt, &id, &counter) ||
        !fta_utf8_from_str(id, "session_id", &text)) {
        return NULL;
    }
    if (!fta_uuid_parse(text.data, text.length, &session)) {
        PyErr_SetString(PyExc_ValueError, "session_id must be a UUID");
        return NULL;
    }
    fta_status status =
        fta_refresh_token_make(text_of_bytes(key), text_of_bytes(salt),
                               &session, counter, token, &length);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    return PyUnicode_FromStringAndSize(token, (Py_ssize_t)length);
}

FTA_KEYWORDS(PyObject, make_refresh_token)

PyDoc_STRVAR(read_refresh_token_doc,
             "read_refresh_token(token)\n--\n\n"
             "The session id and the counter that a refresh token says, not\n"
             "yet trusted; None for a malformed one.");

static PyObject *
read_refresh_token(PyObject *Py_UNUSED(module), PyObject *args,
                   PyObject *kwargs)
{
    static char *keywords[] = {"token", NULL};
    PyObject *value, *holder;
    fta_text text;
    fta_refresh_token token;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:read_refresh_token",
                                     keywords, &value) ||
        !fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    bool is_token = fta_refresh_token_read(text, &token);
    Py_XDECREF(holder);
    if (!is_token) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("NL", str_of_uuid(&token.session),
                         (long long)token.counter);
}

FTA_KEYWORDS(PyObject, read_refresh_token)

PyDoc_STRVAR(check_refresh_token_doc,
             "check_refresh_token(keys, salt, token)\n--\n\n"
             "The place of the key, in a tuple of bytes, that has made the\n"
             "refresh token with this salt; -1 if none has.");

static PyObject *
check_refresh_token(PyObject *Py_UNUSED(module), PyObject *args,
                    PyObject *kwargs)
{
    static char *keywords[] = {"keys", "salt", "token", NULL};
    PyObject *keys, *salt, *value, *holder;
    fta_text text;
    fta_refresh_token token;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!SO:check_refresh_token",
                                     keywords, &PyTuple_Type, &keys, &salt,
                                     &value) ||
        !fta_octets_from_object(value, "token", &text, &holder)) {
        return NULL;
    }
    Py_ssize_t place = -1;
    fta_status status = FTA_OK;
    bool is_token = fta_refresh_token_read(text, &token);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys) && status == FTA_OK;
         i++) {
        PyObject *key = PyTuple_GET_ITEM(keys, i);
        bool matches = false;
        if (!PyBytes_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "keys must be a tuple of bytes");
            Py_XDECREF(holder);
            return NULL;
        }
        if (is_token && place < 0) {
            status = fta_refresh_token_check(
                text_of_bytes(key), text_of_bytes(salt), &token, &matches);
        }
        if (matches) {
            place = i;
        }
    }
    Py_XDECREF(holder);
    return status == FTA_OK ? PyLong_FromSsize_t(place) : fta_raise(status);
}

FTA_KEYWORDS(PyObject, check_refresh_token)

PyDoc_STRVAR(uuid7_doc, "uuid7(ms, /)\n--\n\n"
                        "A new UUID of version 7 (RFC 9562, section 5.7) of "
                        "this time in\nmilliseconds since 1970.");

static PyObject *
uuid7(PyObject *Py_UNUSED(module), PyObject *value)
{
    fta_uuid uuid;
    long long ms = PyLong_AsLongLong(value);
    if (ms == -1 && PyErr_Occurred()) {
        return NULL;
    }
    fta_status status = fta_uuid7_make(ms, &uuid);
    return status == FTA_OK ? str_of_uuid(&uuid) : fta_raise(status);
}

PyDoc_STRVAR(derive_key_doc,
             "derive_key(secret, salt, info, length)\n--\n\n"
             "A key that is derived from a secret: HKDF with SHA-256\n"
             "(RFC 5869). ValueError for an empty secret and a length that\n"
             "is not from 1 to 8160 bytes.");

static PyObject *
derive_key(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"secret", "salt", "info", "length", NULL};
    PyObject *secret, *salt, *info;
    Py_ssize_t length;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SSSn:derive_key", keywords,
                                     &secret, &salt, &info, &length)) {
        return NULL;
    }
    if (length < 1 || (size_t)length > FTA_DERIVED_MAX) {
        PyErr_SetString(PyExc_ValueError, "length must be from 1 to 8160");
        return NULL;
    }
    PyObject *key = PyBytes_FromStringAndSize(NULL, length);
    if (key == NULL) {
        return NULL;
    }
    fta_status status = fta_derive(
        text_of_bytes(secret), text_of_bytes(salt), text_of_bytes(info),
        (uint8_t *)PyBytes_AS_STRING(key), (size_t)length);
    if (status != FTA_OK) {
        Py_DECREF(key);
        return fta_raise(status);
    }
    return key;
}

FTA_KEYWORDS(PyObject, derive_key)

#define WITH_KEYWORDS(name) {#name, FTA_KEYWORDS_METHOD(name), name##_doc}

static PyMethodDef functions[] = {
    WITH_KEYWORDS(make_refresh_token),  WITH_KEYWORDS(read_refresh_token),
    WITH_KEYWORDS(check_refresh_token), {"uuid7", uuid7, METH_O, uuid7_doc},
    WITH_KEYWORDS(derive_key),          {NULL, NULL, 0, NULL},
};

int
fta_add_session_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
