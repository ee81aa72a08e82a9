#include "binding/credentials.h"

#include "binding/convert.h"
#include "binding/cookies.h"
#include "binding/errors.h"
#include "binding/keywords.h"
#include "binding/state.h"

#include <openssl/rand.h>

#include "password/password.h"
#include "token/bearer.h"
#include "token/peek.h"

PyDoc_STRVAR(hash_password_doc,
             "hash_password(password, iterations)\n--\n\n"
             "A salted PBKDF2-HMAC-SHA512 hash as a PHC string. Other threads\n"
             "run meanwhile.");

static PyObject *
hash_password(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"password", "iterations", NULL};
    PyObject *password, *number;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SO:hash_password", keywords,
                                     &password, &number)) {
        return NULL;
    }
    Py_ssize_t iterations = PyNumber_AsSsize_t(number, PyExc_OverflowError);
    if (iterations == -1 && PyErr_Occurred()) {
        return NULL;
    }
    fta_text text = {PyBytes_AS_STRING(password),
                     (size_t)PyBytes_GET_SIZE(password)};
    char stored[FTA_PASSWORD_STORED_MAX];
    size_t length;
    fta_status status = FTA_ITERATIONS_INVALID;
    if (iterations >= 0 && iterations <= FTA_PASSWORD_ITERATIONS_MAX) {
        Py_BEGIN_ALLOW_THREADS
        status = fta_password_hash(text, (uint32_t)iterations, stored, &length);
        Py_END_ALLOW_THREADS
    }
    return status == FTA_OK
               ? PyUnicode_FromStringAndSize(stored, (Py_ssize_t)length)
               : fta_raise(status);
}

FTA_KEYWORDS(PyObject, hash_password)

PyDoc_STRVAR(verify_password_doc,
             "verify_password(password, stored)\n--\n\n"
             "Whether it is the password of a stored string, compared in\n"
             "constant time. ValueError for a string that hash_password did\n"
             "not make. Other threads run meanwhile.");

static PyObject *
verify_password(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"password", "stored", NULL};
    PyObject *password, *stored;
    fta_text kept;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SO:verify_password",
                                     keywords, &password, &stored) ||
        !fta_utf8_from_str(stored, "stored", &kept)) {
        return NULL;
    }
    fta_text text = {PyBytes_AS_STRING(password),
                     (size_t)PyBytes_GET_SIZE(password)};
    bool matches;
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_password_verify(text, kept, &matches);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    return PyBool_FromLong(matches);
}

FTA_KEYWORDS(PyObject, verify_password)

PyDoc_STRVAR(password_iterations_doc,
             "password_iterations(stored)\n--\n\n"
             "The iterations of a stored string, to tell whether it wants\n"
             "renewing. ValueError for a string that hash_password did not\n"
             "make.");

static PyObject *
password_iterations(PyObject *Py_UNUSED(module), PyObject *args,
                    PyObject *kwargs)
{
    static char *keywords[] = {"stored", NULL};
    PyObject *stored;
    fta_text kept;
    uint32_t iterations;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:password_iterations",
                                     keywords, &stored) ||
        !fta_utf8_from_str(stored, "stored", &kept)) {
        return NULL;
    }
    fta_status status = fta_password_iterations(kept, &iterations);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    return PyLong_FromUnsignedLong(iterations);
}

FTA_KEYWORDS(PyObject, password_iterations)

PyDoc_STRVAR(parse_bearer_doc,
             "parse_bearer(authorization)\n--\n\n"
             "The token in the value of an Authorization header; None when\n"
             "the scheme is another one or nothing follows it.");

static PyObject *
parse_bearer(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"authorization", NULL};
    PyObject *value, *holder, *result;
    fta_text text;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:parse_bearer", keywords,
                                     &value) ||
        !fta_octets_from_object(value, "authorization", &text, &holder)) {
        return NULL;
    }
    fta_text token = fta_bearer_token(text);
    if (token.data == NULL) {
        result = Py_NewRef(Py_None);
    } else {
        /* An octet is a character, so that the places are the same. */
        Py_ssize_t start = token.data - text.data;
        result =
            PyUnicode_Substring(value, start, start + (Py_ssize_t)token.length);
    }
    Py_XDECREF(holder);
    return result;
}

FTA_KEYWORDS(PyObject, parse_bearer)

PyDoc_STRVAR(find_cookie_doc,
             "find_cookie(header, name, /)\n--\n\n"
             "The value of the cookie of exactly this name in the value of a\n"
             "Cookie header; None where there is none. ValueError where there\n"
             "is more than one.");

static PyObject *
find_cookie(PyObject *Py_UNUSED(module), PyObject *const *args,
            Py_ssize_t given)
{
    if (given != 2 || !PyUnicode_Check(args[0]) || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError,
                        "find_cookie takes the value of a Cookie header and a "
                        "name, each a str");
        return NULL;
    }
    size_t count;
    PyObject *value = fta_cookie_value(args[0], args[1], &count);
    if (value == NULL && count == 0) {
        return Py_NewRef(Py_None);
    }
    if (count > 1) {
        PyErr_SetString(PyExc_ValueError,
                        "there are several cookies of a name");
    }
    return value;
}

/* A text as str; None for an absent one. */
static PyObject *
str_or_none(fta_text text)
{
    return text.data == NULL ? Py_NewRef(Py_None)
                             : PyUnicode_FromStringAndSize(
                                   text.data, (Py_ssize_t)text.length);
}

PyDoc_STRVAR(
    peek_token_doc,
    "peek_token(token, claim)\n--\n\n"
    "The claim of that name and the kid that an unverified token\n"
    "says, each a str or None. None alone for a malformed token. They\n"
    "serve only to find the keys that the token is verified with.");

static PyObject *
peek_token(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"token", "claim", NULL};
    PyObject *value, *name, *holder, *result = NULL;
    fta_text token, claim;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:peek_token", keywords,
                                     &value, &name) ||
        !fta_utf8_from_str(name, "claim", &claim) ||
        !fta_octets_from_object(value, "token", &token, &holder)) {
        return NULL;
    }
    fta_json_seed seed;
    fta_peek peek;
    memcpy(&seed, PyBytes_AS_STRING(fta_state_of_module(module)->peek_seed),
           sizeof seed);
    fta_status status = fta_peek_open(token, claim, &seed, &peek);
    if (status == FTA_OK) {
        PyObject *claimed = str_or_none(peek.claim);
        PyObject *kid = claimed == NULL ? NULL : str_or_none(peek.kid);
        result = kid == NULL ? NULL : PyTuple_Pack(2, claimed, kid);
        Py_XDECREF(kid);
        Py_XDECREF(claimed);
    } else {
        result =
            status == FTA_NO_MEMORY ? fta_raise(status) : Py_NewRef(Py_None);
    }
    fta_peek_close(&peek);
    Py_XDECREF(holder);
    return result;
}

FTA_KEYWORDS(PyObject, peek_token)

/* Makes the seed with which peek_token reads. */
static int
add_peek_seed(fta_state *state)
{
    fta_json_seed seed;
    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1) {
        fta_raise(FTA_CRYPTO);
        return -1;
    }
    state->peek_seed =
        PyBytes_FromStringAndSize((const char *)&seed, sizeof seed);
    return state->peek_seed == NULL ? -1 : 0;
}

static PyMethodDef functions[] = {
    {"hash_password", FTA_KEYWORDS_METHOD(hash_password), hash_password_doc},
    {"verify_password", FTA_KEYWORDS_METHOD(verify_password),
     verify_password_doc},
    {"password_iterations", FTA_KEYWORDS_METHOD(password_iterations),
     password_iterations_doc},
    {"parse_bearer", FTA_KEYWORDS_METHOD(parse_bearer), parse_bearer_doc},
    {"find_cookie", (PyCFunction)(void (*)(void))find_cookie, METH_FASTCALL,
     find_cookie_doc},
    {"peek_token", FTA_KEYWORDS_METHOD(peek_token), peek_token_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_credentials(PyObject *module)
{
    if (add_peek_seed(fta_state_of_module(module)) < 0 ||
        PyModule_AddIntConstant(module, "PASSWORD_ITERATIONS",
                                FTA_PASSWORD_ITERATIONS) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
