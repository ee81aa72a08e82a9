#include "type_visit.h"

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

#include "fields.h"
#include "type_audit_log.h"
#include "type_decision.h"
#include "type_identity.h"

static PyObject *
from_environ(const fta_state *state, const fta_visit *self, int which)
{
    return PyDict_GetItemWithError(
        self->environ, PyTuple_GET_ITEM(state->environ_names, which));
}

static int
status_number(PyObject *status)
{
    int number = 0;
    if (!PyUnicode_Check(status) || PyUnicode_GET_LENGTH(status) < 3) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < 3; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(status, i);
        if (c < '0' || c > '9') {
            return 0;
        }
        number = number * 10 + (int)(c - '0');
    }
    return number;
}

/* --- Sending ------------------------------------------------------------- */

static int
write_audit_line(const fta_state *state, const fta_visit *self, int number)
{
    const fta_edge *edge = (const fta_edge *)self->edge;
    fta_audit_request request = {
        .method = from_environ(state, self, FTA_ENVIRON_METHOD),
        .endpoint = from_environ(state, self, FTA_ENVIRON_PATH),
        .address = from_environ(state, self, FTA_ENVIRON_ADDRESS),
        .user_agent = from_environ(state, self, FTA_ENVIRON_USER_AGENT),
        .identity = self->identity,
        .reason = self->reason,
        .status = number,
    };
    if (PyErr_Occurred()) {
        return -1;
    }
    PyObject *news = fta_audit_log_tell(state, edge->audit_log, &request);
    if (news == NULL) {
        return -1;
    }
    PyObject *told = Py_IsNone(news) ? Py_NewRef(news)
                                     : PyObject_CallOneArg(edge->tell, news);
    Py_DECREF(news);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

/* args: status, headers and perhaps exc_info, as the server takes them. */
static PyObject *
send_answer(const fta_state *state, fta_visit *self, PyObject *const *args,
            Py_ssize_t count)
{
    if (!Py_IsNone(((fta_edge *)self->edge)->audit_log) &&
        write_audit_line(state, self, status_number(args[0])) < 0) {
        return NULL;
    }
    return PyObject_Vectorcall(self->start, args, (size_t)count, NULL);
}

/* --- An ordinary answer --------------------------------------------------- */

static bool
is_covered(const fta_edge *edge, PyObject *path, int *error)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(edge->subtrees); i++) {
        Py_ssize_t match = PyUnicode_Tailmatch(
            path, PyTuple_GET_ITEM(edge->subtrees, i), 0, PY_SSIZE_T_MAX, -1);
        if (match != 0) {
            *error = match < 0;
            return true;
        }
    }
    int found = PySet_Contains(edge->paths, path);
    *error = found < 0;
    return found != 0;
}

/* What CORS adds to the answer of an ordinary request, Borrowed; NULL for
 * any other request, or with an exception set. */
static PyObject *
cors_fields(const fta_state *state, const fta_visit *self)
{
    const fta_edge *edge = (const fta_edge *)self->edge;
    int error = 0;
    PyObject *method = from_environ(state, self, FTA_ENVIRON_METHOD);
    PyObject *path = from_environ(state, self, FTA_ENVIRON_PATH);
    if (method == NULL || path == NULL || !PyUnicode_Check(method) ||
        !PyUnicode_Check(path) || Py_IsNone(edge->to_origin) ||
        PyUnicode_GET_LENGTH(path) == 0 ||
        PyUnicode_READ_CHAR(path, 0) != '/' ||
        (PyUnicode_GET_LENGTH(path) > 1 &&
         PyUnicode_READ_CHAR(path, 1) == '/') ||
        PyUnicode_CompareWithASCIIString(method, "OPTIONS") == 0) {
        return NULL;
    }
    if (!is_covered(edge, path, &error)) {
        return error ? NULL : state->no_fields;
    }
    PyObject *origin = from_environ(state, self, FTA_ENVIRON_ORIGIN);
    if (error || (origin == NULL && PyErr_Occurred())) {
        return NULL;
    }
    PyObject *fields = origin == NULL
                           ? NULL
                           : PyDict_GetItemWithError(edge->to_origin, origin);
    if (fields == NULL) {
        fields = PyErr_Occurred() ? NULL : edge->to_others;
    }
    return fields;
}

/* A new list: the answer's fields and ours. NULL, without an exception, where
 * one has to give way to the other, or for any reason it takes Python. */
static PyObject *
ordinary_fields(fta_state *state, const fta_visit *self, PyObject *headers)
{
    PyObject *more = NULL, *both = NULL;
    PyObject *cors = cors_fields(state, self);
    if (cors == NULL || !PyList_CheckExact(cors) ||
        fta_fields_overlap(headers, cors) != 0) {
        return NULL;
    }
    more = ((fta_edge *)self->edge)->limit_fields
               ? fta_decision_fields(state, self->decision)
               : Py_NewRef(state->no_fields);
    if (more != NULL && fta_fields_overlap(headers, more) == 0) {
        both = fta_fields_joined(headers, cors, more);
    }
    Py_XDECREF(more);
    return both;
}

static PyObject *
visit_call(PyObject *object, PyObject *const *args, size_t nargsf,
           PyObject *keywords)
{
    fta_visit *self = (fta_visit *)object;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (self->edge == NULL || count < 2 || count > 3 || keywords != NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "start_response takes status, headers and perhaps "
                        "exc_info");
        return NULL;
    }
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (count == 2 && PyList_CheckExact(args[1]) &&
        status_number(args[0]) != 401 &&
        fta_decision_is_plain(state, self->decision)) {
        PyObject *fields = ordinary_fields(state, self, args[1]);
        if (fields != NULL) {
            PyObject *const sent[] = {args[0], fields};
            PyObject *write = send_answer(state, self, sent, 2);
            Py_DECREF(fields);
            return write;
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    PyObject *exc_info = count == 3 ? args[2] : Py_None;
    return PyObject_CallFunctionObjArgs(((fta_edge *)self->edge)->answer,
                                        object, args[0], args[1], exc_info,
                                        NULL);
}

PyDoc_STRVAR(visit_send_doc,
             "send($self, status, headers, exc_info=None, /)\n--\n\n"
             "Write the audit line and hand a complete answer to the server.");

static PyObject *
visit_send(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    fta_visit *self = (fta_visit *)object;
    if (self->edge == NULL || count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError,
                        "send takes status, headers and perhaps exc_info");
        return NULL;
    }
    if (count == 3 && Py_IsNone(args[2])) {
        count = 2;
    }
    return send_answer(PyType_GetModuleState(Py_TYPE(object)), self, args,
                       count);
}

/* --- Counting ------------------------------------------------------------- */

/* The identity of a good token, a new reference; else NULL, with no exception
 * set. What is the matter then is for Python to find out. */
static PyObject *
good_token(const fta_state *state, fta_visit *self, PyObject *keyring)
{
    PyObject *known = self->outcome;
    if (known != NULL && !Py_IsNone(known)) {
        return fta_identity_of(state, known) == NULL ? NULL : Py_NewRef(known);
    }
    PyObject *header = from_environ(state, self, FTA_ENVIRON_AUTHORIZATION);
    PyObject *judged = NULL;
    if (header != NULL) {
        PyObject *const args[] = {keyring, header};
        judged =
            PyObject_VectorcallMethod(state->authenticate_name, args, 2, NULL);
    }
    if (judged == NULL) {
        PyErr_Clear();
    } else if (fta_identity_of(state, judged) == NULL) {
        Py_XSETREF(self->judged, judged);
        judged = NULL;
    }
    return judged;
}

PyDoc_STRVAR(
    visit_count_doc,
    "count($self, keyring, limiter, limits, address, /)\n--\n\n"
    "Judge the credentials and count against all limits, in one step,\n"
    "when they are a good token. None, and nothing counted, for all\n"
    "others.");

static PyObject *
visit_count(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    fta_visit *self = (fta_visit *)object;
    const fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    if (count != 4 || !Py_IS_TYPE(args[0], state->keyring_type) ||
        !Py_IS_TYPE(args[1], state->limiter_type) ||
        !PyTuple_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "count takes a Keyring, a Limiter, a "
                                         "tuple of Limit and an address");
        return NULL;
    }
    PyObject *identity =
        self->environ == NULL ? NULL : good_token(state, self, args[0]);
    if (identity == NULL) {
        Py_RETURN_NONE;
    }
    Py_XSETREF(self->outcome, identity);
    PyObject *const hit[] = {args[1], args[2], identity, args[3]};
    PyObject *decision =
        PyObject_VectorcallMethod(state->hit_name, hit, 4, NULL);
    if (decision != NULL) {
        Py_XSETREF(self->decision, Py_NewRef(decision));
        Py_XSETREF(self->limits, Py_NewRef(args[2]));
    }
    return decision;
}

/* --- The object ------------------------------------------------------------
 */

static int
visit_traverse(PyObject *object, visitproc visit, void *arg)
{
    fta_visit *self = (fta_visit *)object;
    Py_VISIT(Py_TYPE(object));
#define X(name) Py_VISIT(self->name);
    FTA_VISIT_LIST(X)
#undef X
    return 0;
}

static int
visit_clear(PyObject *object)
{
    fta_visit *self = (fta_visit *)object;
#define X(name) Py_CLEAR(self->name);
    FTA_VISIT_LIST(X)
#undef X
    return 0;
}

static void
visit_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)visit_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static fta_visit *
make(fta_state *state, PyObject *of_app)
{
    PyTypeObject *type = state->visit_type;
    fta_visit *self = (fta_visit *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->call = visit_call;
        self->state = Py_NewRef(of_app);
        self->counted = Py_NewRef(state->nothing);
        self->limits = Py_NewRef(state->nothing);
    }
    return self;
}

PyObject *
fta_visit_begin(fta_state *state, fta_edge *edge, PyObject *environ,
                PyObject *start)
{
    fta_visit *self = make(state, edge->state);
    if (self != NULL) {
        self->edge = Py_NewRef((PyObject *)edge);
        self->environ = Py_NewRef(environ);
        self->start = Py_NewRef(start);
    }
    return (PyObject *)self;
}

static PyObject *
visit_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"state", NULL};
    PyObject *of_app;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Visit", keywords,
                                     &of_app)) {
        return NULL;
    }
    return (PyObject *)make(PyType_GetModuleState(type), of_app);
}

#define MEMBER(name, flags, doc)                                               \
    {#name, T_OBJECT, offsetof(fta_visit, name), flags, doc}

static PyMemberDef visit_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fta_visit, call), READONLY,
     NULL},
    MEMBER(state, READONLY, "What the app has made of its configuration."),
    MEMBER(outcome, 0, "What the credentials came to; None: not looked at."),
    MEMBER(judged, READONLY, "The Rejection of its token, if count saw one."),
    MEMBER(identity, 0, "Who the request is, once a decorator has bound it."),
    MEMBER(counted, 0, "The rules that were counted."),
    MEMBER(limits, 0, "The limits that the decision is about."),
    MEMBER(decision, 0, "What the limiter said."),
    MEMBER(reason, 0, "Why the request was refused, in one stable word."),
    MEMBER(instead, 0, "The answer that goes out in place of the app's."),
    MEMBER(environ, READONLY, "The request as WSGI has it."),
    {"failure_counted", T_BOOL, offsetof(fta_visit, failure_counted), 0,
     "Whether the failure limit has counted it."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef visit_methods[] = {
    {"count", (PyCFunction)(void (*)(void))visit_count, METH_FASTCALL,
     visit_count_doc},
    {"send", (PyCFunction)(void (*)(void))visit_send, METH_FASTCALL,
     visit_send_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(visit_doc,
             "Visit(state)\n--\n\n"
             "What is known of one request so far. Made by an Edge,\n"
             "it is also the start_response of the app inside.");

static PyType_Slot visit_slots[] = {
    {Py_tp_doc, (void *)visit_doc},
    {Py_tp_new, (void *)visit_new},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_traverse, (void *)visit_traverse},
    {Py_tp_clear, (void *)visit_clear},
    {Py_tp_dealloc, (void *)visit_dealloc},
    {Py_tp_members, (void *)visit_members},
    {Py_tp_methods, (void *)visit_methods},
    {0, NULL},
};

static PyType_Spec visit_spec = {
    .name = "flask_tenant_auth._core.Visit",
    .basicsize = sizeof(fta_visit),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = visit_slots,
};

int
fta_add_visit(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->visit_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &visit_spec, NULL);
    state->environ_names =
        Py_BuildValue("(ssssss)", "REQUEST_METHOD", "PATH_INFO", "HTTP_ORIGIN",
                      "REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_AUTHORIZATION");
    state->authenticate_name = PyUnicode_InternFromString("authenticate");
    state->hit_name = PyUnicode_InternFromString("hit");
    state->no_fields = PyList_New(0);
    state->nothing = PyTuple_New(0);
    if (state->visit_type == NULL || state->environ_names == NULL ||
        state->no_fields == NULL || state->nothing == NULL ||
        state->authenticate_name == NULL || state->hit_name == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->visit_type);
}
