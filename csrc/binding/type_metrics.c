#include "binding/type_metrics.h"

#include <stdatomic.h>
#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"
#include "binding/limiter_request.h"
#include "binding/metrics_console.h"
#include "binding/metrics_values.h"
#include "binding/type_identity.h"
#include "metrics/most_limited.h"

typedef struct metrics_object {
    PyObject_HEAD
    _Atomic(fta_metrics *) metrics; /* Owned. What it replaces stays open. */
    int unshared; /* The errno for which it is not shared, or 0. */
} metrics_object;

fta_metrics *
fta_metrics_of(const PyObject *metrics)
{
    return Py_IsNone(metrics) ? NULL
                              : atomic_load_explicit(
                                    &((const metrics_object *)metrics)->metrics,
                                    memory_order_acquire);
}

bool
fta_is_metrics(const fta_state *state, PyObject *value, const char *argument)
{
    if (Py_IsNone(value) || Py_IS_TYPE(value, state->metrics_type)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s must be Metrics or None, not %.100s",
                 argument, Py_TYPE(value)->tp_name);
    return false;
}

/* -- Life ------------------------------------------------------------------ */

/* The UUIDs of a tuple of str. */
static bool
read_tenants(PyObject *tuple, fta_uuid out[FTA_METRICS_TENANTS], size_t *count)
{
    Py_ssize_t size = PyTuple_GET_SIZE(tuple);
    if (size > FTA_METRICS_TENANTS) {
        PyErr_Format(PyExc_ValueError, "tenants must be at most %d",
                     FTA_METRICS_TENANTS);
        return false;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        fta_text text;
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(tuple, i), "a tenant", &text)) {
            return false;
        }
        if (!fta_uuid_parse(text.data, text.length, &out[i])) {
            PyErr_SetString(PyExc_ValueError, "tenants must be UUIDs");
            return false;
        }
    }
    *count = (size_t)size;
    return true;
}

static PyObject *
metrics_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"prefix",  "app",     "shared",
                               "tenants", "console", NULL};
    PyObject *prefix, *app = NULL, *tenants = NULL, *tuple = NULL;
    metrics_object *self = NULL;
    fta_uuid ids[FTA_METRICS_TENANTS];
    int shared = 1, console = 0;
    fta_metrics_options options = {.app = {"", 0}, .tenants = ids};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OpOp:Metrics", keywords,
                                     &prefix, &app, &shared, &tenants,
                                     &console) ||
        (tenants != NULL &&
         (tuple = fta_tuple_of(tenants, "tenants")) == NULL)) {
        return NULL;
    }
    if (!fta_utf8_from_str(prefix, "prefix", &options.prefix) ||
        (app != NULL && !fta_utf8_from_str(app, "app", &options.app)) ||
        (tuple != NULL && !read_tenants(tuple, ids, &options.tenant_count))) {
        goto done;
    }
    options.shared = shared != 0;
    options.console = console != 0;
    self = (metrics_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        fta_metrics *metrics = NULL;
        fta_status status =
            fta_metrics_open(&options, &metrics, &self->unshared);
        atomic_init(&self->metrics, metrics);
        if (status != FTA_OK) {
            Py_CLEAR(self);
            fta_raise(status);
        }
    }
done:
    Py_XDECREF(tuple);
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, metrics_new)

static void
metrics_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    fta_metrics_close(fta_metrics_of(object));
    type->tp_free(object);
    Py_DECREF(type);
}

/* -- Counting -------------------------------------------------------------- */

void
fta_metrics_count_objects(const fta_state *state, PyObject *metrics, int status,
                          PyObject *reason, PyObject *identity)
{
    fta_metrics_answer answer = {.status = status};
    if (reason != NULL && !Py_IsNone(reason)) {
        /* Those of the list are ASCII. */
        answer.reason = fta_latin1_view(reason);
        if (answer.reason.data == NULL) {
            answer.reason = (fta_text){"", 0};
        }
    }
    const fta_identity *whose =
        identity == NULL ? NULL : fta_identity_of(state, identity);
    if (whose != NULL) {
        answer.tenant = &whose->claims.tenant_id;
        answer.user = &whose->claims.user_id;
    }
    fta_metrics_count_answer(fta_metrics_of(metrics), &answer);
}

/* The metric of a name, which has to be of this kind. */
static bool
find_metric(PyObject *name, fta_metric_kind kind, fta_metric *out)
{
    fta_text text;
    if (!fta_utf8_from_str(name, "name", &text)) {
        return false;
    }
    for (fta_metric metric = 0; metric < FTA_METRIC_COUNT; metric++) {
        fta_metric_about about = fta_metric_read_about(metric);
        if (about.kind == kind && text.length == strlen(about.name) &&
            memcmp(text.data, about.name, text.length) == 0) {
            *out = metric;
            return true;
        }
    }
    PyErr_Format(PyExc_ValueError, "name is no metric of this kind: %R", name);
    return false;
}

/* The place of a name in the group of a metric. NULL: the metric is alone. */
static bool
find_place(fta_metrics *metrics, fta_metric metric, PyObject *value,
           fta_metrics_place *out)
{
    fta_metric_group group = fta_metric_read_about(metric).group;
    fta_text texts[FTA_GROUP_LABELS] = {{NULL, 0}};
    if ((value == NULL) != (group == FTA_GROUP_ALONE)) {
        PyErr_SetString(PyExc_ValueError,
                        value == NULL ? "of must name something of a group"
                                      : "of is for a metric of a group");
        return false;
    }
    *out = 0;
    if (value != NULL) {
        if (!fta_utf8_from_str(value, "of", &texts[0])) {
            return false;
        }
        *out = fta_metrics_name(metrics, group, texts);
    }
    return true;
}

PyDoc_STRVAR(metrics_count_doc,
             "count($self, name, word, of=<unrepresentable>, /)\n--\n\n"
             "Count one word of the label of a counter. With of, at that name\n"
             "of the group of the counter.");

static PyObject *
metrics_count(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fta_metrics *metrics = fta_metrics_of(self);
    fta_metric metric;
    fta_metrics_place place;
    fta_text word;
    size_t at;
    if (nargs < 2 || nargs > 3) {
        return PyErr_Format(PyExc_TypeError,
                            "count() takes 2 or 3 arguments, not %zd", nargs);
    }
    if (!find_metric(args[0], FTA_METRIC_COUNTER, &metric) ||
        !fta_utf8_from_str(args[1], "word", &word)) {
        return NULL;
    }
    if (!fta_metric_find_word(metric, word, &at)) {
        return PyErr_Format(PyExc_ValueError, "word is none of the metric: %R",
                            args[1]);
    }
    if (!find_place(metrics, metric, nargs == 3 ? args[2] : NULL, &place)) {
        return NULL;
    }
    fta_metrics_add_named(metrics, metric, place, at);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(metrics_observe_doc, "observe($self, name, nanoseconds, /)\n--\n\n"
                                  "Count one duration of a histogram.");

static PyObject *
metrics_observe(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fta_metric metric;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError,
                            "observe() takes 2 arguments, not %zd", nargs);
    }
    if (!find_metric(args[0], FTA_METRIC_HISTOGRAM, &metric)) {
        return NULL;
    }
    unsigned long long nanoseconds = PyLong_Check(args[1])
                                         ? PyLong_AsUnsignedLongLong(args[1])
                                         : (unsigned long long)-1;
    if (nanoseconds > INT64_MAX) {
        PyErr_Clear();
        PyErr_SetString(PyLong_Check(args[1]) ? PyExc_ValueError
                                              : PyExc_TypeError,
                        "nanoseconds must be an int from 0");
        return NULL;
    }
    fta_metrics_observe(fta_metrics_of(self), metric, nanoseconds);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(metrics_touch_doc,
             "touch($self, name, of, /)\n--\n\n"
             "Say that what this age is of has happened now.");

static PyObject *
metrics_touch(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fta_metric metric;
    fta_metrics_place place;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError,
                            "touch() takes 2 arguments, not %zd", nargs);
    }
    if (!find_metric(args[0], FTA_METRIC_TIME, &metric) ||
        !find_place(fta_metrics_of(self), metric, args[1], &place)) {
        return NULL;
    }
    fta_metrics_touch(fta_metrics_of(self), metric, place);
    Py_RETURN_NONE;
}

/* -- Reading --------------------------------------------------------------- */

PyDoc_STRVAR(
    metrics_read_doc,
    "read($self, /)\n--\n\n"
    "All values, and keep them for an hour from now: a dict of the name of\n"
    "a metric to a list of pairs, the values of its labels and its value.\n"
    "A counter has an int, an age seconds, and a histogram the numbers of\n"
    "its buckets, each with those before it, and the sum in seconds. What\n"
    "is kept elsewhere has an empty list.");

static PyObject *
metrics_read(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_metrics_keep(fta_metrics_of(self));
    return fta_metrics_values(fta_metrics_of(self));
}

PyDoc_STRVAR(
    metrics_count_limited_doc,
    "count_limited($self, identity, /)\n--\n\n"
    "Count a request of this Identity that a limit has limited. Does nothing\n"
    "without console. The response of a request is counted by itself.");

static PyObject *
metrics_count_limited(PyObject *self, PyObject *identity)
{
    const fta_identity *whose =
        fta_identity_of(PyType_GetModuleState(Py_TYPE(self)), identity);
    if (whose == NULL) {
        return PyErr_Format(PyExc_TypeError,
                            "identity must be an Identity, not %.100s",
                            Py_TYPE(identity)->tp_name);
    }
    fta_metrics_count_limited(fta_metrics_of(self), &whose->claims.tenant_id,
                              &whose->claims.user_id);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    metrics_last_hour_doc,
    "last_hour($self, /)\n--\n\n"
    "What was counted for the console in the last hour: 'minutes' is a list\n"
    "of 60 dicts, the oldest first, of how many minutes 'ago' they are and\n"
    "of the 'requests' by outcome; 'reasons' is a dict of the reasons for\n"
    "which some were denied to how many, of all minutes together.");

static PyObject *
metrics_last_hour(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fta_last_hour_values(fta_metrics_of(self));
}

PyDoc_STRVAR(
    metrics_most_limited_doc,
    "most_limited($self, /)\n--\n\n"
    "Who was limited most in the last hour, at most 20 each, the most limited\n"
    "first: 'users', tuples of a tenant's id, a user's id and how often, and\n"
    "'tenants', tuples of a tenant's id and how often.");

static PyObject *
metrics_most_limited(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fta_most_limited_values(fta_metrics_of(self));
}

PyDoc_STRVAR(metrics_unshare_doc,
             "unshare($self, /)\n--\n\n"
             "Go on alone, from zero. What others count during the call may\n"
             "be lost.");

static PyObject *
metrics_unshare(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    _Atomic(fta_metrics *) *place = &((metrics_object *)object)->metrics;
    fta_metrics *alone, *others = fta_metrics_of(object);
    fta_status status = fta_metrics_replace(others, &alone);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    do {
        fta_metrics_keep_open(alone, others);
    } while (!atomic_compare_exchange_weak(place, &others, alone));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(metrics_status_doc, "status($self, /)\n--\n\n"
                                 "Where the counters are, for people.");

static PyObject *
metrics_status(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const metrics_object *self = (const metrics_object *)object;
    const char *path = fta_metrics_path(fta_metrics_of(object));
    return Py_BuildValue("{s:O,s:z,s:z}", "shared",
                         path != NULL ? Py_True : Py_False, "path", path,
                         "not_shared_because",
                         self->unshared != 0 ? strerror(self->unshared) : NULL);
}

#define FAST(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef metrics_methods[] = {
    {"count", FAST(metrics_count), METH_FASTCALL, metrics_count_doc},
    {"observe", FAST(metrics_observe), METH_FASTCALL, metrics_observe_doc},
    {"touch", FAST(metrics_touch), METH_FASTCALL, metrics_touch_doc},
    {"read", metrics_read, METH_NOARGS, metrics_read_doc},
    {"count_limited", metrics_count_limited, METH_O, metrics_count_limited_doc},
    {"last_hour", metrics_last_hour, METH_NOARGS, metrics_last_hour_doc},
    {"most_limited", metrics_most_limited, METH_NOARGS,
     metrics_most_limited_doc},
    {"unshare", metrics_unshare, METH_NOARGS, metrics_unshare_doc},
    {"status", metrics_status, METH_NOARGS, metrics_status_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    metrics_doc,
    "Metrics(prefix, *, app='', shared=True, tenants=(), console=False)\n--\n"
    "\n"
    "The counters of an app, in memory that this user's processes with the\n"
    "same app and prefix share on this host: exact over all of them, and\n"
    "over their restarts. With shared=False, or where status() says why it\n"
    "is not shared, they are those of this process and its children.\n"
    "tenants are the UUIDs that may be the value of a label, up to 100.\n"
    "With console=True it counts for last_hour() and most_limited(), too.");

static PyType_Slot metrics_slots[] = {
    {Py_tp_doc, (void *)metrics_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(metrics_new)},
    {Py_tp_dealloc, (void *)metrics_dealloc},
    {Py_tp_methods, (void *)metrics_methods},
    {0, NULL},
};

PyType_Spec fta_metrics_spec = {
    .name = "flask_tenant_auth._core.Metrics",
    .basicsize = sizeof(metrics_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = metrics_slots,
};

static int
add_object(PyObject *module, const char *name, PyObject *made)
{
    int added = PyModule_AddObjectRef(module, name, made);
    Py_XDECREF(made);
    return added;
}

int
fta_add_metrics(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "METRIC_TENANTS", FTA_METRICS_TENANTS) <
            0 ||
        add_object(module, "METRICS", fta_metrics_catalogue()) < 0) {
        return -1;
    }
    return add_object(module, "METRIC_BOUNDS", fta_metrics_bounds());
}
