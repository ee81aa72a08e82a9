#include "binding/type_start_response.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/environ.h"
#include "binding/response_fields.h"
#include "binding/type_audit_log.h"
#include "binding/type_metrics.h"
#include "binding/type_request_record.h"

#include "http/response.h"

/* The environ that the application saw: that of its Request, where there is
 * one. A new reference. */
static PyObject *
environ_of(fta_start_response *self)
{
    PyObject *taken = fta_member_get((PyObject *)self, &self->wsgi_environ);
    return taken != NULL ? taken : Py_NewRef(self->outer);
}

/* Its record, a new reference; NULL: it has none. */
static PyObject *
record_of(fta_start_response *self)
{
    return fta_member_get((PyObject *)self, &self->record);
}

/* Whose request it is, a new reference, None or NULL. */
static PyObject *
identity_in(const fta_request_record *record, PyObject *object)
{
    return fta_member_get(object, fta_member_is_none(object, &record->identity)
                                      ? &record->subject
                                      : &record->identity);
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
    if (there == NULL && PyErr_Occurred()) {
        return -1;
    }
    PyObject *previous = fta_member_get((PyObject *)self, &self->previous);
    bool is_there = there == (PyObject *)self;
    int left = 0;
    if (previous != NULL && (there == NULL || is_there)) {
        left = PyDict_SetItem(self->outer, key, previous);
    } else if (is_there) {
        left = fta_delete_item(self->outer, key) < 0 ? -1 : 0;
    }
    fta_member_set((PyObject *)self, &self->previous, NULL);
    Py_XDECREF(previous);
    Py_XDECREF(there);
    return left;
}

/* --- Sending --------------------------------------------------------------
 */

/* All that is read is held: looking up one value of environ may take away the
 * others, and other threads run while the line is written. */
static int
write_audit_line(const fta_state *state, fta_start_response *self, int number)
{
    const fta_middleware *middleware = (const fta_middleware *)self->middleware;
    PyObject *wsgi_environ = environ_of(self), *of_request = NULL;
    PyObject *held[] = {NULL, NULL, NULL, NULL};
    static const fta_environ_key names[] = {
        FTA_ENVIRON_METHOD, FTA_ENVIRON_PATH, FTA_ENVIRON_ADDRESS,
        FTA_ENVIRON_USER_AGENT};
    enum { COUNT = sizeof names / sizeof *names };
    PyObject *identity = NULL, *reason = NULL, *event = NULL, *logged = NULL;
    int written = -1;
    bool is_lost = false;

    for (int i = 0; i < COUNT; i++) {
        held[i] = fta_environ_item(state, wsgi_environ, names[i]);
        if (held[i] == NULL && PyErr_Occurred()) {
            goto done;
        }
    }
    of_request = record_of(self);
    const fta_request_record *record = fta_request_record_of(state, of_request);
    if (record != NULL) {
        identity = identity_in(record, of_request);
        reason =
            number >= 400 ? fta_member_get(of_request, &record->reason) : NULL;
    }
    const fta_audit_request request = {
        .method = held[0],
        .endpoint = held[1],
        .address = held[2],
        .user_agent = held[3],
        .identity = identity,
        .reason = reason,
        .status = number,
        .is_lost = &is_lost,
    };
    event = fta_audit_log_write_line(state, middleware->audit_log, &request);
    if (event == NULL) {
        goto done;
    }
    if (is_lost && !Py_IsNone(middleware->metrics)) {
        fta_metrics_add(fta_metrics_of(middleware->metrics),
                        FTA_METRIC_OF_AUDIT_LOST, 0, 1);
    }
    logged = Py_IsNone(event) ? Py_NewRef(event)
                              : PyObject_CallOneArg(middleware->log, event);
    written = logged == NULL ? -1 : 0;
done:
    Py_XDECREF(logged);
    Py_XDECREF(event);
    Py_XDECREF(reason);
    Py_XDECREF(identity);
    Py_XDECREF(of_request);
    for (int i = 0; i < COUNT; i++) {
        Py_XDECREF(held[i]);
    }
    Py_DECREF(wsgi_environ);
    return written;
}

/* Counts the request, once: a second answer replaces one that was not sent. */
static void
count_answer(const fta_state *state, fta_start_response *self, int number)
{
    PyObject *metrics = ((fta_middleware *)self->middleware)->metrics;
    if (Py_IsNone(metrics) || self->sent) {
        return;
    }
    PyObject *of_request = record_of(self), *reason = NULL, *identity = NULL;
    const fta_request_record *record = fta_request_record_of(state, of_request);
    if (record != NULL) {
        identity = identity_in(record, of_request);
        reason = fta_member_get(of_request, &record->reason);
    }
    fta_metrics_count_objects(state, metrics, number, reason, identity);
    Py_XDECREF(identity);
    Py_XDECREF(reason);
    Py_XDECREF(of_request);
}

static PyObject *
complete_headers(const fta_state *state, fta_start_response *self,
                 PyObject *headers)
{
    const fta_middleware *middleware = (const fta_middleware *)self->middleware;
    PyObject *of_request = record_of(self);
    const fta_request_record *record = fta_request_record_of(state, of_request);
    const fta_response_subject subject = {
        .wsgi_environ = environ_of(self),
        .cors = middleware->cors,
        .decision = record == NULL
                        ? NULL
                        : fta_member_get(of_request, &record->decision),
        .limits =
            record == NULL ? NULL : fta_member_get(of_request, &record->limits),
        .limit_fields = middleware->limit_fields,
        .ietf_fields = middleware->ietf_fields,
    };
    PyObject *completed = fta_complete_headers(state, &subject, headers);
    Py_XDECREF(subject.limits);
    Py_XDECREF(subject.decision);
    Py_DECREF(subject.wsgi_environ);
    Py_XDECREF(of_request);
    return completed;
}

/* args: status, headers and perhaps exc_info, as the server takes them. */
static PyObject *
send_response(const fta_state *state, fta_start_response *self,
              PyObject *const *args, Py_ssize_t count)
{
    PyObject *headers = complete_headers(state, self, args[1]), *write = NULL;
    if (headers == NULL) {
        return NULL;
    }
    count_answer(state, self, status_code_of(args[0]));
    if (Py_IsNone(((fta_middleware *)self->middleware)->audit_log) ||
        write_audit_line(state, self, status_code_of(args[0])) == 0) {
        PyObject *const sent[] = {args[0], headers, count > 2 ? args[2] : NULL};
        self->sent = true;
        write = PyObject_Vectorcall(self->start, sent, (size_t)count, NULL);
    }
    Py_DECREF(headers);
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
    self->begun = true;
    fta_member_set(object, &self->replacement, NULL);
    if (!fta_response_is_failure(
            status_code_of(args[0]),
            (fta_response_progress){self->sent, self->replaced})) {
        return send_response(PyType_GetModuleState(Py_TYPE(object)), self, args,
                             count);
    }
    PyObject *exc_info = count == 3 ? args[2] : Py_None;
    return PyObject_CallFunctionObjArgs(
        ((fta_middleware *)self->middleware)->failure, object, args[0], args[1],
        exc_info, NULL);
}

PyDoc_STRVAR(
    send_doc,
    "send($self, status, headers, exc_info=None, /)\n--\n\n"
    "Complete the header fields of a response, write the audit line and\n"
    "hand it to the server.");

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
    return send_response(PyType_GetModuleState(Py_TYPE(object)),
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
    FTA_START_RESPONSE_FIXED_LIST(X)
#undef X
#define X(name) FTA_MEMBER_VISIT(self->name);
    FTA_START_RESPONSE_LIST(X)
#undef X
    return 0;
}

/* Cycles through what never changes lead through environ, a dict, which breaks
 * them itself. So middleware, start and outer are never NULL, whatever calls a
 * method while things end. */
static int
start_response_clear(PyObject *object)
{
    fta_start_response *self = (fta_start_response *)object;
#define X(name) fta_member_set(object, &self->name, NULL);
    FTA_START_RESPONSE_LIST(X)
#undef X
    return 0;
}

static void
start_response_dealloc(PyObject *object)
{
    fta_start_response *self = (fta_start_response *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
#define X(name) Py_CLEAR(self->name);
    FTA_START_RESPONSE_FIXED_LIST(X)
#undef X
#define X(name) fta_member_clear(&self->name);
    FTA_START_RESPONSE_LIST(X)
#undef X
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject *
fta_start_response_new(fta_state *state, fta_middleware *middleware,
                       PyObject *wsgi_environ, PyObject *start)
{
    PyTypeObject *type = state->start_response_type;
    PyObject *previous = fta_held_item(wsgi_environ, middleware->key);
    fta_start_response *self =
        PyErr_Occurred() ? NULL : (fta_start_response *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(previous);
        return NULL;
    }
    self->call = start_response_call;
    self->middleware = Py_NewRef((PyObject *)middleware);
    self->start = Py_NewRef(start);
    self->outer = Py_NewRef(wsgi_environ);
    fta_member_init(&self->previous, previous);
    if (PyDict_SetItem(wsgi_environ, middleware->key, (PyObject *)self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *
get_environ(PyObject *object, void *Py_UNUSED(closure))
{
    return environ_of((fta_start_response *)object);
}

static PyObject *
get_record(PyObject *object, void *Py_UNUSED(closure))
{
    fta_start_response *self = (fta_start_response *)object;
    PyObject *record = record_of(self);
    if (record != NULL) {
        return record;
    }
    record =
        fta_request_record_new(PyType_GetModuleState(Py_TYPE(object)),
                               ((fta_middleware *)self->middleware)->state);
    return fta_member_settle(object, &self->record, record);
}

static PyGetSetDef start_response_getset[] = {
    {"environ", get_environ, NULL,
     "The request as WSGI has it: as its Request object does, if there is one.",
     NULL},
    {"record", get_record, NULL,
     "What is known of the request: of its Request object, if there is one.",
     NULL},
    {"replacement", fta_member_attribute_get, fta_member_attribute_set,
     "The response that is sent in place of the app's.",
     FTA_AT(fta_start_response, replacement)},
    {"replaced", fta_flag_attribute_get, fta_flag_attribute_set,
     "Whether a replacement is being sent.",
     FTA_AT(fta_start_response, replaced)},
    {"begun", fta_flag_attribute_get, NULL,
     "Whether the application has called it.",
     FTA_AT(fta_start_response, begun)},
    {"sent", fta_flag_attribute_get, NULL,
     "Whether the server's start_response was called.",
     FTA_AT(fta_start_response, sent)},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef start_response_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fta_start_response, call),
     READONLY, NULL},
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
