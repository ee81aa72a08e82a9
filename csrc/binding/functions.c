#include "binding/functions.h"

#include <math.h>
#include <string.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/keywords.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "limit/address.h"
#include "redis/url.h"

PyDoc_STRVAR(is_valid_uuid_doc,
             "is_valid_uuid(value, /)\n--\n\n"
             "Whether value is a str in the canonical form 8-4-4-4-12 of\n"
             "RFC 9562, section 4, in either case. It is False for any other\n"
             "value of any type, and nothing is raised.");

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

PyDoc_STRVAR(
    plain_address_doc,
    "plain_address(text, /)\n--\n\n"
    "The IP address of a text, without its port, brackets and zone. An\n"
    "IPv4 address that is mapped into IPv6 is shown as IPv4. None if\n"
    "the text is no address.");

static PyObject *
plain_address(PyObject *Py_UNUSED(module), PyObject *value)
{
    fta_text text;
    fta_address address;
    char plain[FTA_ADDRESS_TEXT];
    if (!fta_utf8_from_str(value, "text", &text)) {
        return NULL;
    }
    if (!fta_address_parse(text, &address)) {
        Py_RETURN_NONE;
    }
    size_t length = fta_address_format(&address, plain);
    return PyUnicode_FromStringAndSize(plain, (Py_ssize_t)length);
}

PyDoc_STRVAR(
    describe_redis_url_doc,
    "describe_redis_url(url, /)\n--\n\n"
    "The URL of a Redis without its user, password and parameters, so\n"
    "that it can be shown. ValueError, which quotes nothing of the URL,\n"
    "if it cannot be used.");

static PyObject *
describe_redis_url(PyObject *Py_UNUSED(module), PyObject *value)
{
    fta_text text;
    fta_redis_url *url;
    const char *problem;
    char shown[512];
    if (!fta_utf8_from_str(value, "url", &text)) {
        return NULL;
    }
    fta_status status =
        fta_redis_url_parse(text.data, text.length, &url, &problem);
    if (status != FTA_OK) {
        if (problem == NULL) {
            return fta_raise(status);
        }
        PyErr_SetString(PyExc_ValueError, problem);
        return NULL;
    }
    fta_redis_url_describe(url, shown, sizeof shown);
    fta_redis_url_free(url);
    return PyUnicode_DecodeUTF8(shown, (Py_ssize_t)strlen(shown), "replace");
}

PyDoc_STRVAR(now_doc, "now()\n--\n\n"
                      "The time of the core in seconds since 1970: that of "
                      "the system, moved by\nshift_clock().");

static PyObject *
now(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)fta_clock_realtime_us() / 1e6);
}

PyDoc_STRVAR(
    shift_clock_doc,
    "shift_clock(realtime, monotonic)\n--\n\n"
    "For tests: move the clocks of this process by so many seconds, in\n"
    "addition to earlier moves. ValueError for over a century.");

static PyObject *
shift_clock(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"realtime", "monotonic", NULL};
    const double century = 100.0 * 366 * 86400;
    double realtime, monotonic;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "dd:shift_clock", keywords,
                                     &realtime, &monotonic)) {
        return NULL;
    }
    if (!(fabs(realtime) <= century) || !(fabs(monotonic) <= century)) {
        PyErr_SetString(PyExc_ValueError,
                        "realtime and monotonic must be within a century");
        return NULL;
    }
    fta_clock_shift((int64_t)(realtime * 1e6), (int64_t)(monotonic * 1e6));
    Py_RETURN_NONE;
}

FTA_KEYWORDS(PyObject, shift_clock)

PyDoc_STRVAR(return_doc, "reset_clock()\n--\n\nUndo every shift_clock().");

static PyObject *
reset_clock(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    fta_clock_reset();
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"is_valid_uuid", is_valid_uuid, METH_O, is_valid_uuid_doc},
    {"plain_address", plain_address, METH_O, plain_address_doc},
    {"describe_redis_url", describe_redis_url, METH_O, describe_redis_url_doc},
    {"now", now, METH_NOARGS, now_doc},
    {"shift_clock", FTA_KEYWORDS_METHOD(shift_clock), shift_clock_doc},
    {"reset_clock", reset_clock, METH_NOARGS, return_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
