#include "binding/type_cors_rules.h"

#include <stddef.h>

#include "binding/convert.h"

#include "http/cors.h"

typedef struct cors_rules {
    PyObject_HEAD
    fta_cors_rules *rules; /* Owned */
    PyObject *listed;      /* Owned: a tuple, by place in origins: a list of
                            * fields, or None for a pattern */
    PyObject *others;      /* Owned: a list of fields, for other origins */
    PyObject *allowed;     /* Owned: a list of fields, for each that is allowed,
                            * but for its Access-Control-Allow-Origin */
} cors_rules;

static void
cors_rules_dealloc(PyObject *object)
{
    cors_rules *self = (cors_rules *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_cors_rules_free(self->rules);
    Py_XDECREF(self->listed);
    Py_XDECREF(self->others);
    Py_XDECREF(self->allowed);
    type->tp_free(object);
    Py_DECREF(type);
}

/* The fields for one allowed origin: Vary, its permission, and those that are
 * the same for all allowed origins. */
static PyObject *
permission(const cors_rules *self, PyObject *origin)
{
    PyObject *fields = Py_BuildValue("[(ss)(sO)]", "Vary", "Origin",
                                     "Access-Control-Allow-Origin", origin);
    if (fields != NULL && PyList_SetSlice(fields, PY_SSIZE_T_MAX,
                                          PY_SSIZE_T_MAX, self->allowed) < 0) {
        Py_CLEAR(fields);
    }
    return fields;
}

PyObject *
fta_cors_fields(const fta_state *state, PyObject *rules, PyObject *path,
                PyObject *origin)
{
    const cors_rules *self = (const cors_rules *)(void *)rules;
    size_t place = 0;
    if (!fta_cors_covers(self->rules, fta_latin1_view(path))) {
        return Py_NewRef(state->no_fields);
    }
    if (origin == NULL || !PyUnicode_Check(origin)) {
        return Py_NewRef(self->others);
    }
    switch (
        fta_cors_match_origin(self->rules, fta_latin1_view(origin), &place)) {
    case FTA_CORS_LISTED:
        return Py_NewRef(PyTuple_GET_ITEM(self->listed, (Py_ssize_t)place));
    case FTA_CORS_BELOW:
        return permission(self, origin);
    case FTA_CORS_ANY:
    case FTA_CORS_DENIED:
        break;
    }
    return Py_NewRef(self->others);
}

/* The texts of a tuple of str, borrowed from it; NULL with an exception set. */
static fta_text *
texts_of(PyObject *tuple, const char *argument)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    fta_text *texts = PyMem_Calloc((size_t)count + 1, sizeof *texts);
    if (texts == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        texts[i] = fta_latin1_view(item);
        if (!PyUnicode_CheckExact(item) || texts[i].data == NULL) {
            PyErr_Format(PyExc_TypeError, "%s must be str of Latin-1",
                         argument);
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

static bool
fill(cors_rules *self, PyObject *origins)
{
    size_t place;
    Py_ssize_t count = PyTuple_GET_SIZE(origins);
    self->listed = PyTuple_New(count);
    if (self->listed == NULL) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *origin = PyTuple_GET_ITEM(origins, i);
        PyObject *fields =
            fta_cors_match_origin(self->rules, fta_latin1_view(origin),
                                  &place) == FTA_CORS_LISTED
                ? permission(self, origin)
                : Py_NewRef(Py_None);
        if (fields == NULL) {
            return false;
        }
        PyTuple_SET_ITEM(self->listed, i, fields);
    }
    size_t unused;
    bool is_open = fta_cors_match_origin(self->rules, (fta_text){"", 0},
                                         &unused) == FTA_CORS_ANY;
    if (is_open) {
        self->others =
            Py_BuildValue("[(ss)]", "Access-Control-Allow-Origin", "*");
        return self->others != NULL &&
               PyList_SetSlice(self->others, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX,
                               self->allowed) == 0;
    }
    self->others = Py_BuildValue("[(ss)]", "Vary", "Origin");
    return self->others != NULL;
}

static PyObject *
cors_rules_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"resources", "origins", "fields", NULL};
    PyObject *resources, *origins, *fields;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "$O!O!O!:CorsRules", keywords, &PyTuple_Type,
            &resources, &PyTuple_Type, &origins, &PyTuple_Type, &fields)) {
        return NULL;
    }
    /* kwargs may be a dict that others can change while objects are made. */
    Py_INCREF(resources);
    Py_INCREF(origins);
    Py_INCREF(fields);
    cors_rules *self = NULL;
    fta_text *paths = texts_of(resources, "resources");
    fta_text *names = paths == NULL ? NULL : texts_of(origins, "origins");
    if (names == NULL) {
        goto done;
    }
    self = (cors_rules *)type->tp_alloc(type, 0);
    if (self == NULL) {
        goto done;
    }
    const fta_cors_config config = {
        .resources = paths,
        .resource_count = (size_t)PyTuple_GET_SIZE(resources),
        .origins = names,
        .origin_count = (size_t)PyTuple_GET_SIZE(origins),
    };
    self->rules = fta_cors_rules_new(&config);
    self->allowed = PySequence_List(fields);
    if (self->rules == NULL) {
        PyErr_NoMemory();
        Py_CLEAR(self);
    } else if (self->allowed == NULL || !fill(self, origins)) {
        Py_CLEAR(self);
    }
done:
    PyMem_Free(names);
    PyMem_Free(paths);
    Py_DECREF(fields);
    Py_DECREF(origins);
    Py_DECREF(resources);
    return (PyObject *)self;
}

PyDoc_STRVAR(covers_doc,
             "covers($self, path, /)\n--\n\n"
             "Whether a path, as WSGI has it, is under one of the resources.");

static PyObject *
cors_rules_covers(PyObject *object, PyObject *path)
{
    return PyBool_FromLong(
        fta_cors_covers(((cors_rules *)object)->rules, fta_latin1_view(path)));
}

PyDoc_STRVAR(allows_doc, "allows($self, origin, /)\n--\n\n"
                         "Whether pages of an origin may read responses.");

static PyObject *
cors_rules_allows(PyObject *object, PyObject *origin)
{
    size_t place;
    return PyBool_FromLong(fta_cors_match_origin(((cors_rules *)object)->rules,
                                                 fta_latin1_view(origin),
                                                 &place) != FTA_CORS_DENIED);
}

PyDoc_STRVAR(fields_doc,
             "fields($self, path, origin, /)\n--\n\n"
             "What is added to the response to a request that is no\n"
             "preflight: a new list of (name, value) pairs.");

static PyObject *
cors_rules_fields(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "fields takes a path and an origin");
        return NULL;
    }
    PyObject *shared = fta_cors_fields(PyType_GetModuleState(Py_TYPE(object)),
                                       object, args[0], args[1]);
    PyObject *fields = shared == NULL ? NULL : PySequence_List(shared);
    Py_XDECREF(shared);
    return fields;
}

static PyMethodDef cors_rules_methods[] = {
    {"covers", cors_rules_covers, METH_O, covers_doc},
    {"allows", cors_rules_allows, METH_O, allows_doc},
    {"fields", (PyCFunction)(void (*)(void))cors_rules_fields, METH_FASTCALL,
     fields_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    cors_rules_doc,
    "CorsRules(*, resources, origins, fields)\n--\n\n"
    "The paths and origins of CORS: tuples of str, as settings have them;\n"
    "fields is a tuple of (name, value) pairs for each allowed origin.");

static PyType_Slot cors_rules_slots[] = {
    {Py_tp_doc, (void *)cors_rules_doc},
    {Py_tp_new, (void *)cors_rules_new},
    {Py_tp_dealloc, (void *)cors_rules_dealloc},
    {Py_tp_methods, (void *)cors_rules_methods},
    {0, NULL},
};

PyType_Spec fta_cors_rules_spec = {
    .name = "flask_tenant_auth._core.CorsRules",
    .basicsize = sizeof(cors_rules),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cors_rules_slots,
};
