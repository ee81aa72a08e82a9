#include "binding/type_permits.h"

#include <stdbool.h>
#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/limiter_request.h"
#include "binding/type_permit.h"

#include "concurrency/concurrency.h"

typedef struct permits_object {
    PyObject_HEAD
    fta_permits *permits; /* Owned. */
    int unshared;         /* The errno for which it is not shared, or 0. */
} permits_object;

static fta_permits *
permits_of(PyObject *object)
{
    return ((permits_object *)object)->permits;
}

static PyObject *
permits_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"prefix", "app", "shared", NULL};
    PyObject *prefix, *app = NULL;
    int shared = 1;
    fta_permits_options options = {.app = {"", 0}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$Op:Permits", keywords,
                                     &prefix, &app, &shared) ||
        !fta_utf8_from_str(prefix, "prefix", &options.prefix) ||
        (app != NULL && !fta_utf8_from_str(app, "app", &options.app))) {
        return NULL;
    }
    options.shared = shared != 0;
    permits_object *self = (permits_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    fta_status status =
        fta_permits_open(&options, &self->permits, &self->unshared);
    if (status != FTA_OK) {
        Py_DECREF(self);
        return fta_raise(status);
    }
    return (PyObject *)self;
}

static void
permits_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    fta_permits_close(permits_of(object));
    type->tp_free(object);
    Py_DECREF(type);
}

/* A number of permits. ValueError for one that is out of range. */
static bool
read_most(PyObject *value, unsigned *out)
{
    int overflow; /* Then the number is -1, which is as far out of range. */
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "most must be an int, not %.100s",
                     Py_TYPE(value)->tp_name);
        return false;
    }
    long most = PyLong_AsLongAndOverflow(value, &overflow);
    if (most < 0 || most > (long)FTA_PERMITS_MOST) {
        PyErr_Format(PyExc_ValueError, "most must be from 0 to %u",
                     FTA_PERMITS_MOST);
        return false;
    }
    *out = (unsigned)most;
    return true;
}

PyDoc_STRVAR(
    permits_take_doc,
    "take($self, most, scope, per, identity, address, custom='', /)\n--\n\n"
    "A Permit for one request of this scope, or None: so many run already.\n"
    "It counts per user, tenant, address or custom: by identity, and by\n"
    "address where that is None; by custom, and by address where that is\n"
    "empty. Waits for nobody. OSError where no permit can be had, whoever\n"
    "asks.");

static PyObject *
permits_take(PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    fta_concurrency_limit limit;
    fta_requester requester = {0};
    fta_text custom = {"", 0};
    fta_permit permit;
    size_t place;
    if (nargs < 5 || nargs > 6) {
        return PyErr_Format(PyExc_TypeError,
                            "take() takes 5 or 6 arguments, not %zd", nargs);
    }
    /* None of it runs foreign code. The caller holds the arguments. */
    if (!read_most(args[0], &limit.most) ||
        !fta_utf8_from_str(args[1], "scope", &limit.scope) ||
        !fta_word_from_str(args[2], "per", &fta_per_words, &place) ||
        !fta_requester_read_identity(state, args[3], &requester) ||
        !fta_utf8_from_str(args[4], "address", &requester.address) ||
        (nargs == 6 && !fta_utf8_from_str(args[5], "custom", &custom))) {
        return NULL;
    }
    if (limit.scope.length > FTA_SCOPE_MAX) {
        return PyErr_Format(PyExc_ValueError,
                            "scope must be at most %d bytes of UTF-8",
                            FTA_SCOPE_MAX);
    }
    limit.per = fta_per_at(place);
    requester.custom = &custom;
    requester.custom_count = 1;
    fta_status status =
        fta_concurrency_begin(permits_of(object), &limit, &requester, &permit);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    if (permit.word == 0) {
        Py_RETURN_NONE;
    }
    return fta_permit_object_new(state, object, permits_of(object), &permit);
}

PyDoc_STRVAR(permits_status_doc,
             "status($self, /)\n--\n\n"
             "What there is to know about the table, for people.");

static PyObject *
permits_status(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const permits_object *self = (const permits_object *)object;
    fta_permits_usage usage;
    fta_permits_usage_read(self->permits, &usage);
    return Py_BuildValue("{s:O,s:z,s:z,s:z,s:n}", "shared",
                         usage.path != NULL ? Py_True : Py_False, "path",
                         usage.path, "not_shared_because",
                         self->unshared != 0 ? strerror(self->unshared) : NULL,
                         "foreign_file", usage.foreign, "taken",
                         (Py_ssize_t)usage.taken);
}

PyDoc_STRVAR(permits_close_doc,
             "close($self, /)\n--\n\n"
             "Remove the shared memory if no other process uses it. To be\n"
             "called once, when the application ends.");

static PyObject *
permits_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    fta_permits_leave(permits_of(object));
    Py_RETURN_NONE;
}

static PyMethodDef permits_methods[] = {
    {"take", (PyCFunction)(void (*)(void))permits_take, METH_FASTCALL,
     permits_take_doc},
    {"status", permits_status, METH_NOARGS, permits_status_doc},
    {"close", permits_close, METH_NOARGS, permits_close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    permits_doc,
    "Permits(prefix, *, app='', shared=True)\n--\n\n"
    "Permits to run, in memory that this user's processes with the same app\n"
    "and prefix share on this host. With shared=False, or where status()\n"
    "says why it is not shared, each process has its own.");

static PyType_Slot permits_slots[] = {
    {Py_tp_doc, (void *)permits_doc},
    {Py_tp_new, (void *)permits_new},
    {Py_tp_dealloc, (void *)permits_dealloc},
    {Py_tp_methods, (void *)permits_methods},
    {0, NULL},
};

PyType_Spec fta_permits_spec = {
    .name = "flask_tenant_auth._core.Permits",
    .basicsize = sizeof(permits_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = permits_slots,
};

int
fta_add_permits(PyObject *module)
{
    return PyModule_AddIntConstant(module, "PERMITS_MOST", FTA_PERMITS_MOST);
}
