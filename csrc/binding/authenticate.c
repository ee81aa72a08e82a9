#include "binding/authenticate.h"

#include <stdbool.h>

#include "binding/cookies.h"
#include "binding/environ.h"
#include "binding/type_identity.h"
#include "binding/type_limiter.h"
#include "binding/type_request_record.h"

/* Whether an exception is about the token. Others, such as KeyboardInterrupt,
 * end the call. */
static bool
is_of_the_token(void)
{
    return PyErr_ExceptionMatches(PyExc_Exception) &&
           !PyErr_ExceptionMatches(PyExc_MemoryError);
}

/* What a keyring makes of the credentials of a request: an Identity, another
 * object, or NULL, with or without an exception. The Authorization header comes
 * first. cookie is the name of the cookie that a token may be in, or NULL. */
static PyObject *
ask_keyring(const fta_state *state, PyObject *wsgi_environ, PyObject *keyring,
            PyObject *cookie, fta_metrics *metrics)
{
    PyObject *method = state->authenticate_name;
    PyObject *value =
        fta_environ_item(state, wsgi_environ, FTA_ENVIRON_AUTHORIZATION);
    if (value == NULL && cookie != NULL && !PyErr_Occurred()) {
        size_t count;
        PyObject *header =
            fta_environ_item(state, wsgi_environ, FTA_ENVIRON_COOKIE);
        method = state->verify_name;
        value =
            header == NULL ? NULL : fta_cookie_value(header, cookie, &count);
        Py_XDECREF(header);
        if (value != NULL && PyUnicode_GET_LENGTH(value) == 0) {
            Py_CLEAR(value); /* as if there were no cookie */
        }
    }
    if (value == NULL) {
        return NULL;
    }
    PyObject *const args[] = {keyring, value};
    uint64_t began = metrics == NULL ? 0 : fta_metrics_now();
    PyObject *proved = PyObject_VectorcallMethod(method, args, 2, NULL);
    if (metrics != NULL && proved != NULL && !Py_IsNone(proved)) {
        fta_metrics_observe(metrics, FTA_METRIC_OF_VERIFICATION,
                            fta_metrics_now() - began);
    }
    Py_DECREF(value);
    return proved;
}

/* The identity of a valid token, a new reference; else NULL. Python then finds
 * out what is wrong with the token. An exception that is set is not about the
 * token. */
static PyObject *
identity_of_token(const fta_state *state, fta_request_record *record,
                  PyObject *wsgi_environ, PyObject *keyring, PyObject *cookie,
                  fta_metrics *metrics)
{
    PyObject *known = fta_member_get((PyObject *)record, &record->outcome);
    if (known != NULL && !Py_IsNone(known)) {
        if (fta_identity_of(state, known) == NULL) {
            Py_CLEAR(known);
        }
        return known;
    }
    Py_XDECREF(known);
    PyObject *proved =
        ask_keyring(state, wsgi_environ, keyring, cookie, metrics);
    if (proved == NULL) {
        if (PyErr_Occurred() && is_of_the_token()) {
            PyErr_Clear();
        }
    } else if (fta_identity_of(state, proved) == NULL) {
        fta_member_set((PyObject *)record, &record->invalid_token, proved);
        proved = NULL;
    }
    return proved;
}

PyDoc_STRVAR(
    authenticate_and_count_doc,
    "authenticate_and_count(record, environ, keyring, limiter, limits, "
    "address, cookie=None, /)\n"
    "--\n\n"
    "Authenticate a request by its token and count it against all limits, in\n"
    "one step. The token is in the Authorization header, or else in the\n"
    "cookie of this name. Without a valid token nothing is counted, and the\n"
    "result is None.");

static PyObject *
authenticate_and_count(PyObject *module, PyObject *const *args,
                       Py_ssize_t count)
{
    const fta_state *state = fta_state_of_module(module);
    fta_request_record *record =
        count == 6 || count == 7 ? fta_request_record_of(state, args[0]) : NULL;
    PyObject *cookie = count == 7 && !Py_IsNone(args[6]) ? args[6] : NULL;
    if (record == NULL || !PyDict_Check(args[1]) ||
        !Py_IS_TYPE(args[2], state->keyring_type) ||
        !Py_IS_TYPE(args[3], state->limiter_type) ||
        !PyTuple_CheckExact(args[4]) ||
        (cookie != NULL && !PyUnicode_Check(cookie))) {
        PyErr_SetString(
            PyExc_TypeError,
            "authenticate_and_count takes a RequestRecord, environ, a "
            "Keyring, a Limiter, a tuple of Limit, an address and perhaps the "
            "name of a cookie");
        return NULL;
    }
    PyObject *identity = identity_of_token(
        state, record, args[1], args[2], cookie, fta_limiter_metrics(args[3]));
    if (identity == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *const hit[] = {args[3], args[4], identity, args[5]};
    PyObject *decision =
        PyObject_VectorcallMethod(state->hit_name, hit, 4, NULL);
    fta_member_set(args[0], &record->outcome, identity);
    if (decision != NULL) {
        fta_member_set(args[0], &record->decision, Py_NewRef(decision));
        fta_member_set(args[0], &record->limits, Py_NewRef(args[4]));
    }
    return decision;
}

static PyMethodDef functions[] = {
    {"authenticate_and_count",
     (PyCFunction)(void (*)(void))authenticate_and_count, METH_FASTCALL,
     authenticate_and_count_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_authenticate(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->authenticate_name = PyUnicode_InternFromString("authenticate");
    state->hit_name = PyUnicode_InternFromString("hit");
    state->verify_name = PyUnicode_InternFromString("verify");
    if (state->authenticate_name == NULL || state->hit_name == NULL ||
        state->verify_name == NULL) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
