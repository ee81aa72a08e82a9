#include "binding/type_middleware.h"

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

#include "binding/keywords.h"
#include "binding/type_audit_log.h"
#include "binding/type_metrics.h"
#include "binding/type_start_response.h"

/* Every owned reference of a middleware, once. None of them changes, so it has
 * no tp_clear: as with a tuple, a cycle through it leads through something that
 * was changed later, which breaks the cycle. */
#define MIDDLEWARE_LIST(X)                                                     \
    X(inner)                                                                   \
    X(state)                                                                   \
    X(failure)                                                                 \
    X(replace)                                                                 \
    X(late_body)                                                               \
    X(audit_log)                                                               \
    X(log)                                                                     \
    X(metrics)                                                                 \
    X(key)                                                                     \
    X(cors)

static int
middleware_traverse(PyObject *object, visitproc visit, void *arg)
{
    fta_middleware *self = (fta_middleware *)object;
    Py_VISIT(Py_TYPE(object));
#define X(name) Py_VISIT(self->name);
    MIDDLEWARE_LIST(X)
#undef X
    return 0;
}

static void
middleware_dealloc(PyObject *object)
{
    fta_middleware *self = (fta_middleware *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
#define X(name) Py_CLEAR(self->name);
    MIDDLEWARE_LIST(X)
#undef X
    type->tp_free(object);
    Py_DECREF(type);
}

/* Closes a body that the server does not get, as a server does (PEP 3333).
 * Keeps the exception that is set. */
static void
close_body(PyObject *body)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *close = PyObject_GetAttrString(body, "close");
    PyObject *closed = close == NULL ? NULL : PyObject_CallNoArgs(close);
    if (closed == NULL && close != NULL) {
        PyErr_WriteUnraisable(close);
    } else if (closed == NULL) {
        PyErr_Clear(); /* It has none. */
    }
    Py_XDECREF(closed);
    Py_XDECREF(close);
    PyErr_Restore(type, value, traceback);
}

/* The body for the server, in place of the one that the application returned,
 * whose reference is taken over. An application that has not called
 * start_response yet, a generator, calls it when its body is read. */
static PyObject *
body_of(fta_middleware *self, fta_start_response *start, PyObject *body)
{
    PyObject *callable = NULL;
    if (!start->begun) {
        callable = self->late_body;
    } else if (!fta_member_is_none((PyObject *)start, &start->replacement)) {
        callable = self->replace;
    }
    if (callable == NULL) {
        return body;
    }
    bool closes = callable == self->replace; /* it closes the body itself */
    PyObject *other =
        PyObject_CallFunctionObjArgs(callable, body, (PyObject *)start, NULL);
    if (other == NULL && !closes) {
        close_body(body);
    }
    Py_DECREF(body);
    return other;
}

/* Takes the StartResponse out of environ, and keeps the exception that is
 * set. */
static void
leave_after_error(fta_start_response *start)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (fta_start_response_leave(start) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, value, traceback);
}

static PyObject *
middleware_call(PyObject *object, PyObject *const *args, size_t nargsf,
                PyObject *keywords)
{
    fta_middleware *self = (fta_middleware *)object;
    if (PyVectorcall_NARGS(nargsf) != 2 || keywords != NULL ||
        !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a WSGI application takes environ, a "
                                         "dict, and start_response");
        return NULL;
    }
    PyObject *start = fta_start_response_new(
        PyType_GetModuleState(Py_TYPE(object)), self, args[0], args[1]);
    if (start == NULL) {
        return NULL;
    }
    PyObject *inner_args[] = {args[0], start};
    PyObject *body = PyObject_Vectorcall(self->inner, inner_args, 2, NULL);
    if (body == NULL) {
        leave_after_error((fta_start_response *)(void *)start);
    } else if (((fta_start_response *)(void *)start)->begun &&
               fta_start_response_leave((fta_start_response *)(void *)start) <
                   0) {
        close_body(body);
        Py_CLEAR(body);
    } else {
        body = body_of(self, (fta_start_response *)(void *)start, body);
    }
    Py_DECREF(start);
    return body;
}

static PyObject *
middleware_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "inner",       "state",   "key",       "failure", "replace",
        "late_body",   "cors",    "audit_log", "log",     "limit_fields",
        "ietf_fields", "metrics", NULL};
    fta_state *state = PyType_GetModuleState(type);
    fta_middleware found = {0};
    PyObject *limit_fields, *ietf_fields;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "$OOUOOOO!OOO!O!O:Middleware", keywords, &found.inner,
            &found.state, &found.key, &found.failure, &found.replace,
            &found.late_body, state->cors_rules_type, &found.cors,
            &found.audit_log, &found.log, &PyBool_Type, &limit_fields,
            &PyBool_Type, &ietf_fields, &found.metrics) ||
        !fta_is_metrics(state, found.metrics, "metrics")) {
        return NULL;
    }
    if (!PyUnicode_CheckExact(found.key) ||
        (!Py_IsNone(found.audit_log) &&
         !Py_IS_TYPE(found.audit_log, state->audit_log_type))) {
        PyErr_SetString(PyExc_TypeError,
                        "key must be str and of no subclass, and audit_log "
                        "AuditLog or None");
        return NULL;
    }
    fta_middleware *self = (fta_middleware *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->call = middleware_call;
#define X(name) self->name = Py_NewRef(found.name);
        MIDDLEWARE_LIST(X)
#undef X
        self->limit_fields = Py_IsTrue(limit_fields);
        self->ietf_fields = Py_IsTrue(ietf_fields);
    }
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, middleware_new)

static PyMemberDef middleware_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fta_middleware, call),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(
    middleware_doc,
    "Middleware(*, inner, state, key, failure, replace, late_body, cors,\n"
    "           audit_log, log, limit_fields, ietf_fields, metrics)\n"
    "--\n\n"
    "A WSGI application around another: it adds header fields to responses\n"
    "and writes the audit log. See middleware.py for what each argument\n"
    "is.");

static PyType_Slot middleware_slots[] = {
    {Py_tp_doc, (void *)middleware_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(middleware_new)},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_traverse, (void *)middleware_traverse},
    {Py_tp_dealloc, (void *)middleware_dealloc},
    {Py_tp_members, (void *)middleware_members},
    {0, NULL},
};

PyType_Spec fta_middleware_spec = {
    .name = "flask_tenant_auth._core.Middleware",
    .basicsize = sizeof(fta_middleware),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = middleware_slots,
};
