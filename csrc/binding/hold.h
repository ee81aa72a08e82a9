/* References that stay valid while foreign code runs. */
#ifndef FTA_BINDING_HOLD_H
#define FTA_BINDING_HOLD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The value of a key of a dict, a new reference; NULL where there is none, or
 * with an exception set. A key that is a str subclass runs its own code when
 * it is compared, and so may take any other value out of the dict. */
static inline PyObject *
fta_held_item(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    return PyDict_GetItemRef(dict, key, &value) < 0 ? NULL : value;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
}

/* The items of an iterable, a new tuple; NULL with an exception set. Up to
 * CPython 3.11 the collector runs when a tuple is allocated. What it calls may
 * change the list whose place in memory PySequence_Tuple has looked up before
 * (`tuple(list)` has the same fault there). */
static inline PyObject *
fta_held_tuple(PyObject *value)
{
#if PY_VERSION_HEX < 0x030C0000
    while (PyList_CheckExact(value)) {
        Py_ssize_t count = PyList_GET_SIZE(value);
        PyObject *tuple = PyTuple_New(count);
        if (tuple == NULL || PyList_GET_SIZE(value) == count) {
            for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
                PyTuple_SET_ITEM(tuple, i, PySequence_GetItem(value, i));
            }
            return tuple;
        }
        Py_DECREF(tuple);
    }
#endif
    return PySequence_Tuple(value);
}

/* Deletes a key of a dict. 1: it was there, 0: it was not; -1 with an exception
 * set. Of several threads at once, one gets the 1. */
static inline int
fta_delete_item(PyObject *dict, PyObject *key)
{
    if (PyDict_DelItem(dict, key) == 0) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

#endif
