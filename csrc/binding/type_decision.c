#include "binding/type_decision.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/type_rate.h"

#include "base/clock.h"

typedef struct decision {
    PyObject_HEAD
    fta_rate rate; /* with period 0: there was no limit */
    long long reset;
    long long retry_after;
    Py_ssize_t index;
    unsigned int limit;
    unsigned int remaining;
    char allowed;
    const char *store; /* Borrowed: a literal. */
} decision;

/* Rounded up: a client that comes back then is not too early. */
static long long
whole_seconds(int64_t us)
{
    return (us + 999999) / 1000000;
}

PyObject *
fta_decision_new(fta_state *state, const fta_limiter_answer *answer,
                 const fta_rate *rate)
{
    const fta_verdict *verdict = &answer->verdict;
    decision *self = PyObject_New(decision, state->decision_type);
    if (self != NULL) {
        self->rate = rate != NULL ? *rate : (fta_rate){0, 0};
        self->reset =
            whole_seconds(fta_clock_realtime_us() + verdict->reset_after_us);
        self->retry_after = whole_seconds(verdict->retry_after_us);
        self->index = (Py_ssize_t)verdict->index;
        self->limit = verdict->limit;
        self->remaining = verdict->remaining;
        self->allowed = verdict->allowed;
        self->store = answer->store != NULL ? answer->store : "none";
    }
    return (PyObject *)self;
}

bool
fta_decision_allows(const fta_state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->decision_type) &&
           ((const decision *)(void *)object)->allowed;
}

static void
decision_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A new Rate each time. A reference to that of the limit would be one to an
 * object that all threads share: they would wait for each other to count it. */
static PyObject *
get_rate(PyObject *self, void *Py_UNUSED(closure))
{
    const fta_rate *rate = &((decision *)self)->rate;
    return rate->period == 0
               ? Py_NewRef(Py_None)
               : fta_rate_new(PyType_GetModuleState(Py_TYPE(self)), rate);
}

static PyObject *
get_store(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_InternFromString(((decision *)self)->store);
}

bool
fta_decision_report(const fta_state *state, PyObject *object,
                    fta_limit_report *report)
{
    if (object == NULL || !Py_IS_TYPE(object, state->decision_type)) {
        return false;
    }
    const decision *self = (const decision *)object;
    report->allowed = self->allowed;
    report->limit = self->limit;
    report->remaining = self->remaining;
    report->reset = self->reset;
    report->retry_after = self->retry_after;
    report->index = (size_t)self->index;
    return true;
}

static PyObject *
decision_repr(PyObject *object)
{
    const decision *self = (const decision *)object;
    PyObject *rate = get_rate(object, NULL);
    PyObject *text =
        rate == NULL
            ? NULL
            : PyUnicode_FromFormat("<Decision %s: %u of %u remaining, rate %R>",
                                   self->allowed ? "allowed" : "limited",
                                   self->remaining, self->limit, rate);
    Py_XDECREF(rate);
    return text;
}

static PyMemberDef decision_members[] = {
    {"allowed", T_BOOL, offsetof(decision, allowed), READONLY,
     "Whether the request is allowed."},
    {"limit", T_UINT, offsetof(decision, limit), READONLY,
     "The limit that is closest."},
    {"remaining", T_UINT, offsetof(decision, remaining), READONLY,
     "What is left of it."},
    {"reset", T_LONGLONG, offsetof(decision, reset), READONLY,
     "When all of it is there again, in seconds since 1970."},
    {"retry_after", T_LONGLONG, offsetof(decision, retry_after), READONLY,
     "Seconds until the request would be allowed; 0 when it is."},
    {"index", T_PYSSIZET, offsetof(decision, index), READONLY,
     "Its place among the limits."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef decision_getset[] = {
    {"store", get_store, NULL,
     "Where it was counted: 'memory', 'redis' or 'none'.", NULL},
    {"rate", get_rate, NULL, "Its rate; None when there was no limit.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    decision_doc,
    "What the limiter says about one request: the answer of the limit that\n"
    "is closest. Made by Limiter alone.");

static PyType_Slot decision_slots[] = {
    {Py_tp_doc, (void *)decision_doc},
    {Py_tp_dealloc, (void *)decision_dealloc},
    {Py_tp_repr, (void *)decision_repr},
    {Py_tp_members, (void *)decision_members},
    {Py_tp_getset, (void *)decision_getset},
    {0, NULL},
};

PyType_Spec fta_decision_spec = {
    .name = "flask_tenant_auth._core.Decision",
    .basicsize = sizeof(decision),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = decision_slots,
};
