#include "binding/type_start_response.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/fields.h"
#include "binding/convert.h"
#include "binding/hold.h"
#include "binding/type_audit_log.h"
#include "binding/type_cors_rules.h"
#include "binding/type_decision.h"
#include "binding/type_identity.h"
#include "binding/type_request_record.h"

#include "http/response.h"

/* The environ that the application saw: that of its Request, where there is
 * one. Borrowed. */
static PyObject *
environ_of(const fta_start_response *self)
{
    return self->environ != NULL ? self->environ : self->outer;
}

/* A new reference, or NULL: where the key is missing, or with an exception
 * set. */
static PyObject *
from_environ(const fta_state *state, PyObject *environ, int which)
{
    return fta_held_item(environ,
                         PyTuple_GET_ITEM(state->environ_names, which));
}

/* The code of a status, as the application wrote it. */
static int
status_code_of(PyObject *status)
{
    char head[3] = {0};
    if (PyUnicode_Check(status) && PyUnicode_GET_LENGTH(status) >= 3) {
        for (Py_ssize_t i = 0; i < 3; i++) {
            Py_UCS4 c = PyUnicode_READ_CHAR(status, i);
            head[i] = c < 128 ? (char)c : '?';
        }
    }
    return fta_status_code((fta_text){head, sizeof head});
}

/* --- In environ -----------------------------------------------------------
 */

int
fta_start_response_leave(fta_start_response *self)
{
    PyObject *key = ((fta_middleware *)self->middleware)->key;
    PyObject *there = fta_held_item(self->outer, key);
    int left = 0;
    if (there == NULL && PyErr_Occurred()) {
        return -1;
    }
    if (self->previous != NULL &&
        (there == NULL || there == (PyObject *)self)) {
        left = PyDict_SetItem(self->outer, key, self->previous);
    } else if (there == (PyObject *)self) {
        left = PyDict_DelItem(self->outer, key);
    }
    Py_CLEAR(self->previous);
    Py_XDECREF(there);
    return left;
}

/* --- Sending --------------------------------------------------------------
 */

/* The values of environ are held from here on: looking one up may take away the
 * others. What is read last, with nothing in between, is held by
 * fta_audit_log_write_line while it lets other threads run. */
static int
write_audit_line(const fta_state *state, const fta_start_response *self,
                 int number)
{
    const fta_middleware *middleware = (const fta_middleware *)self->middleware;
    PyObject *environ = Py_NewRef(environ_of(self));
    PyObject *held[] = {NULL, NULL, NULL, NULL};
    static const int names[] = {FTA_ENVIRON_METHOD, FTA_ENVIRON_PATH,
                                FTA_ENVIRON_ADDRESS, FTA_ENVIRON_USER_AGENT};
    enum { COUNT = sizeof names / sizeof *names };
    PyObject *identity = NULL, *reason = NULL, *event = NULL, *logged = NULL;
    int written = -1;

    for (int i = 0; i < COUNT; i++) {
        held[i] = from_environ(state, environ, names[i]);
        if (held[i] == NULL && PyErr_Occurred()) {
            goto done;
        }
    }
    if (Py_IsNone(middleware->audit_log)) {
        written = 0; /* The middleware was cleared meanwhile. */
        goto done;
    }
    const fta_request_record *record =
        fta_request_record_of(state, self->record);
    if (record != NULL) {
        identity =
            Py_IsNone(record->identity) ? record->subject : record->identity;
        reason = number >= 400 ? record->reason : Py_None;
    }
    const fta_audit_request request = {
        .method = held[0],
        .endpoint = held[1],
        .address = held[2],
        .user_agent = held[3],
        .identity = identity,
        .reason = reason,
        .status = number,
    };
    event = fta_audit_log_write_line(state, middleware->audit_log, &request);
    if (event == NULL) {
        goto done;
    }
    logged = Py_IsNone(event) ? Py_NewRef(event)
                              : PyObject_CallOneArg(middleware->log, event);
    written = logged == NULL ? -1 : 0;
done:
    Py_XDECREF(logged);
    Py_XDECREF(event);
    for (int i = 0; i < COUNT; i++) {
        Py_XDECREF(held[i]);
    }
    Py_DECREF(environ);
    return written;
}

/* args: status, headers and perhaps exc_info, as the server takes them. */
static PyObject *
send_answer(const fta_state *state, fta_start_response *self,
            PyObject *const *args, Py_ssize_t count)
{
    if (!Py_IsNone(((fta_middleware *)self->middleware)->audit_log) &&
        write_audit_line(state, self, status_code_of(args[0])) < 0) {
        return NULL;
    }
    self->sent = 1;
    return PyObject_Vectorcall(self->start, args, (size_t)count, NULL);
}

/* --- An ordinary answer ---------------------------------------------------
 */

/* What CORS adds to an ordinary answer, a new reference; NULL for any other
 * answer, or with an exception set. */
static PyObject *
cors_fields(const fta_state *state, const fta_start_response *self)
{
    PyObject *rules =
        Py_NewRef(((const fta_middleware *)self->middleware)->cors);
    PyObject *environ = Py_NewRef(environ_of(self));
    PyObject *fields = NULL, *path = NULL, *origin = NULL;
    PyObject *method = from_environ(state, environ, FTA_ENVIRON_METHOD);
    if (Py_IsNone(rules) || method == NULL ||
        !fta_response_is_ordinary(self->code, fta_latin1_view(method))) {
        goto done;
    }
    path = from_environ(state, environ, FTA_ENVIRON_PATH);
    if (path == NULL && PyErr_Occurred()) {
        goto done;
    }
    origin = from_environ(state, environ, FTA_ENVIRON_ORIGIN);
    if (origin != NULL || !PyErr_Occurred()) {
        fields = fta_cors_fields(state, rules, path, origin);
    }
done:
    Py_XDECREF(origin);
    Py_XDECREF(path);
    Py_XDECREF(method);
    Py_DECREF(environ);
    Py_DECREF(rules);
    return fields;
}

/* A new list: the answer's fields and ours. NULL, without an exception, where
 * one has to give way to the other, or for any reason it takes Python.
 * decision is a Decision or None. */
static PyObject *
ordinary_fields(fta_state *state, const fta_start_response *self,
                PyObject *decision, PyObject *headers)
{
    const fta_middleware *middleware = (const fta_middleware *)self->middleware;
    PyObject *more = NULL, *both = NULL;
    PyObject *cors = cors_fields(state, self);
    if (cors != NULL && PyList_CheckExact(cors) &&
        fta_fields_overlap(headers, cors) == 0) {
        more = middleware->limit_fields ? fta_decision_fields(state, decision)
                                        : Py_NewRef(state->no_fields);
        if (more != NULL && fta_fields_overlap(headers, more) == 0) {
            both = fta_fields_joined(headers, cors, more);
        }
    }
    Py_XDECREF(more);
    Py_XDECREF(cors);
    return both;
}

/* Sends an ordinary answer. NULL, without an exception, where it is none. */
static PyObject *
send_ordinary(fta_state *state, fta_start_response *self, PyObject *status,
              PyObject *headers)
{
    const fta_request_record *record =
        fta_request_record_of(state, self->record);
    PyObject *decision = Py_NewRef(record == NULL ? Py_None : record->decision);
    PyObject *fields = NULL, *write = NULL;
    if (fta_decision_is_plain(state, decision)) {
        fields = ordinary_fields(state, self, decision, headers);
    }
    if (fields != NULL) {
        PyObject *const sent[] = {status, fields};
        write = send_answer(state, self, sent, 2);
        Py_DECREF(fields);
    }
    Py_DECREF(decision);
    return write;
}

static PyObject *
start_response_call(PyObject *object, PyObject *const *args, size_t nargsf,
                    PyObject *keywords)
{
    fta_start_response *self = (fta_start_response *)object;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (count < 2 || count > 3 || keywords != NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "start_response takes status, headers and perhaps "
                        "exc_info");
        return NULL;
    }
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    self->begun = 1;
    Py_CLEAR(self->replacement);
    self->code = status_code_of(args[0]);
    if (count == 2 && PyList_CheckExact(args[1])) {
        PyObject *write = send_ordinary(state, self, args[0], args[1]);
        if (write != NULL || PyErr_Occurred()) {
            return write;
        }
    }
    PyObject *exc_info = count == 3 ? args[2] : Py_None;
    return PyObject_CallFunctionObjArgs(
        ((fta_middleware *)self->middleware)->answer, object, args[0], args[1],
        exc_info, NULL);
}

PyDoc_STRVAR(send_doc,
             "send($self, status, headers, exc_info=None, /)\n--\n\n"
             "Write the audit line and hand a complete answer to the server.");

static PyObject *
start_response_send(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError,
                        "send takes status, headers and perhaps exc_info");
        return NULL;
    }
    if (count == 3 && Py_IsNone(args[2])) {
        count = 2;
    }
    return send_answer(PyType_GetModuleState(Py_TYPE(object)),
                       (fta_start_response *)object, args, count);
}

PyDoc_STRVAR(leave_doc,
             "leave($self, /)\n--\n\n"
             "Leave environ, when the answer is over: the two would keep each\n"
             "other alive.");

static PyObject *
start_response_leave(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    if (fta_start_response_leave((fta_start_response *)object) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* --- The object -----------------------------------------------------------
 */

static int
start_response_traverse(PyObject *object, visitproc visit, void *arg)
{
    fta_start_response *self = (fta_start_response *)object;
    Py_VISIT(Py_TYPE(object));
#define X(name) Py_VISIT(self->name);
    FTA_START_RESPONSE_LIST(X)
#undef X
    return 0;
}

/* Cycles lead through environ, a dict, which breaks them itself. So middleware,
 * start and outer are never NULL, whatever calls a method while things end. */
static int
start_response_clear(PyObject *object)
{
    fta_start_response *self = (fta_start_response *)object;
    Py_CLEAR(self->environ);
    Py_CLEAR(self->previous);
    Py_CLEAR(self->record);
    Py_CLEAR(self->replacement);
    return 0;
}

static void
start_response_dealloc(PyObject *object)
{
    fta_start_response *self = (fta_start_response *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
#define X(name) Py_CLEAR(self->name);
    FTA_START_RESPONSE_LIST(X)
#undef X
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject *
fta_start_response_new(fta_state *state, fta_middleware *middleware,
                       PyObject *environ, PyObject *start)
{
    PyTypeObject *type = state->start_response_type;
    PyObject *previous = fta_held_item(environ, middleware->key);
    fta_start_response *self =
        PyErr_Occurred() ? NULL : (fta_start_response *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(previous);
        return NULL;
    }
    self->call = start_response_call;
    self->middleware = Py_NewRef((PyObject *)middleware);
    self->start = Py_NewRef(start);
    self->outer = Py_NewRef(environ);
    self->previous = previous;
    if (PyDict_SetItem(environ, middleware->key, (PyObject *)self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *
get_environ(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_NewRef(environ_of((fta_start_response *)object));
}

static PyObject *
get_record(PyObject *object, void *Py_UNUSED(closure))
{
    fta_start_response *self = (fta_start_response *)object;
    if (self->record == NULL) {
        PyObject *record =
            fta_request_record_new(PyType_GetModuleState(Py_TYPE(object)),
                                   ((fta_middleware *)self->middleware)->state);
        if (record == NULL) {
            return NULL;
        }
        Py_XSETREF(self->record, record);
    }
    return Py_NewRef(self->record);
}

static PyGetSetDef start_response_getset[] = {
    {"environ", get_environ, NULL,
     "The request as WSGI has it: as its Request object does, if there is one.",
     NULL},
    {"record", get_record, NULL,
     "What is known of the request: of its Request object, if there is one.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef start_response_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fta_start_response, call),
     READONLY, NULL},
    {"replacement", T_OBJECT, offsetof(fta_start_response, replacement), 0,
     "The response that goes out in place of the app's."},
    {"replaced", T_BOOL, offsetof(fta_start_response, replaced), 0,
     "Whether a replacement is being sent."},
    {"code", T_INT, offsetof(fta_start_response, code), READONLY,
     "The status code that the application has called it with last, or 0."},
    {"begun", T_BOOL, offsetof(fta_start_response, begun), READONLY,
     "Whether the application has called it."},
    {"sent", T_BOOL, offsetof(fta_start_response, sent), READONLY,
     "Whether the server's start_response was called."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef start_response_methods[] = {
    {"send", (PyCFunction)(void (*)(void))start_response_send, METH_FASTCALL,
     send_doc},
    {"leave", start_response_leave, METH_NOARGS, leave_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    start_response_doc,
    "What a Middleware gives the application inside as start_response,\n"
    "for one request.");

static PyType_Slot start_response_slots[] = {
    {Py_tp_doc, (void *)start_response_doc},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_traverse, (void *)start_response_traverse},
    {Py_tp_clear, (void *)start_response_clear},
    {Py_tp_dealloc, (void *)start_response_dealloc},
    {Py_tp_members, (void *)start_response_members},
    {Py_tp_getset, (void *)start_response_getset},
    {Py_tp_methods, (void *)start_response_methods},
    {0, NULL},
};

PyType_Spec fta_start_response_spec = {
    .name = "flask_tenant_auth._core.StartResponse",
    .basicsize = sizeof(fta_start_response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = start_response_slots,
};

int
fta_add_start_response(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->environ_names =
        Py_BuildValue("(ssssss)", "REQUEST_METHOD", "PATH_INFO", "HTTP_ORIGIN",
                      "REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_AUTHORIZATION");
    state->no_fields = PyList_New(0);
    return state->environ_names == NULL || state->no_fields == NULL ? -1 : 0;
}
