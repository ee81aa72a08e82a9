#include "binding/type_key_cache.h"

#include <stdbool.h>

#include <openssl/crypto.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"

#include "session/api_key.h"
#include "session/key_cache.h"

typedef struct key_cache {
    PyObject_HEAD
    fta_key_cache *cache; /* Owned */
} key_cache;

static fta_key_cache *
cache_of(PyObject *self)
{
    return ((key_cache *)self)->cache;
}

static PyObject *
key_cache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"name",   "app",       "slots",
                               "shared", "directory", NULL};
    PyObject *name, *app = NULL, *directory = NULL, *encoded = NULL;
    Py_ssize_t slots = 1024;
    int shared = 1, error = 0;
    fta_key_cache_options options = {.app = {"", 0}};
    key_cache *self = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U|$UnpU:KeyCache", keywords,
                                     &name, &app, &slots, &shared,
                                     &directory) ||
        !fta_utf8_from_str(name, "name", &options.name) ||
        (app != NULL && !fta_utf8_from_str(app, "app", &options.app))) {
        return NULL;
    }
    if (slots < (Py_ssize_t)FTA_KEY_CACHE_SLOTS_MIN ||
        slots > (Py_ssize_t)FTA_KEY_CACHE_SLOTS_MAX) {
        PyErr_SetString(PyExc_ValueError, "slots must be from 4 to 1048576");
        return NULL;
    }
    if (directory != NULL && PyUnicode_GET_LENGTH(directory) > 0) {
        if (!PyUnicode_FSConverter(directory, (void *)&encoded)) {
            return NULL;
        }
        options.directory = PyBytes_AS_STRING(encoded);
    }
    options.slots = (size_t)slots;
    options.shared = shared != 0;
    self = (key_cache *)type->tp_alloc(type, 0);
    if (self != NULL) {
        fta_status status = fta_key_cache_open(&options, &self->cache, &error);
        if (status != FTA_OK) {
            Py_CLEAR(self);
            if (status == FTA_SYSTEM) {
                errno = error;
                PyErr_SetFromErrno(PyExc_OSError);
            } else {
                fta_raise(status);
            }
        }
    }
    Py_XDECREF(encoded);
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, key_cache_new)

static void
key_cache_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fta_key_cache_close(cache_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

/* The id of a key. ValueError for another text. */
static bool
read_id(PyObject *value, fta_text *out)
{
    if (!fta_utf8_from_str(value, "key_id", out)) {
        return false;
    }
    if (!fta_api_key_is_id(*out)) {
        PyErr_SetString(PyExc_ValueError,
                        "key_id must be 16 characters of a-z and 2-7");
        return false;
    }
    return true;
}

PyDoc_STRVAR(begin_doc, "begin($self, key_id, /)\n--\n\n"
                        "What put() has to be given: to be called before the "
                        "store is asked.");

static PyObject *
key_cache_begin(PyObject *self, PyObject *key_id)
{
    fta_text id;
    fta_key_cache_ticket ticket;
    if (!read_id(key_id, &id)) {
        return NULL;
    }
    fta_key_cache_begin(cache_of(self), id.data, &ticket);
    return Py_BuildValue("KL", (unsigned long long)ticket.epoch,
                         (long long)ticket.us);
}

PyDoc_STRVAR(put_doc,
             "put($self, key_id, ticket, ms, value, /)\n--\n\n"
             "Keep what the store has answered, until so many milliseconds,\n"
             "at most 60,000, after begin() returned the ticket. Nobody finds\n"
             "it if the key was dropped since.");

static PyObject *
key_cache_put(PyObject *self, PyObject *args)
{
    PyObject *key_id, *value;
    unsigned long long epoch;
    long long us, ms;
    fta_text id;
    if (!PyArg_ParseTuple(args, "O(KL)LS:put", &key_id, &epoch, &us, &ms,
                          &value) ||
        !read_id(key_id, &id)) {
        return NULL;
    }
    const fta_key_cache_ticket ticket = {epoch, us};
    fta_key_cache_put(
        cache_of(self), id.data, &ticket, ms,
        (fta_text){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)});
    Py_RETURN_NONE;
}

PyDoc_STRVAR(find_doc, "find($self, key_id, /)\n--\n\n"
                       "What was put of a key and has not ended, or None.");

static PyObject *
key_cache_find(PyObject *self, PyObject *key_id)
{
    fta_text id;
    char value[FTA_KEY_CACHE_VALUE_MAX];
    size_t length;
    if (!read_id(key_id, &id)) {
        return NULL;
    }
    if (!fta_key_cache_find(cache_of(self), id.data, value, &length)) {
        Py_RETURN_NONE;
    }
    return PyBytes_FromStringAndSize(value, (Py_ssize_t)length);
}

PyDoc_STRVAR(drop_doc,
             "drop($self, key_id, /)\n--\n\n"
             "Let nobody find what the store has said of a key up to now, on\n"
             "this host.");

static PyObject *
key_cache_drop(PyObject *self, PyObject *key_id)
{
    fta_text id;
    if (!read_id(key_id, &id)) {
        return NULL;
    }
    fta_key_cache_drop(cache_of(self), id.data);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nDrop all keys.");

static PyObject *
key_cache_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fta_key_cache_clear(cache_of(self));
    Py_RETURN_NONE;
}

static PyMethodDef key_cache_methods[] = {
    {"begin", key_cache_begin, METH_O, begin_doc},
    {"put", key_cache_put, METH_VARARGS, put_doc},
    {"find", key_cache_find, METH_O, find_doc},
    {"drop", key_cache_drop, METH_O, drop_doc},
    {"clear", key_cache_clear, METH_NOARGS, clear_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(key_cache_doc,
             "KeyCache(name, *, app='', slots=1024, shared=True, "
             "directory='')\n--\n\n"
             "What the store said of API keys, in memory that the processes\n"
             "of this host share. Processes that give the same name and app\n"
             "use the same.");

static PyType_Slot key_cache_slots[] = {
    {Py_tp_doc, (void *)key_cache_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(key_cache_new)},
    {Py_tp_dealloc, (void *)key_cache_dealloc},
    {Py_tp_methods, (void *)key_cache_methods},
    {0, NULL},
};

PyType_Spec fta_key_cache_spec = {
    .name = "flask_tenant_auth._core.KeyCache",
    .basicsize = sizeof(key_cache),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = key_cache_slots,
};

/* --- functions of keys -------------------------------------------------- */

static PyObject *
digest_of(const fta_api_key *key)
{
    return PyBytes_FromStringAndSize((const char *)key->digest,
                                     FTA_API_KEY_DIGEST);
}

PyDoc_STRVAR(make_api_key_doc,
             "make_api_key()\n--\n\n"
             "A new API key: its text, its id and the SHA-256 of its secret.");

static PyObject *
make_api_key(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    char text[FTA_API_KEY_LENGTH];
    fta_api_key key;
    fta_status status = fta_api_key_make(text, &key);
    PyObject *made =
        status == FTA_OK
            ? Py_BuildValue("s#s#N", text, (Py_ssize_t)sizeof text, key.id,
                            (Py_ssize_t)sizeof key.id, digest_of(&key))
            : fta_raise(status);
    OPENSSL_cleanse(text, sizeof text);
    return made;
}

PyDoc_STRVAR(read_api_key_doc,
             "read_api_key(key)\n--\n\n"
             "The id that an API key says, not yet trusted, and the SHA-256\n"
             "of its secret; None for a malformed one.");

static PyObject *
read_api_key(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"key", NULL};
    PyObject *value, *holder;
    fta_text text;
    fta_api_key key;
    bool is_key;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:read_api_key", keywords,
                                     &value) ||
        !fta_octets_from_object(value, "key", &text, &holder)) {
        return NULL;
    }
    fta_status status = fta_api_key_read(text, &is_key, &key);
    Py_XDECREF(holder);
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    if (!is_key) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("s#N", key.id, (Py_ssize_t)sizeof key.id,
                         digest_of(&key));
}

FTA_KEYWORDS(PyObject, read_api_key)

static PyMethodDef functions[] = {
    {"make_api_key", make_api_key, METH_NOARGS, make_api_key_doc},
    {"read_api_key", FTA_KEYWORDS_METHOD(read_api_key), read_api_key_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_key_cache(PyObject *module)
{
    if (PyModule_AddStringConstant(module, "API_KEY_PREFIX",
                                   FTA_API_KEY_PREFIX) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
