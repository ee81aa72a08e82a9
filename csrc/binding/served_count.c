#include "binding/type_served_request.h"

#include <stdbool.h>

#include "binding/authenticate.h"
#include "binding/hold.h"
#include "binding/open_record.h"
#include "binding/type_decision.h"
#include "binding/type_limiter.h"
#include "binding/type_request_record.h"

/* What is read on the way. All are Owned, or NULL. */
#define READ_LIST(X)                                                           \
    X(request)                                                                 \
    X(attributes)                                                              \
    X(wsgi_environ)                                                            \
    X(record)                                                                  \
    X(rule)                                                                    \
    X(endpoint)                                                                \
    X(method)                                                                  \
    X(methods)                                                                 \
    X(plan)                                                                    \
    X(of_state)                                                                \
    X(live)                                                                    \
    X(source)                                                                  \
    X(keyring)                                                                 \
    X(limiter)                                                                 \
    X(address)

typedef struct reading {
#define X(name) PyObject *name;
    READ_LIST(X)
#undef X
} reading;

/* What count() is called with. */
typedef struct count_arguments {
    PyObject *of_app; /* the state of an app */
    PyObject *key;    /* of a StartResponse in environ: a str */
    PyObject *routes; /* a dict */
} count_arguments;

/* Each of the following steps returns 1: go on, 0: the rest is for Python, or
 * -1 with an exception set. */

/* Opens the record of the request, which has none yet. */
static int
open_record(const fta_state *state, const fta_served_request *self,
            const count_arguments *asked, reading *r)
{
    int found = fta_served_find(state, self, &r->request, &r->attributes);
    if (found <= 0) {
        return found;
    }
    r->record = fta_held_item(r->attributes, self->attribute);
    if (r->record != NULL || PyErr_Occurred()) {
        return r->record != NULL ? 0 : -1;
    }
    r->wsgi_environ = fta_served_read(state, r->request, FTA_SERVED_environ);
    if (r->wsgi_environ == NULL || !PyDict_Check(r->wsgi_environ)) {
        return r->wsgi_environ != NULL ? 0 : -1;
    }
    r->record = fta_open_record(state, asked->of_app, r->wsgi_environ,
                                asked->key, NULL);
    if (r->record == NULL ||
        PyDict_SetItem(r->attributes, self->attribute, r->record) < 0) {
        return -1;
    }
    return fta_request_record_of(state, r->record)->dispatched;
}

/* Finds what counts the route: a pair of tuples, the rules and the limits. */
static int
find_plan(const fta_state *state, const count_arguments *asked, reading *r)
{
    r->rule = fta_served_read(state, r->request, FTA_SERVED_url_rule);
    if (r->rule == NULL || Py_IsNone(r->rule)) {
        return r->rule != NULL ? 0 : -1;
    }
    r->endpoint = fta_served_read(state, r->rule, FTA_SERVED_endpoint);
    r->method = r->endpoint == NULL
                    ? NULL
                    : fta_served_read(state, r->request, FTA_SERVED_method);
    if (r->method == NULL) {
        return -1;
    }
    if (!PyUnicode_CheckExact(r->endpoint) ||
        !PyUnicode_CheckExact(r->method)) {
        return 0;
    }
    r->methods = fta_held_item(asked->routes, r->endpoint);
    if (r->methods == NULL || !PyDict_CheckExact(r->methods)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    r->plan = fta_held_item(r->methods, r->method);
    if (r->plan == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!PyTuple_CheckExact(r->plan) || PyTuple_GET_SIZE(r->plan) != 2 ||
        !PyTuple_CheckExact(PyTuple_GET_ITEM(r->plan, 0)) ||
        !PyTuple_CheckExact(PyTuple_GET_ITEM(r->plan, 1))) {
        PyErr_SetString(PyExc_TypeError,
                        "routes must hold dicts of pairs of tuples");
        return -1;
    }
    return 1;
}

/* Reads what the app counts with. Python follows sessions and sources of keys
 * that change. */
static int
read_state(const fta_state *state, const count_arguments *asked, reading *r)
{
    r->of_state = PyObject_GenericGetDict(asked->of_app, NULL);
    if (r->of_state == NULL) {
        return -1;
    }
    r->live =
        fta_held_item(r->of_state, fta_served_name_of(state, FTA_SERVED_live));
    r->source = fta_held_item(r->of_state,
                              fta_served_name_of(state, FTA_SERVED_source));
    r->keyring = fta_held_item(r->of_state,
                               fta_served_name_of(state, FTA_SERVED_keyring));
    r->limiter = fta_held_item(r->of_state,
                               fta_served_name_of(state, FTA_SERVED_limiter));
    if (PyErr_Occurred()) {
        return -1;
    }
    return r->live != NULL && Py_IsNone(r->live) && r->source != NULL &&
           Py_IsNone(r->source) && r->keyring != NULL &&
           Py_IS_TYPE(r->keyring, state->keyring_type) && r->limiter != NULL &&
           Py_IS_TYPE(r->limiter, state->limiter_type);
}

/* True, or the Decision where Python has more to do: it denies the request, or
 * something has happened to the stores. NULL with an exception set. Takes over
 * the reference. */
static PyObject *
all_done(const fta_state *state, const reading *r, PyObject *decision)
{
    PyObject *events = fta_held_item(
        r->of_state, fta_served_name_of(state, FTA_SERVED_store_events));
    if (events == NULL && PyErr_Occurred()) {
        Py_DECREF(decision);
        return NULL;
    }
    bool quiet = events != NULL && PyLong_CheckExact(events) &&
                 PyLong_AsUnsignedLongLong(events) ==
                     fta_limiter_store_events(r->limiter);
    Py_XDECREF(events);
    if (PyErr_Occurred()) {
        PyErr_Clear(); /* a number that no limiter has */
        quiet = false;
    }
    if (quiet && fta_decision_allows(state, decision)) {
        Py_DECREF(decision);
        Py_RETURN_TRUE;
    }
    return decision;
}

static PyObject *
count_ordinary(const fta_state *state, const fta_served_request *self,
               const count_arguments *asked, reading *r)
{
    int goes_on = open_record(state, self, asked, r);
    goes_on = goes_on > 0 ? find_plan(state, asked, r) : goes_on;
    goes_on = goes_on > 0 ? read_state(state, asked, r) : goes_on;
    if (goes_on <= 0) {
        return goes_on < 0 ? NULL : Py_NewRef(Py_None);
    }
    r->address = fta_served_read(state, r->request, FTA_SERVED_remote_addr);
    if (r->address != NULL && Py_IsNone(r->address)) {
        Py_DECREF(r->address);
        r->address = PyUnicode_New(0, 0);
    }
    if (r->address == NULL || !PyUnicode_CheckExact(r->address)) {
        return r->address == NULL ? NULL : Py_NewRef(Py_None);
    }
    const fta_step step = {
        .record = fta_request_record_of(state, r->record),
        .wsgi_environ = r->wsgi_environ,
        .keyring = r->keyring,
        .limiter = r->limiter,
        .limits = PyTuple_GET_ITEM(r->plan, 1),
        .address = r->address,
    };
    fta_member_set(r->record, &step.record->counted,
                   Py_NewRef(PyTuple_GET_ITEM(r->plan, 0)));
    PyObject *decision = fta_authenticate_and_count(state, &step);
    return decision == NULL || Py_IsNone(decision)
               ? decision
               : all_done(state, r, decision);
}

const char fta_served_count_doc[] = PyDoc_STR(
    "count($self, state, key, routes, /)\n--\n\n"
    "Open the record of the request, authenticate it by its token and count\n"
    "it, where its route is in routes: a dict of endpoint to a dict of method\n"
    "to the rules and the limits, two tuples of which the second is not "
    "empty.\n"
    "True: the request goes on. A Decision: it was counted, and is denied, or\n"
    "something has happened to the stores. None: it was not counted.");

PyObject *
fta_served_count(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (count != 3 || !PyUnicode_CheckExact(args[1]) ||
        !PyDict_CheckExact(args[2])) {
        PyErr_SetString(
            PyExc_TypeError,
            "count takes a state, a key, a str, and routes, a dict");
        return NULL;
    }
    reading r = {0};
    const count_arguments asked = {args[0], args[1], args[2]};
    PyObject *result =
        count_ordinary(state, (const fta_served_request *)object, &asked, &r);
#define X(name) Py_XDECREF(r.name);
    READ_LIST(X)
#undef X
    return result;
}
