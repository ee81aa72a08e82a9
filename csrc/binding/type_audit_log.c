#include "binding/type_audit_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"
#include "binding/type_identity.h"

#include "audit/audit_log.h"
#include "audit/chain_key.h"

typedef struct audit_log {
    PyObject_HEAD
    PyObject *path;     /* Owned */
    fta_audit_log *log; /* Owned */
} audit_log;

/* errno is that of the call that failed. */
static void
raise_for_path(fta_status status, PyObject *path)
{
    switch (status) {
    case FTA_SYSTEM:
        (void)PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        break;
#define X(name, text) case FTA_##name:
        FTA_AUDIT_LIST(X)
#undef X
        (void)PyErr_Format(status == FTA_AUDIT_DESTINATION ||
                                   status == FTA_AUDIT_STREAM ||
                                   status == FTA_AUDIT_HOST
                               ? PyExc_ValueError
                               : PyExc_PermissionError,
                           "%R: %s", path, fta_status_text(status));
        break;
    default:
        (void)fta_raise(status);
    }
}

/* A tuple of bytes, or NULL for none. */
static bool
read_keys(PyObject *tuple, fta_text keys[FTA_AUDIT_KEYS_MAX], size_t *count)
{
    Py_ssize_t size = tuple == NULL ? 0 : PyTuple_GET_SIZE(tuple);
    if (size > FTA_AUDIT_KEYS_MAX) {
        PyErr_Format(PyExc_ValueError, "keys must be at most %d",
                     FTA_AUDIT_KEYS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *key = PyTuple_GET_ITEM(tuple, i);
        if (!PyBytes_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "keys must be a tuple of bytes");
            return false;
        }
        keys[i] =
            (fta_text){PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key)};
    }
    *count = (size_t)size;
    return true;
}

static PyObject *
audit_log_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"path", "keys", NULL};
    PyObject *path, *encoded = NULL, *tuple = NULL;
    fta_text keys[FTA_AUDIT_KEYS_MAX];
    fta_audit_options options = {.keys = keys};
    audit_log *self = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U|O!:AuditLog", keywords,
                                     &path, &PyTuple_Type, &tuple) ||
        !read_keys(tuple, keys, &options.key_count) ||
        !PyUnicode_FSConverter(path, (void *)&encoded)) {
        return NULL;
    }
    self = (audit_log *)type->tp_alloc(type, 0);
    if (self == NULL) {
        goto done;
    }
    options.destination = (fta_text){PyBytes_AS_STRING(encoded),
                                     (size_t)PyBytes_GET_SIZE(encoded)};
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_audit_log_open(&options, &self->log);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        raise_for_path(status, path);
        Py_CLEAR(self);
        goto done;
    }
    self->path = Py_NewRef(path);
done:
    Py_DECREF(encoded);
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, audit_log_new)

static void
audit_log_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_audit_log_close(((audit_log *)self)->log);
    Py_CLEAR(((audit_log *)self)->path);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A sentence about what has changed; None if nothing has. */
static PyObject *
sentence(const fta_audit_outcome *outcome)
{
    switch (outcome->change) {
    case FTA_AUDIT_LOSING:
        return PyUnicode_FromFormat(
            "the file cannot be written, and lines are being lost: "
            "%s",
            strerror(outcome->error));
    case FTA_AUDIT_RESUMED:
        return PyUnicode_FromFormat(
            "the file is written again; %llu lines were lost",
            (unsigned long long)outcome->lost);
    case FTA_AUDIT_KEEPS_OLD_FILE:
        return PyUnicode_FromFormat(
            "the file was moved away and cannot be made anew, so lines go on "
            "into the old file: %s",
            outcome->status == FTA_SYSTEM ? strerror(outcome->error)
                                          : fta_status_text(outcome->status));
    case FTA_AUDIT_BEGINS_ANEW:
        return PyUnicode_FromString(
            "the head of the chain was changed, so a new chain begins");
    case FTA_AUDIT_UNCHANGED:
        break;
    }
    Py_RETURN_NONE;
}

/* A text as the client sent it; absent for NULL and None. */
static bool
read_octets(PyObject *value, const char *name, fta_text *out, PyObject **holder)
{
    return value == NULL || Py_IsNone(value) ||
           fta_octets_from_object(value, name, out, holder);
}

static bool
set_identity(const fta_state *state, PyObject *value, fta_audit_entry *entry)
{
    const fta_identity *identity;
    if (!fta_read_identity(state, value, &identity)) {
        return false;
    }
    if (identity == NULL) {
        return true;
    }
    if (!fta_utf8_from_str(identity->role, "role", &entry->role) ||
        (identity->actor != NULL &&
         !fta_utf8_from_str(identity->actor, "actor", &entry->actor))) {
        return false;
    }
    entry->tenant_id = &identity->claims.tenant_id;
    entry->user_id = &identity->claims.user_id;
    return true;
}

PyObject *
fta_audit_log_write_line(const fta_state *state, PyObject *audit_log_object,
                         const fta_audit_request *request)
{
    enum { TEXTS = 5 };
    fta_audit_log *log = ((audit_log *)audit_log_object)->log;
    fta_audit_entry entry = {.http_status = request->status};
    PyObject *holders[TEXTS] = {NULL};
    PyObject *identity = Py_XNewRef(request->identity);
    PyObject *result = NULL;

    Py_INCREF(audit_log_object);

    if (read_octets(request->method, "method", &entry.method, &holders[0]) &&
        read_octets(request->endpoint, "endpoint", &entry.endpoint,
                    &holders[1]) &&
        read_octets(request->address, "address", &entry.address, &holders[2]) &&
        read_octets(request->user_agent, "user_agent", &entry.user_agent,
                    &holders[3]) &&
        read_octets(request->reason, "reason", &entry.reason, &holders[4]) &&
        set_identity(state, identity, &entry)) {
        fta_audit_outcome outcome;
        Py_BEGIN_ALLOW_THREADS
        outcome = fta_audit_log_write(log, &entry);
        Py_END_ALLOW_THREADS
        if (request->is_lost != NULL) {
            *request->is_lost = outcome.is_lost;
        }
        result = sentence(&outcome);
    }
    for (int i = 0; i < TEXTS; i++) {
        Py_XDECREF(holders[i]);
    }
    Py_XDECREF(identity);
    Py_DECREF(audit_log_object);
    return result;
}

PyDoc_STRVAR(write_doc,
             "write($self, method, endpoint, status, identity, address,\n"
             "      user_agent, reason, /)\n--\n\n"
             "One line about one request. The texts are native strings as\n"
             "WSGI has them (PEP 3333: a character an octet), or None. An\n"
             "error of the disk never raises. When it begins or ends, a\n"
             "sentence for the log is returned, else None. Other threads\n"
             "run meanwhile.");

static PyObject *
audit_log_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 7) {
        return PyErr_Format(PyExc_TypeError, "write takes 7 arguments, not %zd",
                            count);
    }
    long status = PyLong_AsLong(args[2]);
    if (status == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const fta_audit_request request = {
        .method = args[0],
        .endpoint = args[1],
        .status = status >= 0 && status <= 999 ? (int)status : 0,
        .identity = args[3],
        .address = args[4],
        .user_agent = args[5],
        .reason = args[6],
    };
    return fta_audit_log_write_line(PyType_GetModuleState(Py_TYPE(self)), self,
                                    &request);
}

PyDoc_STRVAR(reopen_doc,
             "reopen($self, /)\n--\n\n"
             "Let the next write check whether the path leads to another\n"
             "file now. Without this, a check is made once a second.");

static PyObject *
audit_log_reopen(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_audit_log_reopen(((audit_log *)self)->log);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(note_doc,
             "note($self, event, count, /)\n--\n\n"
             "Write a signed control line into the chain. ValueError unless\n"
             "event is a word of at most 16 lower-case letters and count\n"
             "from 0 to 2**63 - 1; OSError where it cannot be written;\n"
             "PermissionError where there is no chain.");

static PyObject *
audit_log_note(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    fta_text event;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "note takes 2 arguments, not %zd",
                            count);
    }
    long long number = PyLong_AsLongLong(args[1]);
    if ((number == -1 && PyErr_Occurred()) ||
        !fta_utf8_from_str(args[0], "event", &event)) {
        return NULL;
    }
    fta_status status = FTA_BAD_ARGUMENT;
    if (number >= 0 && strlen(event.data) == event.length) {
        fta_audit_log *log = ((audit_log *)self)->log;
        Py_BEGIN_ALLOW_THREADS
        status = fta_audit_log_note(log, event.data, (uint64_t)number);
        Py_END_ALLOW_THREADS
    }
    if (status != FTA_OK) {
        raise_for_path(status, ((audit_log *)self)->path);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef audit_log_methods[] = {
    {"write", (PyCFunction)(void (*)(void))audit_log_write, METH_FASTCALL,
     write_doc},
    {"note", (PyCFunction)(void (*)(void))audit_log_note, METH_FASTCALL,
     note_doc},
    {"reopen", audit_log_reopen, METH_NOARGS, reopen_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *
audit_log_lost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(
        fta_audit_log_lost(((audit_log *)self)->log));
}

static PyGetSetDef audit_log_getters[] = {
    {"lost", audit_log_lost, NULL,
     "How many lines were lost since the log was opened, in this process.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef audit_log_members[] = {
    {"path", T_OBJECT_EX, offsetof(audit_log, path), READONLY,
     "The path as it was given."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(audit_log_doc,
             "AuditLog(path, keys=())\n--\n\n"
             "A file with a line of JSON for each request, or a syslog or\n"
             "journal that takes such lines. Any number of threads and\n"
             "processes may write to it. A file that was moved or removed is\n"
             "made again within a second. With keys of 64 bytes the lines\n"
             "are a chain, which the first key signs. OSError where it\n"
             "cannot be opened, ValueError for a destination that is none.");

static PyType_Slot audit_log_slots[] = {
    {Py_tp_doc, (void *)audit_log_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(audit_log_new)},
    {Py_tp_dealloc, (void *)audit_log_dealloc},
    {Py_tp_methods, (void *)audit_log_methods},
    {Py_tp_members, (void *)audit_log_members},
    {Py_tp_getset, (void *)audit_log_getters},
    {0, NULL},
};

PyType_Spec fta_audit_log_spec = {
    .name = "flask_tenant_auth._core.AuditLog",
    .basicsize = sizeof(audit_log),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = audit_log_slots,
};
