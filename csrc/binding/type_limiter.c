#include "binding/type_limiter.h"

#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"
#include "binding/limiter_redis.h"
#include "binding/limiter_request.h"
#include "binding/type_decision.h"
#include "binding/type_limit.h"
#include "binding/type_metrics.h"
#include "binding/type_reservation.h"
#include "binding/waiting.h"

#include "limit/limiter.h"
#include "limit/shm/table.h"

typedef struct limiter_object {
    PyObject_HEAD
    fta_limiter *limiter; /* Owned. */
    PyObject *metrics;    /* Owned: a Metrics or None. It never changes. */
} limiter_object;

fta_metrics *
fta_limiter_metrics(PyObject *limiter)
{
    return fta_metrics_of(((limiter_object *)limiter)->metrics);
}

/* The watcher of its stores: a thread without the GIL. The Limiter holds the
 * Metrics until the thread has ended. */
static void
say_away(void *metrics, bool is_away)
{
    fta_metrics_say(fta_metrics_of(metrics), FTA_METRIC_OF_REDIS_AWAY, is_away);
}

/* Each reads a str, or leaves out as it is where the argument is missing. */
static bool
read_text(PyObject *value, const char *argument, fta_text *out)
{
    return value == NULL || fta_utf8_from_str(value, argument, out);
}

static bool
read_strategy(PyObject *value, const fta_strategy **out)
{
    fta_text names[FTA_STRATEGY_COUNT];
    size_t place = 0;
    fta_strategy_names(names);
    const fta_words words = FTA_WORDS(names);
    if (value != NULL &&
        !fta_word_from_str(value, "strategy", &words, &place)) {
        return false;
    }
    *out = fta_strategies[place];
    return true;
}

static bool
read_on_store_error(PyObject *value, fta_on_store_error *out)
{
    size_t place = FTA_ON_STORE_ERROR_MEMORY;
    if (value != NULL &&
        !fta_word_from_str(value, "on_store_error", &fta_on_store_error_words,
                           &place)) {
        return false;
    }
    *out = (fta_on_store_error)place;
    return true;
}

/* An option that cannot be used is a ValueError that begins with its name. */
static PyObject *
raise_for_open(fta_status status, const fta_store_problem *problem)
{
    if (problem->option == NULL) {
        return fta_raise(status);
    }
    return PyErr_Format(PyExc_ValueError, "%s %s", problem->option,
                        problem->text);
}

static PyObject *
limiter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "prefix",  "app",       "strategy",   "shm_bytes",
        "shared",  "redis_url", "timeout_ms", "on_store_error",
        "metrics", "lease",     NULL};
    PyObject *prefix = NULL, *app = NULL, *strategy = NULL, *redis_url = NULL,
             *on_store_error = NULL, *metrics = Py_None;
    Py_ssize_t shm_bytes = 0;
    int shared = 1;
    fta_limiter_options options = {.store.timeout_ms = 50};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOnpOiOOd:Limiter",
                                     keywords, &prefix, &app, &strategy,
                                     &shm_bytes, &shared, &redis_url,
                                     &options.store.timeout_ms, &on_store_error,
                                     &metrics, &options.store.lease)) {
        return NULL;
    }
    if (prefix == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "Limiter() misses the keyword argument 'prefix'");
        return NULL;
    }
    if (!read_text(prefix, "prefix", &options.store.prefix) ||
        !read_text(app, "app", &options.store.app) ||
        !read_strategy(strategy, &options.strategy) ||
        !read_text(redis_url, "redis_url", &options.store.url) ||
        !read_on_store_error(on_store_error, &options.on_store_error) ||
        !fta_is_metrics(PyType_GetModuleState(type), metrics, "metrics")) {
        return NULL;
    }
    options.store.shm_bytes = shm_bytes < 0 ? SIZE_MAX : (size_t)shm_bytes;
    options.store.shared = shared;
    if (!Py_IsNone(metrics)) {
        options.store.watcher = (fta_store_watcher){say_away, metrics};
    }

    limiter_object *self = PyObject_New(limiter_object, type);
    if (self == NULL) {
        return NULL;
    }
    self->limiter = NULL;
    self->metrics = Py_NewRef(metrics);
    fta_store_problem problem;
    fta_status status = fta_limiter_open(&options, &self->limiter, &problem);
    if (status != FTA_OK) {
        Py_DECREF(self);
        return raise_for_open(status, &problem);
    }
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, limiter_new)

static void
limiter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_limiter_close(((limiter_object *)self)->limiter);
    Py_DECREF(((limiter_object *)self)->metrics);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -- one request ----------------------------------------------------------- */

/* Other threads run while this one waits for the network. The caller holds what
 * the core looks at meanwhile. With reservation, what was counted becomes one.
 */
static PyObject *
ask_core(PyObject *object, fta_action action, PyObject *const *args,
         Py_ssize_t nargs, fta_reservation **reservation)
{
    limiter_object *self = (limiter_object *)object;
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    PyObject *result = NULL;
    fta_request_arguments arguments;
    if (!fta_request_arguments_read(state, args, nargs, &arguments)) {
        goto done;
    }
    fta_metrics *metrics = fta_metrics_of(self->metrics);
    fta_released_gil gil = {.metrics = metrics};
    const fta_waiting waiting = fta_waiting_without_gil(&gil);
    const fta_limiter_request request = {action, arguments.limits,
                                         arguments.count, &arguments.requester};
    fta_limiter_answer answer;
    fta_status status =
        reservation == NULL
            ? fta_limiter_hit(self->limiter, &request, &waiting, &answer)
            : fta_limiter_reserve(self->limiter, &request, &waiting, &answer,
                                  reservation);
    if (status != FTA_OK) {
        fta_raise(status);
        goto done;
    }
    if (metrics != NULL) {
        fta_metrics_count_decision(metrics, &request, &answer);
    }
    result = fta_decision_new(
        state, &answer,
        arguments.count > 0 ? &arguments.limits[answer.verdict.index]->rate
                            : NULL);
done:
    fta_request_arguments_clear(&arguments);
    return result;
}

static PyObject *
ask(PyObject *object, fta_action action, PyObject *const *args,
    Py_ssize_t nargs)
{
    return ask_core(object, action, args, nargs, NULL);
}

PyDoc_STRVAR(
    limiter_hit_doc,
    "hit($self, limits, identity, address, custom=(), /)\n--\n\n"
    "Count a request against all limits; if one of them limits it, against\n"
    "none.\n"
    "Limits per user, member and tenant count by identity, and by address\n"
    "where that is None; the i-th limit per custom counts by custom[i], and\n"
    "by address where that is missing or empty.");

PyObject *
fta_limiter_count(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return ask(self, FTA_COUNT, args, nargs);
}

PyDoc_STRVAR(limiter_peek_doc,
             "peek($self, limits, identity, address, custom=(), /)\n--\n\n"
             "What hit would decide, counting nothing.");

static PyObject *
limiter_peek(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return ask(self, FTA_PEEK, args, nargs);
}

PyDoc_STRVAR(
    limiter_reserve_doc,
    "reserve($self, limits, identity, address, custom=(), /)\n--\n\n"
    "Count a request as hit does, before it is known whether it counts: the\n"
    "Reservation can be given back.");

static PyObject *
limiter_reserve(PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    fta_limiter *limiter = ((limiter_object *)object)->limiter;
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    fta_reservation *reservation = NULL;
    PyObject *decision = ask_core(object, FTA_COUNT, args, nargs, &reservation);
    if (decision == NULL) {
        /* Without an object to give it back by, it is as if never counted. */
        if (reservation != NULL) {
            (void)fta_limiter_give_back(limiter, reservation, 0, FTA_HITS_MAX,
                                        NULL);
            fta_reservation_free(reservation);
        }
        return NULL;
    }
    PyObject *made = fta_reservation_object_new(state, object, limiter,
                                                reservation, decision);
    Py_DECREF(decision);
    return made;
}

PyDoc_STRVAR(limiter_reset_doc,
             "reset($self, limits, identity, address, custom=(), /)\n--\n\n"
             "Forget what was counted of these limits for this requester.");

static PyObject *
limiter_reset(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *decision = ask(self, FTA_RESET, args, nargs);
    if (decision == NULL) {
        return NULL;
    }
    Py_DECREF(decision);
    Py_RETURN_NONE;
}

static PyObject *
value_of_fact(const fta_fact *fact)
{
    switch (fact->kind) {
    case FTA_FACT_NUMBER:
        return PyLong_FromUnsignedLongLong(fact->number);
    case FTA_FACT_BOOLEAN:
        return PyBool_FromLong(fact->number != 0);
    case FTA_FACT_TEXT:
        break;
    }
    if (fact->text == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(fact->text, (Py_ssize_t)strlen(fact->text),
                                "replace");
}

PyDoc_STRVAR(limiter_status_doc,
             "status($self, /)\n--\n\n"
             "What there is to know about the stores, for people: it reads\n"
             "the whole table. 'store' is where hits are counted now; with\n"
             "Redis, 'failure' tells why it was last away.");

static PyObject *
limiter_status(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_facts facts;
    fta_limiter_read(((limiter_object *)self)->limiter, &facts);
    PyObject *status = PyDict_New();
    for (size_t i = 0; status != NULL && i < facts.count; i++) {
        PyObject *value = value_of_fact(&facts.facts[i]);
        if (value == NULL ||
            PyDict_SetItemString(status, facts.facts[i].name, value) < 0) {
            Py_CLEAR(status);
        }
        Py_XDECREF(value);
    }
    return status;
}

PyDoc_STRVAR(limiter_close_doc,
             "close($self, /)\n--\n\n"
             "Leave Redis alone from now on, and remove the memory that is\n"
             "shared on this host if no counter in it is left and no other\n"
             "process uses it. To be called once, when the application ends.");

PyDoc_STRVAR(limiter_check_redis_doc,
             "check_redis($self, timeout_ms, /)\n--\n\n"
             "Have Redis count and forget a key of its own, as requests do.\n"
             "ConnectionError says why it does not; it comes after timeout_ms\n"
             "at the latest. Its code is the reason in snake_case, such as\n"
             "redis_timeout, its detail what Redis said. For people: it asks\n"
             "also while Redis is away.");

static PyObject *
limiter_check_redis(PyObject *self, PyObject *value)
{
    return fta_limiter_check_redis(((limiter_object *)self)->limiter, value);
}

PyDoc_STRVAR(limiter_ask_redis_doc,
             "ask_redis($self, words, timeout_ms, /)\n--\n\n"
             "The answer to one command, a list or tuple of up to 8 str: int,\n"
             "str, list or None. For people, as check_redis.");

static PyObject *
limiter_ask_redis(PyObject *self, PyObject *args)
{
    return fta_limiter_ask_redis(((limiter_object *)self)->limiter, args);
}

static PyObject *
limiter_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    /* May wait for a probe of Redis that is under way. */
    Py_INCREF(self);
    Py_BEGIN_ALLOW_THREADS
    fta_limiter_leave(((limiter_object *)self)->limiter);
    Py_END_ALLOW_THREADS
    Py_DECREF(self);
    Py_RETURN_NONE;
}

static fta_store_events
events_of(PyObject *self)
{
    return fta_limiter_events(((limiter_object *)self)->limiter);
}

static PyObject *
get_changes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(events_of(self).changes);
}

static PyObject *
get_evictions(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(events_of(self).evictions);
}

static PyObject *
get_first_failures(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(events_of(self).first_failures);
}

unsigned long long
fta_limiter_store_events(PyObject *self)
{
    fta_store_events events = events_of(self);
    return events.evictions + events.changes + events.first_failures;
}

static PyObject *
get_store_events(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(fta_limiter_store_events(self));
}

static PyGetSetDef limiter_getset[] = {
    {"store_events", get_store_events, NULL,
     "changes, first_failures and evictions together: another number than\n"
     "before means that one of them is.",
     NULL},
    {"changes", get_changes, NULL,
     "How often Redis went away or came back: odd while it is away. Cheap\n"
     "enough to compare after every request.",
     NULL},
    {"first_failures", get_first_failures, NULL,
     "In how many ways calls of Redis have failed while none ever succeeded.",
     NULL},
    {"evictions", get_evictions, NULL,
     "How many live counters the full table of this host has given up for\n"
     "fresh keys, ever. As cheap.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FAST(function) (PyCFunction)(void (*)(void))(function)

PyDoc_STRVAR(
    limiter_table_of_another_user_doc,
    "table_of_another_user(prefix, app, /)\n--\n\n"
    "Another user's counters of this prefix and app on this host: the\n"
    "user id and the name of the file, or None.");

static PyObject *
limiter_table_of_another_user(PyObject *Py_UNUSED(type), PyObject *args)
{
    PyObject *prefix, *app;
    fta_shm_table_options options = {.shared = true};
    fta_segment_owner owner;
    if (!PyArg_ParseTuple(args, "OO:table_of_another_user", &prefix, &app) ||
        !read_text(prefix, "prefix", &options.prefix) ||
        !read_text(app, "app", &options.app)) {
        return NULL;
    }
    fta_status status = fta_shm_table_of_others(&options, &owner);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    if (owner.name[0] == '\0') {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(ks)", (unsigned long)owner.user, owner.name);
}

static PyMethodDef limiter_methods[] = {
    {"hit", FAST(fta_limiter_count), METH_FASTCALL, limiter_hit_doc},
    {"reserve", FAST(limiter_reserve), METH_FASTCALL, limiter_reserve_doc},
    {"peek", FAST(limiter_peek), METH_FASTCALL, limiter_peek_doc},
    {"reset", FAST(limiter_reset), METH_FASTCALL, limiter_reset_doc},
    {"status", limiter_status, METH_NOARGS, limiter_status_doc},
    {"check_redis", limiter_check_redis, METH_O, limiter_check_redis_doc},
    {"ask_redis", limiter_ask_redis, METH_VARARGS, limiter_ask_redis_doc},
    {"close", limiter_close, METH_NOARGS, limiter_close_doc},
    {"table_of_another_user", limiter_table_of_another_user,
     METH_VARARGS | METH_STATIC, limiter_table_of_another_user_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    limiter_doc,
    "Limiter(*, prefix, app='', strategy='fixed-window',\n"
    "        shm_bytes=0, shared=True, redis_url='', timeout_ms=50,\n"
    "        on_store_error='memory', metrics=None, lease=0.0)\n--\n\n"
    "Counts requests against limits: in Redis where redis_url names one, and\n"
    "else, or while Redis is away, in memory that this user's processes with\n"
    "the same app and prefix share on this host. Any number of threads and\n"
    "forked children may use one. No call waits longer than timeout_ms. With\n"
    "shm_bytes=0 the memory is 16 MiB, or an eighth of what is free. lease is\n"
    "the part of what is left of a limit, up to LEASE_PART_MAX, that a host\n"
    "takes from Redis at once, to hand it out without a round trip. With\n"
    "shared=False, or where status() says why it is not shared, only this\n"
    "process and its children share the memory. What it decides is counted\n"
    "in metrics, if there are some.");

static PyType_Slot limiter_slots[] = {
    {Py_tp_doc, (void *)limiter_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(limiter_new)},
    {Py_tp_dealloc, (void *)limiter_dealloc},
    {Py_tp_methods, (void *)limiter_methods},
    {Py_tp_getset, (void *)limiter_getset},
    {0, NULL},
};

PyType_Spec fta_limiter_spec = {
    .name = "flask_tenant_auth._core.Limiter",
    .basicsize = sizeof(limiter_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = limiter_slots,
};

/* A dict of option to (least, most). */
static PyObject *
ranges_of_options(void)
{
    PyObject *ranges = PyDict_New();
    for (size_t i = 0; ranges != NULL && i < fta_store_range_count; i++) {
        const fta_store_range *range = &fta_store_ranges[i];
        PyObject *pair = Py_BuildValue("(KK)", (unsigned long long)range->least,
                                       (unsigned long long)range->most);
        if (pair == NULL ||
            PyDict_SetItemString(ranges, range->option, pair) < 0) {
            Py_CLEAR(ranges);
        }
        Py_XDECREF(pair);
    }
    return ranges;
}

/* What settings are checked against, so that it is said in the core alone. */
static int
add_constants(PyObject *module)
{
    fta_text names[FTA_STRATEGY_COUNT];
    fta_strategy_names(names);
    const fta_words strategies = FTA_WORDS(names);
    PyObject *ranges = ranges_of_options();
    int result = PyModule_AddObjectRef(module, "LIMITER_RANGES", ranges);
    Py_XDECREF(ranges);
    PyObject *part = result < 0 ? NULL : PyFloat_FromDouble(FTA_LEASE_PART_MAX);
    if (part == NULL) {
        return -1;
    }
    result = PyModule_AddObjectRef(module, "LEASE_PART_MAX", part);
    Py_DECREF(part);
    if (result < 0 || fta_add_words(module, "STRATEGIES", &strategies) < 0) {
        return -1;
    }
    return fta_add_words(module, "ON_STORE_ERRORS", &fta_on_store_error_words);
}

int
fta_add_limiter(PyObject *module)
{
    return add_constants(module);
}
