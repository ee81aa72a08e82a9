#include "binding/type_rate.h"

#include "binding/convert.h"
#include "binding/keywords.h"

PyObject *
fta_rate_new(fta_state *state, const fta_rate *rate)
{
    fta_rate_object *self = PyObject_New(fta_rate_object, state->rate_type);
    if (self != NULL) {
        self->rate = *rate;
    }
    return (PyObject *)self;
}

static PyObject *
rate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"limit", "period", NULL};
    long long limit, period;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LL:Rate", keywords, &limit,
                                     &period)) {
        return NULL;
    }
    if (limit < 0 || limit > FTA_RATE_LIMIT_MAX) {
        return PyErr_Format(PyExc_ValueError, "limit must be from 0 to %u",
                            FTA_RATE_LIMIT_MAX);
    }
    if (period < 1 || period > FTA_RATE_PERIOD_MAX) {
        return PyErr_Format(PyExc_ValueError,
                            "period must be from 1 to %u seconds",
                            FTA_RATE_PERIOD_MAX);
    }
    fta_rate rate = {(uint32_t)limit, (uint32_t)period};
    return fta_rate_new(PyType_GetModuleState(type), &rate);
}

FTA_KEYWORDS(PyTypeObject, rate_new)

static void
rate_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
rate_str(PyObject *self)
{
    char text[FTA_RATE_TEXT];
    fta_rate_format(&((fta_rate_object *)self)->rate, text);
    return PyUnicode_FromString(text);
}

static PyObject *
rate_repr(PyObject *self)
{
    const fta_rate *rate = &((fta_rate_object *)self)->rate;
    return PyUnicode_FromFormat("Rate(%u, %u)", rate->limit, rate->period);
}

static PyObject *
rate_compare(PyObject *a, PyObject *b, int operation)
{
    if (Py_TYPE(a) != Py_TYPE(b) ||
        (operation != Py_EQ && operation != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const fta_rate *left = &((fta_rate_object *)a)->rate;
    const fta_rate *right = &((fta_rate_object *)b)->rate;
    bool equal = left->limit == right->limit && left->period == right->period;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t
rate_hash(PyObject *self)
{
    const fta_rate *rate = &((fta_rate_object *)self)->rate;
    uint64_t both = (uint64_t)rate->limit << 32 | rate->period;
    Py_hash_t hash = (Py_hash_t)(both * UINT64_C(0x9E3779B97F4A7C15));
    return hash == -1 ? -2 : hash;
}

static PyObject *
get_limit(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((fta_rate_object *)self)->rate.limit);
}

static PyObject *
get_period(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((fta_rate_object *)self)->rate.period);
}

static PyGetSetDef rate_getset[] = {
    {"limit", get_limit, NULL, "How many in one period.", NULL},
    {"period", get_period, NULL, "The period in seconds.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    rate_doc,
    "Rate(limit, period)\n--\n\n"
    "So many in so many seconds; with 0, nobody. Immutable; str() gives\n"
    "\"50 per 1 minute\". ValueError names what is out of range.");

static PyType_Slot rate_slots[] = {
    {Py_tp_doc, (void *)rate_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(rate_new)},
    {Py_tp_dealloc, (void *)rate_dealloc},
    {Py_tp_str, (void *)rate_str},
    {Py_tp_repr, (void *)rate_repr},
    {Py_tp_richcompare, (void *)rate_compare},
    {Py_tp_hash, (void *)rate_hash},
    {Py_tp_getset, (void *)rate_getset},
    {0, NULL},
};

PyType_Spec fta_rate_spec = {
    .name = "flask_tenant_auth._core.Rate",
    .basicsize = sizeof(fta_rate_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = rate_slots,
};

PyDoc_STRVAR(
    parse_rates_doc,
    "parse_rates(text, /)\n--\n\n"
    "The rates of a text like \"50 per minute; 5/s\", \"100/hour\" or\n"
    "\"10 per 2 weeks\", separated by \";\", \",\" or \"|\". ValueError shows\n"
    "the text, the place where it stops making sense, and the forms.");

static PyObject *
parse_rates(PyObject *module, PyObject *value)
{
    fta_text text;
    if (!fta_utf8_from_str(value, "text", &text)) {
        return NULL;
    }
    fta_rates found;
    fta_rate_error error;
    if (fta_rates_parse(text, &found, &error) != FTA_OK) {
        /* Offsets in UTF-8 and in characters agree: all that comes before the
         * place was understood, and so was ASCII. */
        return PyErr_Format(PyExc_ValueError,
                            "rate limit %R, at character %zu: %s; %s", value,
                            error.at + 1, error.reason, FTA_RATE_FORMS);
    }
    PyObject *tuple = PyTuple_New((Py_ssize_t)found.count);
    for (size_t i = 0; i < found.count && tuple != NULL; i++) {
        PyObject *rate =
            fta_rate_new(fta_state_of_module(module), &found.rates[i]);
        if (rate == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, rate);
        }
    }
    return tuple;
}

static PyMethodDef rate_functions[] = {
    {"parse_rates", parse_rates, METH_O, parse_rates_doc},
    {NULL, NULL, 0, NULL},
};

int
fta_add_rate(PyObject *module)
{
    return PyModule_AddFunctions(module, rate_functions);
}
