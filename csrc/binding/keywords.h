/* Keyword arguments that nobody else can change.
 *
 * The dict of a functools.partial is passed to what it calls as it is. Foreign
 * code and other threads can change it while the arguments are read, and take
 * away what was read. So a function with keyword arguments is called with a
 * copy, which holds them until the function returns. */
#ifndef FTA_BINDING_KEYWORDS_H
#define FTA_BINDING_KEYWORDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static inline PyObject *
fta_copy_keywords(PyObject *kwargs)
{
    return kwargs != NULL ? PyDict_Copy(kwargs) : NULL;
}

/* Defines a function that copies its kwargs and calls `function` with them. A
 * tp_new names it by FTA_KEYWORDS_NAME, a method table by FTA_KEYWORDS_METHOD,
 * which stands for the function and its flags. */
#define FTA_KEYWORDS_NAME(function) function##_with_own_keywords
#define FTA_KEYWORDS_METHOD(function)                                          \
    (PyCFunction)(void (*)(void)) FTA_KEYWORDS_NAME(function),                 \
        METH_VARARGS | METH_KEYWORDS
#define FTA_KEYWORDS(self_type, function)                                      \
    static PyObject *FTA_KEYWORDS_NAME(function)(                              \
        self_type * self, PyObject * args, PyObject * kwargs)                  \
    {                                                                          \
        PyObject *own = fta_copy_keywords(kwargs);                             \
        if (own == NULL && kwargs != NULL) {                                   \
            return NULL;                                                       \
        }                                                                      \
        PyObject *result = function(self, args, own);                          \
        Py_XDECREF(own);                                                       \
        return result;                                                         \
    }

#endif
