/* Faults that the sanitizers must find. They show that a run without a report
 * means something. Each is a mistake that is easy to make in a binding. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <stdlib.h>
#include <time.h>

static void
wait_a_moment(void)
{
    const struct timespec moment = {0, 300000000};
    (void)nanosleep(&moment, NULL);
}

static int
sum(const char *text, Py_ssize_t length)
{
    int total = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        total += text[i];
    }
    return total;
}

/* Reads the text of a dict's member without the GIL, with or without a
 * reference to it. */
static PyObject *
read_member(PyObject *args, int held)
{
    PyObject *dict;
    const char *name;
    if (!PyArg_ParseTuple(args, "O!s", &PyDict_Type, &dict, &name)) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemString(dict, name);
    if (value == NULL || !PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_KeyError, name);
        return NULL;
    }
    if (held) {
        Py_INCREF(value);
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(value);
    Py_ssize_t length = PyUnicode_GET_LENGTH(value);
    int total;
    Py_BEGIN_ALLOW_THREADS
    wait_a_moment();
    total = sum(text, length);
    Py_END_ALLOW_THREADS
    if (held) {
        Py_DECREF(value);
    }
    return PyLong_FromLong(total);
}

static PyObject *
read_unheld(PyObject *Py_UNUSED(module), PyObject *args)
{
    return read_member(args, 0);
}

static PyObject *
read_held(PyObject *Py_UNUSED(module), PyObject *args)
{
    return read_member(args, 1);
}

/* Reads an item of a list after a call that may have emptied the list. */
static PyObject *
use_item_after_call(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *list, *call;
    if (!PyArg_ParseTuple(args, "O!O", &PyList_Type, &list, &call)) {
        return NULL;
    }
    PyObject *item = PyList_GetItem(list, 0);
    PyObject *result = item == NULL ? NULL : PyObject_CallNoArgs(call);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    return PyLong_FromSsize_t(Py_SIZE(item));
}

static PyObject *
write_beyond(PyObject *Py_UNUSED(module), PyObject *value)
{
    long at = PyLong_AsLong(value);
    char *memory = malloc(16);
    if (memory == NULL || (at == -1 && PyErr_Occurred())) {
        free(memory);
        return NULL;
    }
    memory[at] = 'x';
    long written = memory[at];
    free(memory);
    return PyLong_FromLong(written);
}

static PyObject *
overflow(PyObject *Py_UNUSED(module), PyObject *value)
{
    long more = PyLong_AsLong(value);
    if (more == -1 && PyErr_Occurred()) {
        return NULL;
    }
    int number = INT_MAX - 1;
    number += (int)more;
    return PyLong_FromLong(number);
}

static PyMethodDef methods[] = {
    {"read_unheld", read_unheld, METH_VARARGS, NULL},
    {"read_held", read_held, METH_VARARGS, NULL},
    {"use_item_after_call", use_item_after_call, METH_VARARGS, NULL},
    {"write_beyond", write_beyond, METH_O, NULL},
    {"overflow", overflow, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "fta_faults",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_fta_faults(void)
{
    return PyModuleDef_Init(&module_def);
}
