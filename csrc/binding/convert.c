#include "binding/convert.h"

#include "binding/errors.h"

bool
fta_utf8_from_str(PyObject *value, const char *argument, fta_text *out)
{
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", argument,
                     Py_TYPE(value)->tp_name);
        return false;
    }
    Py_ssize_t length;
    out->data = PyUnicode_AsUTF8AndSize(value, &length);
    if (out->data == NULL) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_Format(PyExc_ValueError, "%s has lone surrogates", argument);
        }
        return false;
    }
    out->length = (size_t)length;
    return true;
}

bool
fta_octets_from_object(PyObject *value, const char *argument, fta_text *out,
                       PyObject **holder)
{
    *holder = NULL;
    if (PyUnicode_Check(value)) {
        if (PyUnicode_READY(value) < 0) {
            return false;
        }
        if (PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND) {
            out->data = (const char *)PyUnicode_1BYTE_DATA(value);
            out->length = (size_t)PyUnicode_GET_LENGTH(value);
            *holder = Py_NewRef(value);
            return true;
        }
        *holder = PyUnicode_AsEncodedString(value, "latin-1", "replace");
        if (*holder == NULL) {
            return false;
        }
    } else if (PyBytes_Check(value)) {
        *holder = Py_NewRef(value);
    } else {
        PyErr_Format(PyExc_TypeError, "%s must be str or bytes, not %.100s",
                     argument, Py_TYPE(value)->tp_name);
        return false;
    }
    out->data = PyBytes_AS_STRING(*holder);
    out->length = (size_t)PyBytes_GET_SIZE(*holder);
    return true;
}

PyObject *
fta_interned_names(const char *const *names, Py_ssize_t count)
{
    PyObject *all = PyTuple_New(count);
    for (Py_ssize_t i = 0; all != NULL && i < count; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);
        if (name == NULL) {
            Py_CLEAR(all);
        } else {
            PyTuple_SET_ITEM(all, i, name);
        }
    }
    return all;
}

PyObject *
fta_words_as_tuple(const fta_words *words)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)words->count);
    for (size_t i = 0; i < words->count && tuple != NULL; i++) {
        fta_text word = fta_words_at(words, i);
        PyObject *item =
            PyUnicode_FromStringAndSize(word.data, (Py_ssize_t)word.length);
        if (item == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyUnicode_InternInPlace(&item);
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
        }
    }
    return tuple;
}

int
fta_add_words(PyObject *module, const char *name, const fta_words *words)
{
    PyObject *tuple = fta_words_as_tuple(words);
    int result = PyModule_AddObjectRef(module, name, tuple);
    Py_XDECREF(tuple);
    return result;
}

/* ValueError that lists the words. */
static void
raise_for_word(PyObject *value, const char *argument, const fta_words *words)
{
    PyObject *separator = PyUnicode_FromString(", ");
    PyObject *tuple = fta_words_as_tuple(words);
    PyObject *joined = NULL;
    if (separator != NULL && tuple != NULL) {
        joined = PyUnicode_Join(separator, tuple);
    }
    if (joined != NULL) {
        PyErr_Format(PyExc_ValueError, "%s must be one of %U, not %R", argument,
                     joined, value);
    }
    Py_XDECREF(joined);
    Py_XDECREF(tuple);
    Py_XDECREF(separator);
}

bool
fta_word_from_str(PyObject *value, const char *argument, const fta_words *words,
                  size_t *place)
{
    fta_text text;
    if (!fta_utf8_from_str(value, argument, &text)) {
        return false;
    }
    if (fta_words_find(words, text, place)) {
        return true;
    }
    raise_for_word(value, argument, words);
    return false;
}

static PyObject *
integer_from_text(fta_text text)
{
    /* Eighteen digits fit a long long. */
    if (text.length <= 18) {
        long long value = 0;
        bool negative = text.data[0] == '-';
        for (size_t i = negative; i < text.length; i++) {
            value = value * 10 + (text.data[i] - '0');
        }
        return PyLong_FromLongLong(negative ? -value : value);
    }
    char digits[FTA_JSON_NUMBER + 1];
    memcpy(digits, text.data, text.length);
    digits[text.length] = '\0';
    return PyLong_FromString(digits, NULL, 10);
}

static PyObject *
real_from_text(fta_text text)
{
    double value;
    fta_status status = fta_json_double(text, &value);
    return status == FTA_OK ? PyFloat_FromDouble(value) : fta_raise(status);
}

static PyObject *
value_from_event(const fta_json_event *event)
{
    switch (event->kind) {
    case FTA_JSON_OBJECT:
        return PyDict_New();
    case FTA_JSON_ARRAY:
        return PyList_New(0);
    case FTA_JSON_INTEGER:
        return integer_from_text(event->text);
    case FTA_JSON_REAL:
        return real_from_text(event->text);
    case FTA_JSON_TRUE:
        return Py_NewRef(Py_True);
    case FTA_JSON_FALSE:
        return Py_NewRef(Py_False);
    case FTA_JSON_NULL:
        return Py_NewRef(Py_None);
    default:
        return PyUnicode_DecodeUTF8(event->text.data,
                                    (Py_ssize_t)event->text.length, NULL);
    }
}

/* Adds a value to the innermost container, or makes it the root. */
static bool
place(fta_builder *builder, PyObject *value)
{
    if (builder->root == NULL) {
        builder->root = Py_NewRef(value);
        return true;
    }
    PyObject *container = builder->containers[builder->depth - 1];
    int result;
    if (PyDict_Check(container)) {
        result = PyDict_SetItem(container, builder->name, value);
        Py_CLEAR(builder->name);
    } else {
        result = PyList_Append(container, value);
    }
    return result == 0;
}

static void
leave_container(fta_builder *builder)
{
    builder->depth--;
    Py_DECREF(builder->containers[builder->depth]);
}

bool
fta_builder_accept(void *context, const fta_json_event *event)
{
    fta_builder *builder = context;
    if (event->kind == FTA_JSON_OBJECT_END ||
        event->kind == FTA_JSON_ARRAY_END) {
        leave_container(builder);
        return true;
    }
    PyObject *value = value_from_event(event);
    if (value == NULL) {
        return false;
    }
    if (event->kind == FTA_JSON_NAME) {
        builder->name = value;
        return true;
    }
    bool placed = place(builder, value);
    if (placed &&
        (event->kind == FTA_JSON_OBJECT || event->kind == FTA_JSON_ARRAY)) {
        builder->containers[builder->depth++] = value;
    } else {
        Py_DECREF(value);
    }
    return placed;
}

void
fta_builder_clear(fta_builder *builder)
{
    while (builder->depth > 0) {
        leave_container(builder);
    }
    Py_CLEAR(builder->root);
    Py_CLEAR(builder->name);
}
