#include "binding/type_revocations.h"

#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"

#include "base/alloc.h"
#include "base/clock.h"

#define DIGEST_BYTES 32

typedef struct revocations_object {
    PyObject_HEAD
    fta_revocations *table; /* Owned */
    int unshared;           /* The errno for which it is not shared, or 0. */
} revocations_object;

static fta_revocations *
table_of(PyObject *self)
{
    return ((revocations_object *)self)->table;
}

fta_revocations *
fta_revocations_of(PyObject *value)
{
    return Py_IsNone(value) ? NULL : table_of(value);
}

/* --- arguments ---------------------------------------------------------- */

/* Each leaves out as it is where the argument is missing or None. */
static bool
read_text(PyObject *value, const char *argument, fta_text *out)
{
    return value == NULL || Py_IsNone(value) ||
           fta_utf8_from_str(value, argument, out);
}

static bool
read_uuid(PyObject *value, const char *argument, fta_uuid *out, bool *is_given)
{
    fta_text text = {NULL, 0};
    if (!read_text(value, argument, &text)) {
        return false;
    }
    *is_given = text.data != NULL;
    if (*is_given && !fta_uuid_parse(text.data, text.length, out)) {
        PyErr_Format(PyExc_ValueError, "%s must be a UUID", argument);
        return false;
    }
    return true;
}

static bool
need_uuid(PyObject *value, const char *argument, fta_uuid *out)
{
    bool is_given = false;
    if (!read_uuid(value, argument, out, &is_given)) {
        return false;
    }
    if (!is_given) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not None", argument);
    }
    return is_given;
}

static bool
check_range(const char *argument, long long value, long long least,
            long long most)
{
    if (value < least || value > most) {
        PyErr_Format(PyExc_ValueError, "%s must be from %lld to %lld", argument,
                     least, most);
        return false;
    }
    return true;
}

/* --- making one --------------------------------------------------------- */

static bool
read_directory(PyObject *value, const char **out)
{
    fta_text text = {NULL, 0};
    if (!read_text(value, "directory", &text)) {
        return false;
    }
    if (text.data != NULL && strlen(text.data) != text.length) {
        PyErr_SetString(PyExc_ValueError, "directory must be a path");
        return false;
    }
    *out = text.length == 0 ? NULL : text.data;
    return true;
}

static PyObject *
revocations_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"name",      "slots",        "shared",
                               "directory", "token_max_ms", "silent_max_ms",
                               NULL};
    PyObject *name, *directory = NULL;
    Py_ssize_t slots = 16384;
    int shared = 1;
    long long token_max_ms = 86400000, silent_max_ms = 60000;
    fta_revocations_options options = {.directory = NULL};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$npOLL:Revocations", keywords, &name, &slots,
            &shared, &directory, &token_max_ms, &silent_max_ms) ||
        !fta_utf8_from_str(name, "name", &options.name) ||
        !read_directory(directory, &options.directory) ||
        !check_range("slots", slots, FTA_REVOCATIONS_SLOTS_MIN,
                     FTA_REVOCATIONS_SLOTS_MAX) ||
        !check_range("token_max_ms", token_max_ms, 1, FTA_REVOCATION_MS_MAX) ||
        !check_range("silent_max_ms", silent_max_ms, 1,
                     FTA_REVOCATION_MS_MAX)) {
        return NULL;
    }
    options.slots = (size_t)slots;
    options.shared = shared;
    options.token_max_ms = token_max_ms;
    options.silent_max_ms = silent_max_ms;
    revocations_object *self = PyObject_New(revocations_object, type);
    if (self != NULL) {
        self->table = NULL;
        fta_status status =
            fta_revocations_open(&options, &self->table, &self->unshared);
        if (status != FTA_OK) {
            Py_CLEAR(self);
            (void)fta_raise(status);
        }
    }
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, revocations_new)

static void
revocations_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_revocations_close(table_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

/* --- writing ------------------------------------------------------------ */

/* What each kind needs, in the order of fta_revocation_kind. */
static const char *const needs[] = {
    "a session needs an id of 1 to 96 bytes",
    ("a user needs tenant_id and user_id, and may have an except_session of 1 "
     "to 96 bytes"),
    "a tenant needs tenant_id alone",
    "a token needs an id of 1 to 96 bytes",
    "everything needs nothing",
};
_Static_assert(sizeof needs / sizeof *needs == FTA_REVOKED_COUNT,
               "each kind says what it needs");

static bool
read_revocation(PyObject *args, PyObject *kwargs, fta_revocation *out)
{
    static char *keywords[] = {"kind",    "at", "ends_at",        "tenant_id",
                               "user_id", "id", "except_session", NULL};
    PyObject *kind, *tenant = NULL, *user = NULL, *id = NULL, *spared = NULL;
    size_t place;
    long long at = -1, ends_at = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$LLOOOO:add", keywords,
                                     &kind, &at, &ends_at, &tenant, &user, &id,
                                     &spared) ||
        !fta_word_from_str(kind, "kind", &fta_revocation_kinds, &place) ||
        !check_range("at", at, 0, FTA_REVOCATION_MS_MAX) ||
        !check_range("ends_at", ends_at, 0, FTA_REVOCATION_MS_MAX) ||
        !read_uuid(tenant, "tenant_id", &out->tenant, &out->has_tenant) ||
        !read_uuid(user, "user_id", &out->user, &out->has_user) ||
        !read_text(id, "id", &out->id) ||
        !read_text(spared, "except_session", &out->except_session)) {
        return false;
    }
    out->kind = (fta_revocation_kind)place;
    out->at = at;
    out->ends_at = ends_at;
    return true;
}

static PyObject *
none_or_error(fta_status status)
{
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    revocations_add_doc,
    "add($self, kind, *, at, ends_at, tenant_id=None, user_id=None, id=None,\n"
    "    except_session=None)\n--\n\n"
    "Add a revocation: of a session, user, tenant, token or everything.\n"
    "at is when it was revoked, ends_at when it is forgotten, milliseconds\n"
    "since 1970. What is revoked already becomes later only. TimeoutError:\n"
    "another process was stopped while it wrote.");

static PyObject *
revocations_add(PyObject *self, PyObject *args, PyObject *kwargs)
{
    fta_revocation revocation;
    memset(&revocation, 0, sizeof revocation);
    if (!read_revocation(args, kwargs, &revocation)) {
        return NULL;
    }
    fta_status status;
    Py_INCREF(self);
    Py_BEGIN_ALLOW_THREADS
    status = fta_revocations_add(table_of(self), &revocation);
    Py_END_ALLOW_THREADS
    Py_DECREF(self);
    if (status == FTA_BAD_ARGUMENT) {
        PyErr_SetString(PyExc_ValueError, needs[revocation.kind]);
        return NULL;
    }
    return none_or_error(status);
}

FTA_KEYWORDS(PyObject, revocations_add)

PyDoc_STRVAR(revocations_mark_filled_doc,
             "mark_filled($self, position)\n--\n\n"
             "Say that all that the store had at this position is in the\n"
             "table.");

static PyObject *
revocations_mark_filled(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"position", NULL};
    PyObject *value;
    fta_text text;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:mark_filled", keywords,
                                     &value) ||
        !fta_utf8_from_str(value, "position", &text)) {
        return NULL;
    }
    if (text.length > FTA_REVOCATIONS_POSITION_MAX) {
        PyErr_Format(PyExc_ValueError, "position must have up to %zu bytes",
                     FTA_REVOCATIONS_POSITION_MAX);
        return NULL;
    }
    fta_status status;
    Py_INCREF(self);
    Py_BEGIN_ALLOW_THREADS
    status = fta_revocations_mark_filled(table_of(self), text);
    Py_END_ALLOW_THREADS
    Py_DECREF(self);
    return none_or_error(status);
}

FTA_KEYWORDS(PyObject, revocations_mark_filled)

PyDoc_STRVAR(revocations_waive_doc,
             "waive($self, waived, /)\n--\n\n"
             "True: let a table that is not filled, or was not for\n"
             "silent_max_ms, deny nothing more. In this process, and those\n"
             "that it forks from then on.");

static PyObject *
revocations_waive(PyObject *self, PyObject *value)
{
    if (!PyBool_Check(value)) {
        return PyErr_Format(PyExc_TypeError,
                            "waived must be a bool, not %.100s",
                            Py_TYPE(value)->tp_name);
    }
    fta_revocations_waive(table_of(self), Py_IsTrue(value));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(revocations_lead_doc,
             "lead($self, /)\n--\n\n"
             "Say that this process runs. True: it leads the host, whose\n"
             "leader was silent for 300 ms. To be called every 100 ms, by one\n"
             "thread of the process.");

static PyObject *
revocations_lead(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(fta_revocations_lead(table_of(self)));
}

PyDoc_STRVAR(revocations_close_doc,
             "close($self, /)\n--\n\n"
             "Remove the memory if nothing in it matters and nobody else uses\n"
             "it. A Keyring that has the table denies every token from then\n"
             "on.");

static PyObject *
revocations_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_revocations_leave(table_of(self));
    Py_RETURN_NONE;
}

/* --- asking ------------------------------------------------------------- */

PyDoc_STRVAR(
    revocations_check_doc,
    "check($self, tenant_id, user_id, session_id, jti, issued_at,\n"
    "      digest=None)\n--\n\n"
    "The reason why a token is revoked, one of INVALID_TOKENS; None: it is\n"
    "not. digest is the SHA-256 of the token up to its last dot.");

static PyObject *
revocations_check(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"tenant_id", "user_id", "session_id", "jti",
                               "issued_at", "digest",  NULL};
    PyObject *tenant, *user, *session, *jti, *issued_at, *digest = Py_None;
    fta_uuid tenant_id, user_id;
    fta_revocation_query query = {.issued_at = Py_NAN, .expires_at = Py_NAN};
    uint8_t octets[DIGEST_BYTES];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|O:check", keywords,
                                     &tenant, &user, &session, &jti, &issued_at,
                                     &digest)) {
        return NULL;
    }
    if (!Py_IsNone(digest)) {
        if (!PyBytes_CheckExact(digest) ||
            PyBytes_GET_SIZE(digest) != DIGEST_BYTES) {
            PyErr_SetString(PyExc_TypeError, "digest must be 32 bytes or None");
            return NULL;
        }
        memcpy(octets, PyBytes_AS_STRING(digest), sizeof octets);
        query.digest = octets;
    }
    if (!Py_IsNone(issued_at)) {
        if (!PyFloat_CheckExact(issued_at) && !PyLong_CheckExact(issued_at)) {
            return PyErr_Format(PyExc_TypeError,
                                "issued_at must be a float, not %.100s",
                                Py_TYPE(issued_at)->tp_name);
        }
        query.issued_at = PyFloat_AsDouble(issued_at);
        if (query.issued_at == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (!need_uuid(tenant, "tenant_id", &tenant_id) ||
        !need_uuid(user, "user_id", &user_id) ||
        !read_text(session, "session_id", &query.session) ||
        !read_text(jti, "jti", &query.jti)) {
        return NULL;
    }
    query.tenant = &tenant_id;
    query.user = &user_id;
    query.now = (double)fta_clock_realtime_us() / 1e6;
    fta_status status = fta_revocations_check(table_of(self), &query);
    if (status == FTA_OK) {
        Py_RETURN_NONE;
    }
    return status == FTA_CRYPTO ? fta_raise(status) : fta_code_of(status);
}

FTA_KEYWORDS(PyObject, revocations_check)

/* --- reading ------------------------------------------------------------ */

static PyObject *
str_of_uuid(bool is_given, const fta_uuid *uuid)
{
    char text[FTA_UUID_TEXT];
    if (!is_given) {
        Py_RETURN_NONE;
    }
    fta_uuid_format(uuid, text);
    return PyUnicode_FromStringAndSize(text, FTA_UUID_TEXT);
}

static PyObject *
str_of_text(fta_text text)
{
    if (text.data == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.length, "replace");
}

static PyObject *
dict_of(const fta_revocation *r)
{
    fta_text kind = fta_words_at(&fta_revocation_kinds, (size_t)r->kind);
    return Py_BuildValue("{sNsLsLsNsNsNsN}", "kind", str_of_text(kind), "at",
                         (long long)r->at, "ends_at", (long long)r->ends_at,
                         "tenant_id", str_of_uuid(r->has_tenant, &r->tenant),
                         "user_id", str_of_uuid(r->has_user, &r->user), "id",
                         str_of_text(r->id), "except_session",
                         str_of_text(r->except_session));
}

static fta_status
read_usage(PyObject *self, fta_revocations_usage *usage)
{
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_revocations_usage_read(table_of(self), usage);
    Py_END_ALLOW_THREADS
    return status;
}

PyDoc_STRVAR(revocations_entries_doc,
             "entries($self, /)\n--\n\n"
             "A list of what is revoked and has not ended, in the words of\n"
             "add(), without what widened.");

static PyObject *
revocations_entries(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_revocations_usage usage;
    Py_INCREF(self);
    PyObject *list = NULL;
    fta_revocation_copy *copies = NULL;
    size_t count = 0;
    fta_status status = read_usage(self, &usage);
    if (status == FTA_OK) {
        /* Others may add some meanwhile. */
        size_t most = usage.slots;
        copies = fta_malloc(most * sizeof *copies);
        status = FTA_NO_MEMORY;
        if (copies != NULL) {
            Py_BEGIN_ALLOW_THREADS
            status = fta_revocations_copy(table_of(self), copies, most, &count);
            Py_END_ALLOW_THREADS
        }
    }
    if (status == FTA_OK) {
        list = PyList_New(0);
    } else {
        (void)fta_raise(status);
    }
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *entry = dict_of(&copies[i].revocation);
        if (entry == NULL || PyList_Append(list, entry) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(entry);
    }
    fta_free(copies);
    Py_DECREF(self);
    return list;
}

PyDoc_STRVAR(revocations_status_doc,
             "status($self, /)\n--\n\n"
             "What there is to know, for people. path is None where only this\n"
             "process and its children share it, and not_shared_because says\n"
             "why.");

static PyObject *
revocations_status(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_revocations_usage usage;
    Py_INCREF(self);
    fta_status status = read_usage(self, &usage);
    int unshared = ((revocations_object *)self)->unshared;
    PyObject *result =
        status != FTA_OK
            ? fta_raise(status)
            : Py_BuildValue(
                  "{szszsnsnsn}", "path", usage.path, "not_shared_because",
                  unshared != 0 ? strerror(unshared) : NULL, "slots",
                  (Py_ssize_t)usage.slots, "entries", (Py_ssize_t)usage.entries,
                  "widened", (Py_ssize_t)usage.widened);
    Py_DECREF(self);
    return result;
}

static PyObject *
get_position(PyObject *self, void *Py_UNUSED(closure))
{
    char position[FTA_REVOCATIONS_POSITION_MAX];
    size_t length = 0;
    fta_status status;
    Py_INCREF(self);
    Py_BEGIN_ALLOW_THREADS
    status = fta_revocations_position(table_of(self), position, &length);
    Py_END_ALLOW_THREADS
    Py_DECREF(self);
    return status != FTA_OK
               ? fta_raise(status)
               : PyUnicode_DecodeUTF8(position, (Py_ssize_t)length, "replace");
}

static PyObject *
get_silent_ms(PyObject *self, void *Py_UNUSED(closure))
{
    int64_t silent = fta_revocations_silent_ms(table_of(self));
    if (silent < 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(silent);
}

static PyGetSetDef revocations_getset[] = {
    {"position", get_position, NULL, "What was marked last; empty: nothing.",
     NULL},
    {"silent_ms", get_silent_ms, NULL,
     "Milliseconds since mark_filled, on this host; None: never.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define WITH_KEYWORDS(name)                                                    \
    {#name, FTA_KEYWORDS_METHOD(revocations_##name), revocations_##name##_doc}
#define WITHOUT_ARGUMENTS(name)                                                \
    {#name, revocations_##name, METH_NOARGS, revocations_##name##_doc}

static PyMethodDef revocations_methods[] = {
    WITH_KEYWORDS(add),
    WITH_KEYWORDS(check),
    WITH_KEYWORDS(mark_filled),
    WITHOUT_ARGUMENTS(entries),
    WITHOUT_ARGUMENTS(lead),
    WITHOUT_ARGUMENTS(status),
    WITHOUT_ARGUMENTS(close),
    {"waive", revocations_waive, METH_O, revocations_waive_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    revocations_doc,
    "Revocations(name, *, slots=16384, shared=True, directory='',\n"
    "            token_max_ms=86400000, silent_max_ms=60000)\n--\n\n"
    "What is revoked, in memory that this user's processes with the same\n"
    "name share on this host. When it is full, what is revoked widens, from\n"
    "sessions to their user, from users to their tenant. Tokens that may be\n"
    "accepted for more than token_max_ms are denied. Without mark_filled for\n"
    "silent_max_ms every token is.");

static PyType_Slot revocations_slots[] = {
    {Py_tp_doc, (void *)revocations_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(revocations_new)},
    {Py_tp_dealloc, (void *)revocations_dealloc},
    {Py_tp_methods, (void *)revocations_methods},
    {Py_tp_getset, (void *)revocations_getset},
    {0, NULL},
};

PyType_Spec fta_revocations_spec = {
    .name = "flask_tenant_auth._core.Revocations",
    .basicsize = sizeof(revocations_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = revocations_slots,
};
