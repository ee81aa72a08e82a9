#include "binding/redis_values.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "binding/errors.h"

/* Deep enough for every reply that the reader lets through. */
#define REPLY_DEPTH 8

static PyObject *
raise_error(const fta_redis_reply *reply)
{
    fta_redis_problem problem;
    fta_redis_problem_set(&problem, reply->text);
    return fta_raise_redis(fta_redis_reply_status(reply), &problem);
}

static PyObject *
value_of_reply(const fta_redis_reply *reply, bool as_bytes, int depth)
{
    Py_ssize_t length = (Py_ssize_t)reply->length;
    switch (reply->type) {
    case FTA_REDIS_INTEGER:
        return PyLong_FromLongLong(reply->integer);
    case FTA_REDIS_ERROR:
        if (as_bytes) {
            return raise_error(reply);
        }
        return PyUnicode_DecodeUTF8(reply->text, length, "replace");
    case FTA_REDIS_TEXT:
        return as_bytes ? PyBytes_FromStringAndSize(reply->text, length)
                        : PyUnicode_DecodeUTF8(reply->text, length, "replace");
    case FTA_REDIS_ARRAY:
        break;
    default:
        Py_RETURN_NONE;
    }
    if (depth == 0) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New(length);
    for (Py_ssize_t i = 0; list != NULL && i < length; i++) {
        PyObject *value =
            value_of_reply(reply->elements[i], as_bytes, depth - 1);
        if (value == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, value);
        }
    }
    return list;
}

PyObject *
fta_str_of_reply(const fta_redis_reply *reply)
{
    return value_of_reply(reply, false, REPLY_DEPTH);
}

PyObject *
fta_bytes_of_reply(const fta_redis_reply *reply)
{
    return value_of_reply(reply, true, REPLY_DEPTH);
}

PyObject *
fta_raise_redis(fta_status status, const fta_redis_problem *problem)
{
    char text[sizeof problem->text + 128];
    (void)snprintf(text, sizeof text, "%s%s%s", fta_status_text(status),
                   problem->text[0] == '\0' ? "" : ": ", problem->text);
    fta_raise(status);
    PyObject *kind = Py_XNewRef(PyErr_Occurred());
    PyErr_Clear();
    PyObject *code = fta_code_of(status);
    PyObject *detail = PyUnicode_DecodeUTF8(
        problem->text, (Py_ssize_t)strlen(problem->text), "replace");
    PyObject *message =
        PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    PyObject *error = NULL;
    if (kind != NULL && code != NULL && detail != NULL && message != NULL) {
        error = PyObject_CallOneArg(kind, message);
    }
    if (error != NULL && PyObject_SetAttrString(error, "code", code) == 0 &&
        PyObject_SetAttrString(error, "detail", detail) == 0) {
        PyErr_SetObject(kind, error);
    }
    Py_XDECREF(error);
    Py_XDECREF(message);
    Py_XDECREF(detail);
    Py_XDECREF(code);
    Py_XDECREF(kind);
    return NULL;
}
