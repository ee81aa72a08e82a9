#include "binding/type_limit.h"

#include "binding/convert.h"
#include "binding/keywords.h"
#include "binding/type_rate.h"

static PyObject *
limit_make(PyTypeObject *type, PyObject *rate, PyObject *scope,
           const fta_limit *limit)
{
    fta_limit_object *self = PyObject_New(fta_limit_object, type);
    if (self != NULL) {
        self->rate = Py_NewRef(rate);
        self->scope = Py_NewRef(scope);
        self->limit = *limit;
    }
    return (PyObject *)self;
}

static PyObject *
limit_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"rate", "scope", "per", "cost", NULL};
    fta_state *state = PyType_GetModuleState(type);
    PyObject *rate, *scope = NULL, *per = NULL, *cost_value = NULL;
    long long cost = 1;
    size_t per_place;
    fta_limit limit = {.per = FTA_PER_USER};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|$OOO!:Limit", keywords,
                                     state->rate_type, &rate, &scope, &per,
                                     &PyLong_Type, &cost_value)) {
        return NULL;
    }
    if (scope == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "Limit() misses the keyword argument 'scope'");
        return NULL;
    }
    if (!fta_utf8_from_str(scope, "scope", &limit.scope)) {
        return NULL;
    }
    if (limit.scope.length > FTA_SCOPE_MAX) {
        return PyErr_Format(PyExc_ValueError,
                            "scope must be at most %d bytes of UTF-8",
                            FTA_SCOPE_MAX);
    }
    if (per != NULL) {
        if (!fta_word_from_str(per, "per", &fta_per_words, &per_place)) {
            return NULL;
        }
        limit.per = fta_per_at(per_place);
    }
    limit.rate = ((fta_rate_object *)rate)->rate;
    if (cost_value != NULL) {
        int overflow; /* Then the cost is -1, which is as far out of range. */
        cost = PyLong_AsLongLongAndOverflow(cost_value, &overflow);
    }
    /* A limit of 0 allows nothing, whatever it costs. */
    uint32_t most =
        limit.rate.limit > 0 ? limit.rate.limit : FTA_RATE_LIMIT_MAX;
    if (cost < 1 || cost > most) {
        return PyErr_Format(PyExc_ValueError,
                            "cost must be from 1 to the limit of the rate, %u",
                            most);
    }
    limit.cost = (uint32_t)cost;
    return limit_make(type, rate, scope, &limit);
}

FTA_KEYWORDS(PyTypeObject, limit_new)

static void
limit_dealloc(PyObject *object)
{
    fta_limit_object *self = (fta_limit_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_DECREF(self->rate);
    Py_DECREF(self->scope);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    limit_share_doc,
    "share($self, fraction, /)\n--\n\n"
    "The limit that keeps one user from taking more than this fraction of a\n"
    "limit per tenant: a Limit per member, in the same scope, at the same\n"
    "cost. Held against both, a user who has used up the share is limited,\n"
    "and takes nothing more from the tenant. ValueError for a limit\n"
    "that is not per tenant and for a fraction that is not within 0 and 1.");

static PyObject *
limit_share(PyObject *object, PyObject *value)
{
    const fta_limit_object *self = (const fta_limit_object *)object;
    double fraction = PyFloat_AsDouble(value);
    if (fraction == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (self->limit.per != FTA_PER_TENANT) {
        PyErr_SetString(PyExc_ValueError,
                        "only a limit per tenant can be shared");
        return NULL;
    }
    if (!(fraction > 0.0 && fraction <= 1.0)) {
        PyErr_SetString(PyExc_ValueError,
                        "fraction must be above 0 and at most 1");
        return NULL;
    }
    fta_limit limit = fta_limit_share(&self->limit, fraction);
    fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    PyObject *rate = fta_rate_new(state, &limit.rate);
    if (rate == NULL) {
        return NULL;
    }
    PyObject *share = limit_make(Py_TYPE(object), rate, self->scope, &limit);
    Py_DECREF(rate);
    return share;
}

static PyObject *
get_rate(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((fta_limit_object *)self)->rate);
}

static PyObject *
get_scope(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((fta_limit_object *)self)->scope);
}

static PyObject *
get_per(PyObject *self, void *Py_UNUSED(closure))
{
    fta_text word = fta_per_text(((fta_limit_object *)self)->limit.per);
    return PyUnicode_FromStringAndSize(word.data, (Py_ssize_t)word.length);
}

static PyObject *
get_cost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((fta_limit_object *)self)->limit.cost);
}

static PyObject *
limit_repr(PyObject *object)
{
    const fta_limit_object *self = (const fta_limit_object *)object;
    return PyUnicode_FromFormat(
        "Limit(%R, scope=%R, per='%s', cost=%u)", self->rate, self->scope,
        fta_per_text(self->limit.per).data, self->limit.cost);
}

static PyMethodDef limit_methods[] = {
    {"share", limit_share, METH_O, limit_share_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef limit_getset[] = {
    {"rate", get_rate, NULL, "How many in which period.", NULL},
    {"scope", get_scope, NULL,
     "What is counted: limits with one scope, rate and per share a counter.",
     NULL},
    {"per", get_per, NULL,
     "Whose: 'user', 'member', 'tenant', 'address' or 'custom'.", NULL},
    {"cost", get_cost, NULL, "How much one request counts.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(limit_doc,
             "Limit(rate, *, scope, per='user', cost=1)\n--\n\n"
             "One rule, prepared once: at most rate, counted under the name\n"
             "scope for each user, tenant, address or custom text. ValueError\n"
             "names what is out of range.");

static PyType_Slot limit_slots[] = {
    {Py_tp_doc, (void *)limit_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(limit_new)},
    {Py_tp_dealloc, (void *)limit_dealloc},
    {Py_tp_repr, (void *)limit_repr},
    {Py_tp_methods, (void *)limit_methods},
    {Py_tp_getset, (void *)limit_getset},
    {0, NULL},
};

PyType_Spec fta_limit_spec = {
    .name = "flask_tenant_auth._core.Limit",
    .basicsize = sizeof(fta_limit_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = limit_slots,
};
