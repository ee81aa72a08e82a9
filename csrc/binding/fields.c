#include "binding/fields.h"

#include "binding/convert.h"

static PyObject *
str_from_octets(fta_text text)
{
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text.data,
                                     (Py_ssize_t)text.length);
}

int
fta_fields_append(const fta_state *state, const fta_fields *fields,
                  PyObject *list)
{
    int appended = 0;
    for (size_t i = 0; i < fields->count && appended == 0; i++) {
        const fta_field *field = &fields->items[i];
        PyObject *value = str_from_octets(field->value);
        PyObject *pair = value == NULL ? NULL : PyTuple_New(2);
        if (pair == NULL) {
            Py_XDECREF(value);
            return -1;
        }
        PyTuple_SET_ITEM(
            pair, 0,
            Py_NewRef(PyTuple_GET_ITEM(state->field_names, field->name)));
        PyTuple_SET_ITEM(pair, 1, value);
        appended = PyList_Append(list, pair);
        Py_DECREF(pair);
    }
    return appended;
}

bool
fta_field_read(PyObject *pair, fta_text *name, fta_text *value)
{
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0))) {
        PyErr_SetString(PyExc_TypeError,
                        "headers must be a list of (str, str) tuples");
        return false;
    }
    *name = fta_latin1_view(PyTuple_GET_ITEM(pair, 0));
    *value = fta_latin1_view(PyTuple_GET_ITEM(pair, 1));
    return true;
}

PyDoc_STRVAR(is_http_token_doc,
             "is_http_token(text, /)\n--\n\n"
             "Whether a str can be a method or the name of a header field\n"
             "(RFC 9110, section 5.6.2).");

static PyObject *
is_http_token(PyObject *Py_UNUSED(module), PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "text must be str, not %.100s",
                     Py_TYPE(text)->tp_name);
        return NULL;
    }
    return PyBool_FromLong(fta_is_http_token(fta_latin1_view(text)));
}

static PyMethodDef functions[] = {
    {"is_http_token", is_http_token, METH_O, is_http_token_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_fields(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->field_names = PyTuple_New(FTA_FIELD_COUNT);
    if (state->field_names == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < FTA_FIELD_COUNT; i++) {
        PyObject *name =
            str_from_octets(fta_field_name_text((fta_field_name)i));
        if (name == NULL) {
            return -1;
        }
        PyTuple_SET_ITEM(state->field_names, i, name);
    }
    return PyModule_AddFunctions(module, functions);
}
