#include "binding/authenticate.h"

#include <stdbool.h>

#include "binding/cookies.h"
#include "binding/environ.h"
#include "binding/type_identity.h"
#include "binding/type_keyring.h"
#include "binding/type_limiter.h"

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
 * first. */
static PyObject *
ask_keyring(const fta_state *state, const fta_step *step)
{
    size_t count;
    PyObject *value =
        fta_environ_item(state, step->wsgi_environ, FTA_ENVIRON_AUTHORIZATION);
    if (value != NULL) {
        PyObject *proved = fta_keyring_authenticate(step->keyring, value);
        Py_DECREF(value);
        return proved;
    }
    if (step->cookie == NULL || PyErr_Occurred()) {
        return NULL;
    }
    PyObject *header =
        fta_environ_item(state, step->wsgi_environ, FTA_ENVIRON_COOKIE);
    value =
        header == NULL ? NULL : fta_cookie_value(header, step->cookie, &count);
    /* An empty value is as no cookie. */
    PyObject *proved = value != NULL && PyUnicode_GET_LENGTH(value) != 0
                           ? fta_keyring_verify(step->keyring, value)
                           : NULL;
    Py_XDECREF(value);
    Py_XDECREF(header);
    return proved;
}

/* The identity of a valid token, a new reference; else NULL. Python then finds
 * out what is wrong with the token. An exception that is set is not about the
 * token. */
static PyObject *
identity_of_token(const fta_state *state, const fta_step *step)
{
    fta_request_record *record = step->record;
    PyObject *known = fta_member_get((PyObject *)record, &record->outcome);
    if (known != NULL && !Py_IsNone(known)) {
        if (fta_identity_of(state, known) == NULL) {
            Py_CLEAR(known);
        }
        return known;
    }
    Py_XDECREF(known);
    fta_metrics *metrics = fta_limiter_metrics(step->limiter);
    uint64_t began = metrics == NULL ? 0 : fta_metrics_now();
    PyObject *proved = ask_keyring(state, step);
    if (metrics != NULL && proved != NULL && !Py_IsNone(proved)) {
        fta_metrics_observe(metrics, FTA_METRIC_OF_VERIFICATION,
                            fta_metrics_now() - began);
    }
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

PyObject *
fta_authenticate_and_count(const fta_state *state, const fta_step *step)
{
    fta_request_record *record = step->record;
    PyObject *identity = identity_of_token(state, step);
    if (identity == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *const hit[] = {step->limits, identity, step->address};
    PyObject *decision = fta_limiter_count(step->limiter, hit, 3);
    fta_member_set((PyObject *)record, &record->outcome, identity);
    if (decision != NULL) {
        fta_member_set((PyObject *)record, &record->decision,
                       Py_NewRef(decision));
        fta_member_set((PyObject *)record, &record->limits,
                       Py_NewRef(step->limits));
    }
    return decision;
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
    const fta_step step = {record,  args[1], args[2], args[3],
                           args[4], args[5], cookie};
    return fta_authenticate_and_count(state, &step);
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
    return PyModule_AddFunctions(module, functions);
}
