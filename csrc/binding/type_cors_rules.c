#include "binding/type_cors_rules.h"

#include <stdbool.h>

#include "binding/convert.h"
#include "binding/fields.h"
#include "binding/keywords.h"

static void
cors_rules_dealloc(PyObject *object)
{
    fta_cors_rules_object *self = (fta_cors_rules_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_cors_rules_free(self->rules);
    PyMem_Free(self->fixed_names);
    Py_XDECREF(self->fixed);
    type->tp_free(object);
    Py_DECREF(type);
}

/* --- Making one -----------------------------------------------------------
 */

/* The lists of text of fta_cors_config, by argument. */
enum { RESOURCES, ORIGINS, METHODS, ALLOW_HEADERS, EXPOSE_HEADERS, LISTS };

static const char *const list_names[LISTS] = {
    "resources", "origins", "methods", "allow_headers", "expose_headers"};

/* The texts of a tuple of str, as UTF-8, which live as long as the tuple. The
 * array is from PyMem_Calloc; NULL with an exception set. */
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
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(tuple, i), argument,
                               &texts[i])) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

static PyObject *
fixed_fields(const fta_state *state, const fta_fields *fields)
{
    PyObject *list = PyList_New(0), *tuple = NULL;
    if (list != NULL && fta_fields_append(state, fields, list) == 0) {
        tuple = PyList_AsTuple(list);
    }
    Py_XDECREF(list);
    return tuple;
}

/* Makes the fields that depend on the rules alone. */
static bool
make_fixed(const fta_state *state, fta_cors_rules_object *self)
{
    size_t count = fta_cors_fixed_count(self->rules);
    self->fixed = PyTuple_New((Py_ssize_t)count);
    self->fixed_names = PyMem_Calloc(count, sizeof *self->fixed_names);
    if (self->fixed == NULL || self->fixed_names == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return false;
    }
    for (size_t kind = 0; kind < count; kind++) {
        fta_fields fields;
        fta_fields_init(&fields);
        fta_cors_add_fixed(self->rules, kind, &fields);
        self->fixed_names[kind] = fields.names;
        PyObject *tuple = fixed_fields(state, &fields);
        fta_fields_clear(&fields);
        if (tuple == NULL) {
            return false;
        }
        PyTuple_SET_ITEM(self->fixed, (Py_ssize_t)kind, tuple);
    }
    return true;
}

static PyObject *
make(PyTypeObject *type, const fta_cors_config *config)
{
    fta_cors_rules_object *self =
        (fta_cors_rules_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->rules = fta_cors_rules_new(config);
    if (self->rules == NULL) {
        PyErr_NoMemory();
        Py_CLEAR(self);
    } else if (!make_fixed(PyType_GetModuleState(type), self)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *
cors_rules_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {
        "resources",      "origins", "methods",     "allow_headers",
        "expose_headers", "max_age", "credentials", NULL};
    PyObject *tuples[LISTS], *number, *credentials, *self = NULL;
    fta_text *texts[LISTS] = {NULL};
    fta_text_list lists[LISTS];
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "$O!O!O!O!O!O!O!:CorsRules", keywords, &PyTuple_Type,
            &tuples[RESOURCES], &PyTuple_Type, &tuples[ORIGINS], &PyTuple_Type,
            &tuples[METHODS], &PyTuple_Type, &tuples[ALLOW_HEADERS],
            &PyTuple_Type, &tuples[EXPOSE_HEADERS], &PyLong_Type, &number,
            &PyBool_Type, &credentials)) {
        return NULL;
    }
    unsigned long max_age = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred() || max_age > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError,
                        "max_age must be from 0 to 2**32 - 1");
        return NULL;
    }
    const bool has_credentials = Py_IsTrue(credentials);
    for (int i = 0; i < LISTS; i++) {
        texts[i] = texts_of(tuples[i], list_names[i]);
        if (texts[i] == NULL) {
            goto done;
        }
        lists[i] =
            (fta_text_list){texts[i], (size_t)PyTuple_GET_SIZE(tuples[i])};
    }
    self =
        make(type, &(fta_cors_config){.resources = lists[RESOURCES],
                                      .origins = lists[ORIGINS],
                                      .methods = lists[METHODS],
                                      .allow_headers = lists[ALLOW_HEADERS],
                                      .expose_headers = lists[EXPOSE_HEADERS],
                                      .max_age = (uint32_t)max_age,
                                      .credentials = has_credentials});
done:
    for (int i = 0; i < LISTS; i++) {
        PyMem_Free(texts[i]);
    }
    return self;
}

FTA_KEYWORDS(PyTypeObject, cors_rules_new)

/* --- Methods --------------------------------------------------------------
 */

PyDoc_STRVAR(allows_doc, "allows($self, origin, /)\n--\n\n"
                         "Whether pages of an origin may read responses.");

static PyObject *
cors_rules_allows(PyObject *object, PyObject *origin)
{
    return PyBool_FromLong(fta_cors_allows(
        ((fta_cors_rules_object *)object)->rules, fta_latin1_view(origin)));
}

PyDoc_STRVAR(
    is_preflight_doc,
    "is_preflight($self, method, path, origin, requested_method, /)\n--\n\n"
    "Whether a request asks for a permission, so that it is answered in\n"
    "place of the view. Each is a str, or None if the request has no such\n"
    "header field.");

static PyObject *
cors_rules_is_preflight(PyObject *object, PyObject *const *args,
                        Py_ssize_t count)
{
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError,
                        "is_preflight takes a method, a path, an origin and a "
                        "requested method");
        return NULL;
    }
    const fta_cors_request request = {
        .method = fta_latin1_view(args[0]),
        .path = fta_latin1_view(args[1]),
        .origin = fta_latin1_view(args[2]),
        .requested_method = fta_latin1_view(args[3]),
    };
    return PyBool_FromLong(fta_cors_is_preflight(
        ((fta_cors_rules_object *)object)->rules, &request));
}

static PyMethodDef cors_rules_methods[] = {
    {"allows", cors_rules_allows, METH_O, allows_doc},
    {"is_preflight", (PyCFunction)(void (*)(void))cors_rules_is_preflight,
     METH_FASTCALL, is_preflight_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    cors_rules_doc,
    "CorsRules(*, resources, origins, methods, allow_headers,\n"
    "          expose_headers, max_age, credentials)\n--\n\n"
    "The CORS rules of one app, from its settings: tuples of str, and\n"
    "seconds.");

static PyType_Slot cors_rules_slots[] = {
    {Py_tp_doc, (void *)cors_rules_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(cors_rules_new)},
    {Py_tp_dealloc, (void *)cors_rules_dealloc},
    {Py_tp_methods, (void *)cors_rules_methods},
    {0, NULL},
};

PyType_Spec fta_cors_rules_spec = {
    .name = "flask_tenant_auth._core.CorsRules",
    .basicsize = sizeof(fta_cors_rules_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cors_rules_slots,
};
