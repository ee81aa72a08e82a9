#include "binding/type_limiter.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/type_decision.h"
#include "binding/type_identity.h"
#include "binding/type_limit.h"

#include "limit/limiter.h"

typedef struct limiter_object {
    PyObject_HEAD
    fta_limiter *limiter; /* Owned. */
} limiter_object;

/* Each reads a str, or leaves out as it is where the argument is missing. */
static bool
read_text(PyObject *value, const char *argument, fta_text *out)
{
    return value == NULL || fta_utf8_from_str(value, argument, out);
}

static bool
read_strategy(PyObject *value, fta_strategy *out)
{
    fta_text text;
    if (value == NULL) {
        return true;
    }
    if (!fta_utf8_from_str(value, "strategy", &text)) {
        return false;
    }
    if (!fta_strategy_parse(text.data, text.length, out)) {
        PyErr_Format(PyExc_ValueError,
                     "strategy must be one of fixed-window, "
                     "sliding-window-counter, gcra, not %R",
                     value);
        return false;
    }
    return true;
}

static bool
read_on_store_error(PyObject *value, fta_on_store_error *out)
{
    fta_text text;
    if (value == NULL) {
        return true;
    }
    if (!fta_utf8_from_str(value, "on_store_error", &text)) {
        return false;
    }
    if (!fta_on_store_error_parse(text, out)) {
        PyErr_Format(
            PyExc_ValueError,
            "on_store_error must be one of memory, allow, deny, not %R", value);
        return false;
    }
    return true;
}

static PyObject *
limiter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "prefix",    "app",        "strategy",       "shm_bytes", "shared",
        "redis_url", "timeout_ms", "on_store_error", NULL};
    PyObject *prefix = NULL, *app = NULL, *strategy = NULL, *redis_url = NULL,
             *on_store_error = NULL;
    Py_ssize_t shm_bytes = 0;
    int shared = 1;
    fta_limiter_options options = {.timeout_ms = 50};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOnpOiO:Limiter",
                                     keywords, &prefix, &app, &strategy,
                                     &shm_bytes, &shared, &redis_url,
                                     &options.timeout_ms, &on_store_error)) {
        return NULL;
    }
    if (prefix == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "Limiter() misses the keyword argument 'prefix'");
        return NULL;
    }
    if (!read_text(prefix, "prefix", &options.memory.prefix) ||
        !read_text(app, "app", &options.memory.app) ||
        !read_strategy(strategy, &options.strategy) ||
        !read_text(redis_url, "redis_url", &options.redis_url) ||
        !read_on_store_error(on_store_error, &options.on_store_error)) {
        return NULL;
    }
    if (options.timeout_ms < 1) {
        PyErr_SetString(PyExc_ValueError, "timeout_ms must be at least 1");
        return NULL;
    }
    options.memory.bytes = shm_bytes < 0 ? SIZE_MAX : (size_t)shm_bytes;
    options.memory.shared = shared;

    limiter_object *self = PyObject_New(limiter_object, type);
    if (self == NULL) {
        return NULL;
    }
    self->limiter = NULL;
    fta_redis_problem problem;
    fta_status status = fta_limiter_open(&options, &self->limiter, &problem);
    if (status != FTA_OK) {
        Py_DECREF(self);
        if (problem.text[0] != '\0') {
            return PyErr_Format(PyExc_ValueError, "redis_url: %s",
                                problem.text);
        }
        return fta_raise(status);
    }
    return (PyObject *)self;
}

static void
limiter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_limiter_close(((limiter_object *)self)->limiter);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -- one request ----------------------------------------------------------- */

/* The arguments of hit, peek and reset. Other threads run while the core looks
 * at them: all that it looks at is held. */
typedef struct request {
    PyObject *limit_objects;  /* Owned: a tuple of Limit. */
    PyObject *identity;       /* Owned */
    PyObject *address;        /* Owned */
    PyObject *custom_objects; /* Owned: a tuple of str. */
    size_t count;
    const fta_limit *limits[FTA_HITS_MAX]; /* Borrowed from limit_objects. */
    fta_text custom[FTA_HITS_MAX];         /* Borrowed from custom_objects. */
    fta_requester requester; /* Borrowed from identity and address. */
} request;

static void
request_clear(request *r)
{
    Py_CLEAR(r->limit_objects);
    Py_CLEAR(r->identity);
    Py_CLEAR(r->address);
    Py_CLEAR(r->custom_objects);
}

/* A tuple cannot change under us, whatever other threads do. */
static PyObject *
tuple_of(PyObject *value, const char *argument)
{
    if (PyTuple_CheckExact(value)) {
        return Py_NewRef(value);
    }
    if (!PyList_Check(value) && !PyTuple_Check(value)) {
        return PyErr_Format(PyExc_TypeError,
                            "%s must be a list or a tuple, not %.100s",
                            argument, Py_TYPE(value)->tp_name);
    }
    return PySequence_Tuple(value);
}

static bool
read_limits(const fta_state *state, request *r)
{
    Py_ssize_t count = PyTuple_GET_SIZE(r->limit_objects);
    if (count > FTA_HITS_MAX) {
        PyErr_Format(PyExc_ValueError, "at most %d limits for one request",
                     FTA_HITS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(r->limit_objects, i);
        if (!Py_IS_TYPE(item, state->limit_type)) {
            PyErr_Format(PyExc_TypeError, "limits must hold Limit, not %.100s",
                         Py_TYPE(item)->tp_name);
            return false;
        }
        r->limits[i] = &((fta_limit_object *)item)->limit;
    }
    r->count = (size_t)count;
    return true;
}

static bool
read_custom(request *r)
{
    Py_ssize_t count = PyTuple_GET_SIZE(r->custom_objects);
    if (count > FTA_HITS_MAX) {
        PyErr_Format(PyExc_ValueError, "custom must be at most %d",
                     FTA_HITS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(r->custom_objects, i),
                               "an item of custom", &r->custom[i])) {
            return false;
        }
    }
    r->requester.custom = r->custom;
    r->requester.custom_count = (size_t)count;
    return true;
}

static bool
read_identity(const fta_state *state, PyObject *value, request *r)
{
    const fta_identity *identity;
    if (!fta_read_identity(state, value, &identity)) {
        return false;
    }
    if (identity != NULL) {
        r->requester.tenant_id = &identity->claims.tenant_id;
        r->requester.user_id = &identity->claims.user_id;
    }
    return true;
}

/* Fills all of r, or what request_clear needs. */
static bool
read_request(const fta_state *state, PyObject *const *args, Py_ssize_t nargs,
             request *r)
{
    r->limit_objects = r->custom_objects = NULL;
    r->identity = r->address = NULL;
    r->requester = (fta_requester){0};
    if (nargs < 3 || nargs > 4) {
        PyErr_Format(PyExc_TypeError,
                     "limits, identity, address and perhaps custom are "
                     "expected, not %zd arguments",
                     nargs);
        return false;
    }
    r->identity = Py_NewRef(args[1]);
    r->address = Py_NewRef(args[2]);
    /* What runs foreign code, the iteration of a subclass of list, comes
     * first; the texts are looked at when all is held. */
    if ((r->limit_objects = tuple_of(args[0], "limits")) == NULL ||
        (nargs == 4 &&
         (r->custom_objects = tuple_of(args[3], "custom")) == NULL)) {
        return false;
    }
    return read_limits(state, r) && read_identity(state, r->identity, r) &&
           fta_utf8_from_str(r->address, "address", &r->requester.address) &&
           (nargs < 4 || read_custom(r));
}

/* Other threads run while this one waits for Redis. What the core looks at
 * meanwhile is held by the request and by ask(). */
static void
let_go(void *context)
{
    *(PyThreadState **)context = PyEval_SaveThread();
}

static void
take_back(void *context)
{
    PyEval_RestoreThread(*(PyThreadState **)context);
}

static PyObject *
ask(PyObject *object, fta_action action, PyObject *const *args,
    Py_ssize_t nargs)
{
    limiter_object *self = (limiter_object *)object;
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    PyObject *result = NULL;
    request r;
    Py_INCREF(object);
    if (!read_request(state, args, nargs, &r)) {
        goto done;
    }
    fta_store store;
    fta_verdict verdict;
    PyThreadState *thread = NULL;
    const fta_waiting waiting = {let_go, take_back, &thread};
    fta_status status =
        fta_limiter_hit(self->limiter, action, r.limits, r.count, &r.requester,
                        &waiting, &store, &verdict);
    if (status != FTA_OK) {
        fta_raise(status);
        goto done;
    }
    PyObject *rate = Py_None;
    if (r.count > 0) {
        PyObject *decider = PyTuple_GET_ITEM(r.limit_objects, verdict.index);
        rate = ((fta_limit_object *)decider)->rate;
    }
    result = fta_decision_new(state, store, &verdict, rate);
done:
    request_clear(&r);
    Py_DECREF(object);
    return result;
}

PyDoc_STRVAR(
    limiter_hit_doc,
    "hit($self, limits, identity, address, custom=(), /)\n--\n\n"
    "Count a request against all limits, or, if one refuses, against none.\n"
    "Limits per user, member and tenant count by identity, and by address\n"
    "where that is None; the i-th limit per custom counts by custom[i], and\n"
    "by address where that is missing or empty.");

static PyObject *
limiter_hit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
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

/* What there is to say about Redis. */
static bool
add_redis(PyObject *status, fta_redis_store *redis)
{
    fta_redis_state state;
    fta_redis_store_read(redis, &state);
    bool away = fta_breaker_is_open(state.changes);
    PyObject *redis_status = Py_BuildValue(
        "{s:s,s:s,s:O,s:O,s:s,s:k,s:s,s:s}", "store",
        away || state.stopped ? "memory" : "redis", "redis_url", state.url,
        "cluster", state.cluster ? Py_True : Py_False, "redis_has_counted",
        state.has_counted ? Py_True : Py_False, "breaker",
        away ? "open" : "closed", "changes", (unsigned long)state.changes,
        "failure",
        state.failure == FTA_OK ? "" : fta_status_text(state.failure),
        "failure_detail", state.problem.text);
    bool added =
        redis_status != NULL && PyDict_Update(status, redis_status) == 0;
    Py_XDECREF(redis_status);
    return added;
}

PyDoc_STRVAR(limiter_status_doc,
             "status($self, /)\n--\n\n"
             "What there is to know about the stores, for people: it reads\n"
             "the whole table. 'store' is where hits are counted now; with\n"
             "Redis, 'failure' tells why it was last away.");

static PyObject *
limiter_status(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const fta_limiter *limiter = ((limiter_object *)object)->limiter;
    fta_redis_store *redis = fta_limiter_redis(limiter);
    int unshared = fta_limiter_unshared(limiter);
    fta_shm_table_usage usage;
    fta_shm_table_usage_read(fta_limiter_memory(limiter), &usage);
    PyObject *status = Py_BuildValue(
        "{s:s,s:s,s:O,s:z,s:z,s:z,s:n,s:O,s:n,s:n,s:K}", "store", "memory",
        "strategy", fta_strategy_name(fta_limiter_strategy(limiter)), "shared",
        usage.path != NULL ? Py_True : Py_False, "path", usage.path,
        "not_shared_because", unshared != 0 ? strerror(unshared) : NULL,
        "foreign_file", usage.foreign, "shm_bytes", (Py_ssize_t)usage.bytes,
        "has_other_size", usage.has_other_size ? Py_True : Py_False, "slots",
        (Py_ssize_t)usage.slots, "slots_used", (Py_ssize_t)usage.slots_used,
        "evictions", (unsigned long long)usage.evictions);
    if (status != NULL && redis != NULL && !add_redis(status, redis)) {
        Py_CLEAR(status);
    }
    return status;
}

PyDoc_STRVAR(limiter_close_doc,
             "close($self, /)\n--\n\n"
             "Leave Redis alone from now on, and remove the memory that is\n"
             "shared on this host if no counter in it is left and no other\n"
             "process uses it. To be called once, when the application ends.");

/* -- what people ask of Redis ---------------------------------------------- */

/* Deep enough for every answer to a question of ours. */
#define REPLY_DEPTH 8

static PyObject *
value_of_reply(const fta_redis_reply *reply, int depth)
{
    switch (reply->type) {
    case FTA_REDIS_INTEGER:
        return PyLong_FromLongLong(reply->integer);
    case FTA_REDIS_TEXT:
    case FTA_REDIS_ERROR:
        return PyUnicode_DecodeUTF8(reply->text, (Py_ssize_t)reply->length,
                                    "replace");
    case FTA_REDIS_ARRAY:
        break;
    default:
        Py_RETURN_NONE;
    }
    if (depth == 0) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New((Py_ssize_t)reply->length);
    for (size_t i = 0; list != NULL && i < reply->length; i++) {
        PyObject *value = value_of_reply(reply->elements[i], depth - 1);
        if (value == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
        }
    }
    return list;
}

/* The Redis of a limiter, borrowed; NULL with an exception. */
static fta_redis_store *
redis_of(PyObject *self, int timeout_ms)
{
    fta_redis_store *redis =
        fta_limiter_redis(((limiter_object *)self)->limiter);
    if (redis == NULL) {
        PyErr_SetString(PyExc_ValueError, "this limiter has no redis_url");
    } else if (timeout_ms < 1) {
        PyErr_SetString(PyExc_ValueError, "timeout_ms must be at least 1");
        redis = NULL;
    }
    return redis;
}

/* Sets an exception whose attribute code says which status it is, and detail
 * what Redis or the system said, as far as that is known. */
static PyObject *
raise_redis(fta_status status, const fta_redis_problem *problem)
{
    char text[sizeof problem->text + 128];
    (void)snprintf(text, sizeof text, "%s%s%s", fta_status_text(status),
                   problem->text[0] == '\0' ? "" : ": ", problem->text);
    fta_raise(status);
    PyObject *kind = Py_XNewRef(PyErr_Occurred());
    PyErr_Clear();
    PyObject *code = fta_code_of(status);
    PyObject *detail = PyUnicode_DecodeUTF8(
        problem->text, (Py_ssize_t)strlen(problem->text), "replace");
    PyObject *message =
        PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    PyObject *error = NULL;
    if (kind != NULL && code != NULL && detail != NULL && message != NULL) {
        error = PyObject_CallOneArg(kind, message);
    }
    if (error != NULL && PyObject_SetAttrString(error, "code", code) == 0 &&
        PyObject_SetAttrString(error, "detail", detail) == 0) {
        PyErr_SetObject(kind, error);
    }
    Py_XDECREF(error);
    Py_XDECREF(message);
    Py_XDECREF(detail);
    Py_XDECREF(code);
    Py_XDECREF(kind);
    return NULL;
}

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
    long timeout_ms = PyLong_AsLong(value);
    if (timeout_ms == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (timeout_ms > INT_MAX) {
        timeout_ms = INT_MAX;
    }
    fta_redis_store *redis =
        redis_of(self, timeout_ms < 1 ? 0 : (int)timeout_ms);
    if (redis == NULL) {
        return NULL;
    }
    fta_redis_problem problem = {""};
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_redis_store_check(redis, (int)timeout_ms, &problem);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        return raise_redis(status, &problem);
    }
    Py_RETURN_NONE;
}

#define WORDS_MAX 8

PyDoc_STRVAR(limiter_ask_redis_doc,
             "ask_redis($self, words, timeout_ms, /)\n--\n\n"
             "The answer to one command, a list or tuple of up to 8 str: int,\n"
             "str, list or None. For people, as check_redis.");

static PyObject *
limiter_ask_redis(PyObject *self, PyObject *args)
{
    PyObject *value, *result = NULL;
    int timeout_ms;
    if (!PyArg_ParseTuple(args, "Oi:ask_redis", &value, &timeout_ms)) {
        return NULL;
    }
    fta_redis_store *redis = redis_of(self, timeout_ms);
    PyObject *words = redis == NULL ? NULL : tuple_of(value, "words");
    if (words == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(words);
    const char *texts[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    if (count < 1 || count > WORDS_MAX) {
        PyErr_Format(PyExc_ValueError, "words must be 1 to %d", WORDS_MAX);
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        fta_text text;
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(words, i), "an item of words",
                               &text)) {
            goto done;
        }
        texts[i] = text.data;
        lengths[i] = text.length;
    }
    fta_redis_problem problem = {""};
    fta_redis_reply *reply = NULL;
    fta_status status;
    Py_BEGIN_ALLOW_THREADS /* The tuple holds the texts. */
    status = fta_redis_store_call(redis, (int)count, texts, lengths, timeout_ms,
                                  &reply, &problem);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        raise_redis(status, &problem);
    } else {
        result = value_of_reply(reply, REPLY_DEPTH);
    }
    fta_redis_reply_free(reply);
done:
    Py_DECREF(words);
    return result;
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

static PyObject *
get_changes(PyObject *self, void *Py_UNUSED(closure))
{
    fta_redis_store *redis =
        fta_limiter_redis(((limiter_object *)self)->limiter);
    return PyLong_FromUnsignedLong(
        redis == NULL ? 0 : fta_redis_store_changes(redis));
}

static PyObject *
get_evictions(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(fta_shm_table_evictions(
        fta_limiter_memory(((limiter_object *)self)->limiter)));
}

static PyObject *
get_store_events(PyObject *self, void *Py_UNUSED(closure))
{
    const fta_limiter *limiter = ((limiter_object *)self)->limiter;
    fta_redis_store *redis = fta_limiter_redis(limiter);
    unsigned long long of_redis =
        redis == NULL ? 0
                      : (unsigned long long)fta_redis_store_changes(redis) +
                            fta_redis_store_first_failures(redis);
    return PyLong_FromUnsignedLongLong(
        of_redis + fta_shm_table_evictions(fta_limiter_memory(limiter)));
}

static PyObject *
get_first_failures(PyObject *self, void *Py_UNUSED(closure))
{
    fta_redis_store *redis =
        fta_limiter_redis(((limiter_object *)self)->limiter);
    return PyLong_FromUnsignedLong(
        redis == NULL ? 0 : fta_redis_store_first_failures(redis));
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
    {"hit", FAST(limiter_hit), METH_FASTCALL, limiter_hit_doc},
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
    "        on_store_error='memory')\n--\n\n"
    "Counts requests against limits: in Redis where redis_url names one, and\n"
    "else, or while Redis is away, in memory that this user's processes with\n"
    "the same app and prefix share on this host. Any number of threads and\n"
    "forked children may use one. No call waits longer than timeout_ms. With\n"
    "shm_bytes=0 the memory is 16 MiB, or an eighth of what is free. With\n"
    "shared=False, or where status() says why it is not shared, only this\n"
    "process and its children share the memory.");

static PyType_Slot limiter_slots[] = {
    {Py_tp_doc, (void *)limiter_doc},
    {Py_tp_new, (void *)limiter_new},
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

int
fta_add_limiter(PyObject *module)
{
    /* What the settings are checked against, so that it stands here alone. */
    return PyModule_AddIntConstant(module, "SHM_BYTES_MIN",
                                   (long)FTA_SHM_TABLE_MIN) < 0
               ? -1
               : PyModule_AddIntConstant(module, "SHM_BYTES_MAX",
                                         (long)FTA_SHM_TABLE_MAX);
}
