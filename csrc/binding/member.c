#include "binding/member.h"

static void *
at(PyObject *object, void *closure)
{
    return (char *)object + (size_t)closure;
}

PyObject *
fta_member_attribute_get(PyObject *object, void *closure)
{
    PyObject *value = fta_member_get(object, at(object, closure));
    return value != NULL ? value : Py_NewRef(Py_None);
}

int
fta_member_attribute_set(PyObject *object, PyObject *value, void *closure)
{
    fta_member_set(object, at(object, closure),
                   Py_NewRef(value != NULL ? value : Py_None));
    return 0;
}

PyObject *
fta_flag_attribute_get(PyObject *object, void *closure)
{
    const atomic_bool *flag = at(object, closure);
    return PyBool_FromLong(atomic_load(flag));
}

int
fta_flag_attribute_set(PyObject *object, PyObject *value, void *closure)
{
    if (value == NULL || !PyBool_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "attribute value type must be bool");
        return -1;
    }
    atomic_bool *flag = at(object, closure);
    atomic_store(flag, Py_IsTrue(value));
    return 0;
}
