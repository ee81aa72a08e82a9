#include "binding/cookies.h"

#include "binding/convert.h"

#include "http/cookie.h"

PyObject *
fta_cookie_value(PyObject *header, PyObject *name, size_t *count)
{
    fta_text text = fta_latin1_view(header);
    fta_text value;
    *count = fta_cookie_find(text, fta_latin1_view(name), &value);
    if (*count != 1) {
        return NULL;
    }
    /* An octet is a character, so that the places are the same. */
    Py_ssize_t start = value.data - text.data;
    Py_INCREF(header);
    PyObject *found =
        PyUnicode_Substring(header, start, start + (Py_ssize_t)value.length);
    Py_DECREF(header);
    return found;
}
