#include "functions.h"

#include <math.h>
#include <stdbool.h>

#include "../core/clock.h"
#include "../core/uuid.h"

PyDoc_STRVAR(is_valid_uuid_doc,
             "is_valid_uuid(value, /)\n--\n\n"
             "Whether value is a str in the canonical form 8-4-4-4-12 of\n"
             "RFC 9562, section 4, either case. Every other value, of any\n"
             "type, is False; nothing is raised.");

static PyObject *
is_valid_uuid(PyObject *Py_UNUSED(module), PyObject *value)
{
    /* A subclass of str may override its methods but not its characters. */
    if (!PyUnicode_Check(value) || PyUnicode_READY(value) < 0) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    fta_uuid parsed;
    if (PyUnicode_IS_ASCII(value) &&
        fta_uuid_parse((const char *)PyUnicode_1BYTE_DATA(value),
                       (size_t)PyUnicode_GET_LENGTH(value), &parsed)) {
        Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

PyDoc_STRVAR(now_doc, "now()\n--\n\n"
                      "The real time in seconds since 1970 as the core sees "
                      "it: the system's,\nmoved by travel().");

static PyObject *
now(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)fta_clock_realtime_us() / 1e6);
}

PyDoc_STRVAR(travel_doc,
             "travel(realtime, monotonic)\n--\n\n"
             "For tests: move the clocks of this process by so many seconds,\n"
             "on top of earlier moves. ValueError beyond a century.");

static PyObject *
travel(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"realtime", "monotonic", NULL};
    const double century = 100.0 * 366 * 86400;
    double realtime, monotonic;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "dd:travel", keywords,
                                     &realtime, &monotonic)) {
        return NULL;
    }
    if (!(fabs(realtime) <= century) || !(fabs(monotonic) <= century)) {
        PyErr_SetString(PyExc_ValueError,
                        "realtime and monotonic must be within a century");
        return NULL;
    }
    fta_clock_travel((int64_t)(realtime * 1e6), (int64_t)(monotonic * 1e6));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(return_doc, "return_to_present()\n--\n\nUndo every travel().");

static PyObject *
return_to_present(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    fta_clock_return();
    Py_RETURN_NONE;
}

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

/* Field names are ASCII in any case (RFC 9110, section 5.1). */
static bool
same_name(PyObject *a, PyObject *b)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    if (length != PyUnicode_GET_LENGTH(b) || !PyUnicode_IS_ASCII(a) ||
        !PyUnicode_IS_ASCII(b)) {
        return false;
    }
    return PyOS_strnicmp((const char *)PyUnicode_1BYTE_DATA(a),
                         (const char *)PyUnicode_1BYTE_DATA(b), length) == 0;
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
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[0]); i++) {
        PyObject *name = field_name(args[0], i);
        if (name == NULL) {
            return NULL;
        }
        for (Py_ssize_t j = 0; j < PyList_GET_SIZE(args[1]); j++) {
            PyObject *other = field_name(args[1], j);
            if (other == NULL) {
                return NULL;
            }
            if (same_name(name, other)) {
                Py_RETURN_TRUE;
            }
        }
    }
    Py_RETURN_FALSE;
}

static PyMethodDef functions[] = {
    {"is_valid_uuid", is_valid_uuid, METH_O, is_valid_uuid_doc},
    {"now", now, METH_NOARGS, now_doc},
    {"travel", (PyCFunction)(void (*)(void))travel,
     METH_VARARGS | METH_KEYWORDS, travel_doc},
    {"fields_overlap", (PyCFunction)(void (*)(void))fields_overlap,
     METH_FASTCALL, fields_overlap_doc},
    {"return_to_present", return_to_present, METH_NOARGS, return_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
