#include "binding/open_record.h"

#include <stdbool.h>

#include "binding/hold.h"
#include "binding/type_request_record.h"
#include "binding/type_start_response.h"

/* A middleware may have begun an answer of its own, with a record for it. A
 * failure that either of the two has counted is counted. */
static void
tie(const fta_state *state, fta_start_response *start, PyObject *record,
    PyObject *wsgi_environ)
{
    fta_request_record *taken = fta_request_record_of(state, record);
    PyObject *known = fta_member_get((PyObject *)start, &start->record);
    const fta_request_record *before = fta_request_record_of(state, known);
    taken->dispatched = true;
    taken->has_answer = true;
    if (before != NULL && before->failure_counted) {
        taken->failure_counted = true;
    }
    Py_XDECREF(known);
    fta_member_set((PyObject *)start, &start->record, Py_NewRef(record));
    fta_member_set((PyObject *)start, &start->wsgi_environ,
                   Py_NewRef(wsgi_environ));
}

/* Whether a request on this environ may take a StartResponse that no other
 * can take any more. */
static bool
may_take(fta_start_response *start, PyObject *wsgi_environ)
{
    PyObject *taken = fta_member_get((PyObject *)start, &start->wsgi_environ);
    bool may =
        taken == NULL || (!start->begun && wsgi_environ == start->outer &&
                          taken != start->outer);
    Py_XDECREF(taken);
    return may;
}

PyObject *
fta_open_record(const fta_state *state, PyObject *of_app,
                PyObject *wsgi_environ, PyObject *key, PyObject *known)
{
    PyObject *record = known == NULL ? fta_request_record_new(state, of_app)
                                     : Py_NewRef(known);
    PyObject *there = record == NULL ? NULL : fta_held_item(wsgi_environ, key);
    if (there != NULL && Py_IS_TYPE(there, state->start_response_type)) {
        fta_start_response *start = (fta_start_response *)(void *)there;
        int deleted = fta_delete_item(wsgi_environ, key);
        if (deleted < 0) {
            Py_CLEAR(record);
        } else if (deleted > 0 && may_take(start, wsgi_environ)) {
            tie(state, start, record, wsgi_environ);
        }
    } else if (there == NULL && PyErr_Occurred()) {
        Py_CLEAR(record);
    }
    Py_XDECREF(there);
    return record;
}

PyDoc_STRVAR(
    open_record_doc,
    "open_record(state, environ, key, record=None, /)\n--\n\n"
    "The RequestRecord of a request that Flask dispatches: the one that was\n"
    "made for it before, or a new one. The StartResponse that stands in\n"
    "environ under the key is taken out and tied to it. No other request can\n"
    "take it then, but for one: that of the environ that the server gave,\n"
    "where a request on a copy of it was dispatched first.");

static PyObject *
open_record(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const fta_state *state = fta_state_of_module(module);
    bool is_new = count == 3 || (count == 4 && Py_IsNone(args[3]));
    if (count < 3 || count > 4 || !PyDict_Check(args[1]) ||
        !PyUnicode_Check(args[2]) ||
        (!is_new && fta_request_record_of(state, args[3]) == NULL)) {
        PyErr_SetString(PyExc_TypeError,
                        "open_record takes a state, environ, a dict, a key, a "
                        "str, and perhaps a RequestRecord");
        return NULL;
    }
    return fta_open_record(state, args[0], args[1], args[2],
                           is_new ? NULL : args[3]);
}

static PyMethodDef functions[] = {
    {"open_record", (PyCFunction)(void (*)(void))open_record, METH_FASTCALL,
     open_record_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_open_record(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
