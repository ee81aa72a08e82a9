#include "binding/fields.h"

#include <stdbool.h>

#include "binding/convert.h"

#include "http/response.h"

/* The name of the i-th (name, value) pair of a list; NULL with an exception
 * set for anything else. Borrowed. */
static PyObject *
field_name(PyObject *list, Py_ssize_t i)
{
    PyObject *pair = PyList_GET_ITEM(list, i);
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0))) {
        PyErr_SetString(PyExc_TypeError,
                        "headers must be lists of (str, str) tuples");
        return NULL;
    }
    return PyTuple_GET_ITEM(pair, 0);
}

/* A name that is no octets has no field's name. */
static bool
is_same_name(PyObject *a, PyObject *b)
{
    fta_text name = fta_latin1_view(a);
    return name.data != NULL && fta_field_names_equal(name, fta_latin1_view(b));
}

int
fta_fields_overlap(PyObject *headers, PyObject *others)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *name = field_name(headers, i);
        if (name == NULL) {
            return -1;
        }
        for (Py_ssize_t j = 0; j < PyList_GET_SIZE(others); j++) {
            PyObject *other = field_name(others, j);
            if (other == NULL) {
                return -1;
            }
            if (is_same_name(name, other)) {
                return 1;
            }
        }
    }
    return 0;
}

/* No length is kept: making an object may run the garbage collector, and so
 * code that changes the lists. What PyList_SetSlice copies it counts itself. */
PyObject *
fta_fields_joined(PyObject *a, PyObject *b, PyObject *c)
{
    PyObject *const parts[] = {a, b, c};
    PyObject *joined = PyList_New(0);
    for (int part = 0; part < 3 && joined != NULL; part++) {
        if (PyList_SetSlice(joined, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX,
                            parts[part]) < 0) {
            Py_CLEAR(joined);
        }
    }
    return joined;
}

PyDoc_STRVAR(
    fields_overlap_doc,
    "fields_overlap(headers, others, /)\n--\n\n"
    "Whether two lists of (name, value) pairs, as WSGI has them, have\n"
    "a name in common.");

static PyObject *
fields_overlap(PyObject *Py_UNUSED(module), PyObject *const *args,
               Py_ssize_t count)
{
    if (count != 2 || !PyList_Check(args[0]) || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "fields_overlap takes two lists");
        return NULL;
    }
    int overlap = fta_fields_overlap(args[0], args[1]);
    return overlap < 0 ? NULL : PyBool_FromLong(overlap);
}

static PyMethodDef functions[] = {
    {"fields_overlap", (PyCFunction)(void (*)(void))fields_overlap,
     METH_FASTCALL, fields_overlap_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_fields(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
