#include "binding/type_request_record.h"
#include "binding/keywords.h"

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

static int
record_traverse(PyObject *object, visitproc visit, void *arg)
{
    fta_request_record *self = (fta_request_record *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->state);
#define X(name) FTA_MEMBER_VISIT(self->name);
    FTA_REQUEST_RECORD_LIST(X)
#undef X
    return 0;
}

/* A cycle through state leads through what Python can change in it, which
 * breaks the cycle itself. */
static int
record_clear(PyObject *object)
{
    fta_request_record *self = (fta_request_record *)object;
#define X(name) fta_member_set(object, &self->name, NULL);
    FTA_REQUEST_RECORD_LIST(X)
#undef X
    return 0;
}

static void
record_dealloc(PyObject *object)
{
    fta_request_record *self = (fta_request_record *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->state);
#define X(name) fta_member_clear(&self->name);
    FTA_REQUEST_RECORD_LIST(X)
#undef X
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject *
fta_request_record_new(const fta_state *state, PyObject *of_app)
{
    PyTypeObject *type = state->request_record_type;
    fta_request_record *self = (fta_request_record *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = Py_NewRef(of_app);
        fta_member_init(&self->counted, Py_NewRef(state->nothing));
        fta_member_init(&self->limits, Py_NewRef(state->nothing));
    }
    return (PyObject *)self;
}

static PyObject *
record_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"state", NULL};
    PyObject *of_app;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:RequestRecord", keywords,
                                     &of_app)) {
        return NULL;
    }
    return fta_request_record_new(PyType_GetModuleState(type), of_app);
}

FTA_KEYWORDS(PyTypeObject, record_new)

/* --- Attributes of one type ------------------------------------------------
 */

typedef struct typed_slot {
    const char *name;
    const char *takes; /* for the error message */
    size_t offset;     /* in fta_request_record */
    size_t type;       /* in fta_state: a PyTypeObject; 0: see builtin */
    PyTypeObject *builtin;
} typed_slot;

static PyObject *
get_typed(PyObject *object, void *closure)
{
    const typed_slot *slot = closure;
    return fta_member_attribute_get(object, (void *)slot->offset);
}

static int
set_typed(PyObject *object, PyObject *value, void *closure)
{
    const typed_slot *slot = closure;
    PyTypeObject *type = slot->builtin;
    if (type == NULL) {
        char *state = PyType_GetModuleState(Py_TYPE(object));
        type = *(PyTypeObject **)(void *)(state + slot->type);
    }
    bool is_none = value != NULL && Py_IsNone(value);
    if (value == NULL ||
        (!Py_IS_TYPE(value, type) && !(is_none && type != &PyTuple_Type))) {
        PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100s", slot->name,
                     slot->takes,
                     value == NULL ? "deleted" : Py_TYPE(value)->tp_name);
        return -1;
    }
    return fta_member_attribute_set(object, value, (void *)slot->offset);
}

#define OF_CORE(name, type, takes)                                             \
    {#name, takes, offsetof(fta_request_record, name),                         \
     offsetof(fta_state, type), NULL}
#define OF_BUILTIN(name, type, takes)                                          \
    {#name, takes, offsetof(fta_request_record, name), 0, &type}

enum { IDENTITY, SUBJECT, DECISION, COUNTED, LIMITS, REASON };

static const typed_slot slots[] = {
    [IDENTITY] = OF_CORE(identity, identity_type, "an Identity or None"),
    [SUBJECT] = OF_CORE(subject, identity_type, "an Identity or None"),
    [DECISION] = OF_CORE(decision, decision_type, "a Decision or None"),
    [COUNTED] = OF_BUILTIN(counted, PyTuple_Type, "a tuple"),
    [LIMITS] = OF_BUILTIN(limits, PyTuple_Type, "a tuple"),
    [REASON] = OF_BUILTIN(reason, PyUnicode_Type, "a str or None"),
};

#define SLOT(which) (void *)(uintptr_t)&slots[which]

static PyGetSetDef record_getset[] = {
    {"outcome", fta_member_attribute_get, fta_member_attribute_set,
     "What the credentials prove: an Identity or a denial; None: not read "
     "yet.",
     FTA_AT(fta_request_record, outcome)},
    {"invalid_token", fta_member_attribute_get, NULL,
     "The InvalidToken of its token, if authenticate_and_count saw one.",
     FTA_AT(fta_request_record, invalid_token)},
    {"dispatched", fta_flag_attribute_get, fta_flag_attribute_set,
     "Whether Flask dispatches this request: denials are raised then.",
     FTA_AT(fta_request_record, dispatched)},
    {"has_answer", fta_flag_attribute_get, NULL,
     "Whether a StartResponse is tied to it: the audit log gets a line of it.",
     FTA_AT(fta_request_record, has_answer)},
    {"failure_counted", fta_flag_attribute_get, fta_flag_attribute_set,
     "Whether the failure limit has counted it.",
     FTA_AT(fta_request_record, failure_counted)},
    {"identity", get_typed, set_typed,
     "Who the request is, once a decorator has bound it.", SLOT(IDENTITY)},
    {"subject", get_typed, set_typed,
     "Whose request it was, if it was denied although its credentials are "
     "valid.",
     SLOT(SUBJECT)},
    {"decision", get_typed, set_typed, "What the limiter said.",
     SLOT(DECISION)},
    {"counted", get_typed, set_typed, "The rules that were counted.",
     SLOT(COUNTED)},
    {"limits", get_typed, set_typed, "The limits that the decision is about.",
     SLOT(LIMITS)},
    {"reason", get_typed, set_typed,
     "Why the request was denied, in one stable word.", SLOT(REASON)},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef record_members[] = {
    {"state", T_OBJECT, offsetof(fta_request_record, state), READONLY,
     "What the app has made of its configuration."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(record_doc,
             "RequestRecord(state)\n--\n\n"
             "What is known of one request so far. It belongs to the Request\n"
             "object that was authenticated, and to no other.");

static PyType_Slot record_slots[] = {
    {Py_tp_doc, (void *)record_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(record_new)},
    {Py_tp_traverse, (void *)record_traverse},
    {Py_tp_clear, (void *)record_clear},
    {Py_tp_dealloc, (void *)record_dealloc},
    {Py_tp_members, (void *)record_members},
    {Py_tp_getset, (void *)record_getset},
    {0, NULL},
};

PyType_Spec fta_request_record_spec = {
    .name = "flask_tenant_auth._core.RequestRecord",
    .basicsize = sizeof(fta_request_record),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = record_slots,
};

int
fta_add_request_record(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->nothing = PyTuple_New(0);
    return state->nothing == NULL ? -1 : 0;
}
