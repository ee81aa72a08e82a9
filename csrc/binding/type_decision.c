#include "binding/type_decision.h"

#include <stddef.h>
#include <structmember.h>

#include "base/clock.h"

#define FIELDS 3

typedef struct decision {
    PyObject_HEAD
    PyObject *rate; /* Owned: a Rate or None. */
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
                 PyObject *rate)
{
    const fta_verdict *verdict = &answer->verdict;
    decision *self = PyObject_New(decision, state->decision_type);
    if (self != NULL) {
        self->rate = Py_NewRef(rate);
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

static void
decision_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(((decision *)self)->rate);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
get_store(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_InternFromString(((decision *)self)->store);
}

/* One header field. Its digits are written here: PyUnicode_FromFormat takes
 * longer than all else together. */
static PyObject *
field(PyObject *name, unsigned long long value)
{
    char digits[24];
    char *start = digits + sizeof digits;
    do {
        *--start = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    PyObject *text = PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, start,
                                               digits + sizeof digits - start);
    PyObject *pair = text == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_XDECREF(text);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, Py_NewRef(name));
    PyTuple_SET_ITEM(pair, 1, text);
    return pair;
}

/* In the order of the names in the module's state. */
static PyObject *
make_fields(const fta_state *state, const decision *self)
{
    const unsigned long long values[] = {
        self->limit,
        self->remaining,
        self->reset < 0 ? 0 : (unsigned long long)self->reset,
    };
    PyObject *list = PyList_New(FIELDS);
    for (Py_ssize_t i = 0; list != NULL && i < FIELDS; i++) {
        PyObject *name = PyTuple_GET_ITEM(state->limit_field_names, i);
        PyObject *pair = field(name, values[i]);
        if (pair == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, pair);
        }
    }
    return list;
}

static PyObject *
get_headers(PyObject *self, void *Py_UNUSED(closure))
{
    return make_fields(PyType_GetModuleState(Py_TYPE(self)),
                       (const decision *)self);
}

bool
fta_decision_is_plain(const fta_state *state, PyObject *object)
{
    return Py_IsNone(object) || (Py_IS_TYPE(object, state->decision_type) &&
                                 ((const decision *)object)->allowed);
}

PyObject *
fta_decision_fields(const fta_state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->decision_type)
               ? make_fields(state, (const decision *)object)
               : Py_NewRef(state->no_fields);
}

static PyObject *
decision_repr(PyObject *object)
{
    const decision *self = (const decision *)object;
    return PyUnicode_FromFormat("<Decision %s: %u of %u remaining, rate %R>",
                                self->allowed ? "allowed" : "limited",
                                self->remaining, self->limit, self->rate);
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
    {"rate", T_OBJECT, offsetof(decision, rate), READONLY,
     "Its rate; None when there was no limit."},
    {"index", T_PYSSIZET, offsetof(decision, index), READONLY,
     "Its place among the limits."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef decision_getset[] = {
    {"headers", get_headers, NULL,
     "The X-RateLimit fields of an answer, as WSGI takes them: a new list.",
     NULL},
    {"store", get_store, NULL,
     "Where it was counted: 'memory', 'redis' or 'none'.", NULL},
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

int
fta_add_decision(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->limit_field_names =
        Py_BuildValue("(sss)", "X-RateLimit-Limit", "X-RateLimit-Remaining",
                      "X-RateLimit-Reset");
    return state->limit_field_names == NULL ? -1 : 0;
}
