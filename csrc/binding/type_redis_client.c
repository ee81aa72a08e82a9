/* RedisClient: one Redis, and commands to it. */
#include <limits.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"
#include "binding/redis_values.h"
#include "binding/state.h"
#include "redis/client.h"
#include "redis/nodes.h"
#include "redis/url.h"

enum {
    WORDS_MAX = 2048,
    NUMBER_TEXT = 24, /* of a 64-bit number */
    TIMEOUT_MS = 3000,
};

typedef struct client_object {
    PyObject_HEAD
    fta_redis_client *client; /* Owned */
    unsigned slot;
    int timeout_ms;
} client_object;

static fta_status
open_client(fta_text url, fta_redis_client **out, fta_redis_problem *problem)
{
    fta_redis_url *parsed;
    const char *wrong;
    fta_status status =
        fta_redis_url_parse(url.data, url.length, &parsed, &wrong);
    if (status != FTA_OK) {
        if (wrong != NULL) {
            fta_redis_problem_set(problem, wrong);
        }
        return status;
    }
    status = fta_redis_client_new(parsed, out, problem);
    if (status != FTA_OK) {
        fta_redis_url_free(parsed);
    }
    return status;
}

static PyObject *
client_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"url", "tag", "timeout_ms", NULL};
    PyObject *url_object, *tag_object = NULL;
    int timeout_ms = TIMEOUT_MS;
    fta_text url, tag = {"", 0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$Oi:RedisClient",
                                     keywords, &url_object, &tag_object,
                                     &timeout_ms) ||
        !fta_utf8_from_str(url_object, "url", &url) ||
        (tag_object != NULL && !fta_utf8_from_str(tag_object, "tag", &tag))) {
        return NULL;
    }
    if (timeout_ms < 1) {
        PyErr_SetString(PyExc_ValueError, "timeout_ms must be at least 1");
        return NULL;
    }
    client_object *self = PyObject_New(client_object, type);
    if (self == NULL) {
        return NULL;
    }
    self->client = NULL;
    self->slot = fta_redis_slot_of(tag.data, tag.length);
    self->timeout_ms = timeout_ms;
    fta_redis_problem problem = {""};
    fta_status status = open_client(url, &self->client, &problem);
    if (status != FTA_OK) {
        Py_DECREF(self);
        return problem.text[0] == '\0'
                   ? fta_raise(status)
                   : PyErr_Format(PyExc_ValueError, "url cannot be used: %s",
                                  problem.text);
    }
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, client_new)

static void
client_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_redis_client_free(((client_object *)self)->client);
    type->tp_free(self);
    Py_DECREF(type);
}

/* One word of a command. Its text lives as long as the object, or as number. */
static bool
read_word(PyObject *value, char number[NUMBER_TEXT], fta_text *out)
{
    if (PyBytes_Check(value)) {
        *out = (fta_text){PyBytes_AS_STRING(value),
                          (size_t)PyBytes_GET_SIZE(value)};
        return true;
    }
    if (PyLong_Check(value)) {
        long long whole = PyLong_AsLongLong(value);
        if (whole == -1 && PyErr_Occurred()) {
            return false;
        }
        int length = snprintf(number, NUMBER_TEXT, "%lld", whole);
        *out = (fta_text){number, (size_t)length};
        return true;
    }
    if (PyUnicode_Check(value)) {
        return fta_utf8_from_str(value, "an item of words", out);
    }
    PyErr_Format(PyExc_TypeError,
                 "an item of words must be bytes, str or int, not %.80s",
                 Py_TYPE(value)->tp_name);
    return false;
}

/* Room for the words of one command. */
typedef struct words {
    const char **texts;           /* Owned */
    size_t *lengths;              /* Owned */
    char (*numbers)[NUMBER_TEXT]; /* Owned */
} words;

static void
words_clear(words *all)
{
    fta_free(all->numbers);
    fta_free(all->lengths);
    fta_free(all->texts);
}

static bool
words_read(words *all, PyObject *args)
{
    size_t count = (size_t)PyTuple_GET_SIZE(args);
    if (count < 1 || count > WORDS_MAX) {
        PyErr_Format(PyExc_ValueError, "words must be 1 to %d", WORDS_MAX);
        return false;
    }
    all->texts = fta_calloc(count, sizeof(*all->texts));
    all->lengths = fta_calloc(count, sizeof(*all->lengths));
    all->numbers = fta_calloc(count, sizeof(*all->numbers));
    if (all->texts == NULL || all->lengths == NULL || all->numbers == NULL) {
        fta_raise(FTA_NO_MEMORY);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        fta_text word;
        if (!read_word(PyTuple_GET_ITEM(args, (Py_ssize_t)i), all->numbers[i],
                       &word)) {
            return false;
        }
        all->texts[i] = word.data;
        all->lengths[i] = word.length;
    }
    return true;
}

/* What the keywords of a call say; false with an exception. */
static bool
read_sending(const client_object *self, PyObject *kwargs,
             fta_redis_sending *out)
{
    static char *keywords[] = {"wait_ms", "resend", NULL};
    int wait_ms = 0, resend = 1;
    PyObject *nothing = PyTuple_New(0);
    if (nothing == NULL) {
        return false;
    }
    int read = PyArg_ParseTupleAndKeywords(nothing, kwargs, "|$ip:call",
                                           keywords, &wait_ms, &resend);
    Py_DECREF(nothing);
    if (!read) {
        return false;
    }
    if (wait_ms < 0) {
        PyErr_SetString(PyExc_ValueError, "wait_ms must be at least 0");
        return false;
    }
    int64_t allowed_us = ((int64_t)self->timeout_ms + wait_ms) * 1000;
    *out = (fta_redis_sending){
        .slot = self->slot,
        .deadline = fta_clock_monotonic_us() + allowed_us,
        .resend = resend ? FTA_REDIS_RESEND_CLOSED : FTA_REDIS_RESEND_REFUSED,
    };
    return true;
}

PyDoc_STRVAR(client_call_doc,
             "call($self, /, *words, wait_ms=0, resend=True)\n--\n\n"
             "The reply to one command: int, bytes, list or None. A word is\n"
             "bytes, str or int. ConnectionError says why there is none: its\n"
             "code is the reason in snake_case, such as redis_timeout or\n"
             "redis_no_script, its detail what Redis said. After all but an\n"
             "answer of Redis the command may have been carried out.\n"
             "The call takes timeout_ms and wait_ms at most: wait_ms is for\n"
             "commands that block. With resend=False the command is carried\n"
             "out at most once. Else it is sent again when a connection\n"
             "closes that was idle before, and may be carried out twice.");

static PyObject *
client_call(PyObject *object, PyObject *args, PyObject *kwargs)
{
    client_object *self = (client_object *)object;
    fta_redis_sending sending;
    if (!read_sending(self, kwargs, &sending)) {
        return NULL;
    }
    PyObject *result = NULL;
    words all = {0};
    /* The objects of the words stay for as long as the tuple and self do. */
    Py_INCREF(object);
    Py_INCREF(args);
    if (!words_read(&all, args)) {
        goto done;
    }
    const fta_redis_command command = {(int)PyTuple_GET_SIZE(args), all.texts,
                                       all.lengths};
    fta_redis_problem problem = {""};
    fta_redis_reply *reply = NULL;
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_redis_client_call(self->client, &command, &sending, &reply,
                                   &problem);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        fta_raise_redis(status, &problem);
    } else {
        result = fta_bytes_of_reply(reply);
    }
    fta_redis_reply_free(reply);
done:
    words_clear(&all);
    Py_DECREF(args);
    Py_DECREF(object);
    return result;
}

FTA_KEYWORDS(PyObject, client_call)

PyDoc_STRVAR(client_close_doc,
             "close($self, /)\n--\n\n"
             "Close the connections of this process: the idle ones now, the\n"
             "others when their calls end. A later call connects anew.");

static PyObject *
client_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(object);
    Py_BEGIN_ALLOW_THREADS
    fta_redis_client_disconnect(((client_object *)object)->client);
    Py_END_ALLOW_THREADS
    Py_DECREF(object);
    Py_RETURN_NONE;
}

static PyMethodDef client_methods[] = {
    {"call", FTA_KEYWORDS_METHOD(client_call), client_call_doc},
    {"close", client_close, METH_NOARGS, client_close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    client_doc,
    "RedisClient(url, *, tag='', timeout_ms=3000)\n--\n\n"
    "A client of one Redis, which any number of threads and forked children\n"
    "may use. It connects when it is first called. In a cluster it calls the\n"
    "node that has the keys with the hash tag. No call of it reaches a\n"
    "replica that the URL does not name.");

static PyType_Slot client_slots[] = {
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(client_new)},
    {Py_tp_dealloc, (void *)client_dealloc},
    {Py_tp_methods, client_methods},
    {Py_tp_doc, (void *)client_doc},
    {0, NULL},
};

PyType_Spec fta_redis_client_spec = {
    .name = "flask_tenant_auth._core.RedisClient",
    .basicsize = sizeof(client_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = client_slots,
};
