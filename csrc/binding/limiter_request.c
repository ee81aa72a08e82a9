#include "binding/limiter_request.h"

#include "binding/convert.h"
#include "binding/hold.h"
#include "binding/type_identity.h"
#include "binding/type_limit.h"

void
fta_request_arguments_clear(fta_request_arguments *arguments)
{
    Py_CLEAR(arguments->made_limits);
    Py_CLEAR(arguments->made_custom);
}

PyObject *
fta_tuple_of(PyObject *value, const char *argument)
{
    if (PyTuple_CheckExact(value)) {
        return Py_NewRef(value);
    }
    if (!PyList_Check(value) && !PyTuple_Check(value)) {
        return PyErr_Format(PyExc_TypeError,
                            "%s must be a list or a tuple, not %.100s",
                            argument, Py_TYPE(value)->tp_name);
    }
    return fta_held_tuple(value);
}

/* As fta_tuple_of, but Borrowed: from value, which the caller holds, or from
 * *made, a new reference. */
static PyObject *
borrow_tuple(PyObject *value, const char *argument, PyObject **made)
{
    if (PyTuple_CheckExact(value)) {
        return value;
    }
    *made = fta_tuple_of(value, argument);
    return *made;
}

static bool
read_limits(const fta_state *state, fta_request_arguments *r)
{
    Py_ssize_t count = PyTuple_GET_SIZE(r->limit_objects);
    if (count > FTA_HITS_MAX) {
        PyErr_Format(PyExc_ValueError, "at most %d limits for one request",
                     FTA_HITS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(r->limit_objects, i);
        if (!Py_IS_TYPE(item, state->limit_type)) {
            PyErr_Format(PyExc_TypeError, "limits must hold Limit, not %.100s",
                         Py_TYPE(item)->tp_name);
            return false;
        }
        r->limits[i] = &((fta_limit_object *)item)->limit;
    }
    r->count = (size_t)count;
    return true;
}

static bool
read_custom(fta_request_arguments *r)
{
    Py_ssize_t count = PyTuple_GET_SIZE(r->custom_objects);
    if (count > FTA_HITS_MAX) {
        PyErr_Format(PyExc_ValueError, "custom must be at most %d",
                     FTA_HITS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(r->custom_objects, i),
                               "an item of custom", &r->custom[i])) {
            return false;
        }
    }
    r->requester.custom = r->custom;
    r->requester.custom_count = (size_t)count;
    return true;
}

bool
fta_requester_read_identity(const fta_state *state, PyObject *value,
                            fta_requester *out)
{
    const fta_identity *identity;
    if (!fta_read_identity(state, value, &identity)) {
        return false;
    }
    if (identity != NULL) {
        out->tenant_id = &identity->claims.tenant_id;
        out->user_id = &identity->claims.user_id;
        out->api_key = fta_latin1_view(identity->api_key);
    }
    return true;
}

bool
fta_request_arguments_read(const fta_state *state, PyObject *const *args,
                           Py_ssize_t nargs, fta_request_arguments *out)
{
    out->made_limits = out->made_custom = NULL;
    out->requester = (fta_requester){0};
    if (nargs < 3 || nargs > 4) {
        PyErr_Format(PyExc_TypeError,
                     "limits, identity, address and perhaps custom are "
                     "expected, not %zd arguments",
                     nargs);
        return false;
    }
    /* What runs foreign code, the iteration of a subclass of list, comes first.
     * The texts are looked at when all is held. */
    if ((out->limit_objects =
             borrow_tuple(args[0], "limits", &out->made_limits)) == NULL ||
        (nargs == 4 && (out->custom_objects = borrow_tuple(
                            args[3], "custom", &out->made_custom)) == NULL)) {
        return false;
    }
    return read_limits(state, out) &&
           fta_requester_read_identity(state, args[1], &out->requester) &&
           fta_utf8_from_str(args[2], "address", &out->requester.address) &&
           (nargs < 4 || read_custom(out));
}
