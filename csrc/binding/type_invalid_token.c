#include "binding/type_invalid_token.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/errors.h"

typedef struct invalid_token {
    PyObject_HEAD
    PyObject *reason; /* Owned */
    PyObject *detail; /* Owned */
    char expired;
} invalid_token;

static const fta_status statuses[] = {
#define X(name, text) FTA_##name,
    FTA_INVALID_TOKEN_LIST(X)
#undef X
};
#define COUNT (sizeof statuses / sizeof *statuses)

static int
invalid_token_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((invalid_token *)self)->reason);
    Py_VISIT(((invalid_token *)self)->detail);
    return 0;
}

static void
invalid_token_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((invalid_token *)self)->reason);
    Py_CLEAR(((invalid_token *)self)->detail);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
invalid_token_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<InvalidToken %U>",
                                ((invalid_token *)self)->reason);
}

static PyMemberDef invalid_token_members[] = {
    {"reason", T_OBJECT_EX, offsetof(invalid_token, reason), READONLY,
     "The reason in snake_case; it never changes between versions."},
    {"detail", T_OBJECT_EX, offsetof(invalid_token, detail), READONLY,
     "One sentence for the log; never any part of the token."},
    {"expired", T_BOOL, offsetof(invalid_token, expired), READONLY,
     "Whether the token is right but for being expired."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(invalid_token_doc,
             "Why a token is invalid. It never changes; there "
             "is one object for each reason.");

static PyType_Slot invalid_token_slots[] = {
    {Py_tp_doc, (void *)invalid_token_doc},
    {Py_tp_traverse, (void *)invalid_token_traverse},
    {Py_tp_dealloc, (void *)invalid_token_dealloc},
    {Py_tp_repr, (void *)invalid_token_repr},
    {Py_tp_members, (void *)invalid_token_members},
    {0, NULL},
};

PyType_Spec fta_invalid_token_spec = {
    .name = "flask_tenant_auth._core.InvalidToken",
    .basicsize = sizeof(invalid_token),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = invalid_token_slots,
};

static PyObject *
make_invalid_token(PyTypeObject *type, fta_status status)
{
    invalid_token *self = (invalid_token *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->reason = fta_code_of(status);
    self->detail = PyUnicode_FromString(fta_status_text(status));
    self->expired = status == FTA_EXPIRED;
    if (self->reason == NULL || self->detail == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* INVALID_TOKENS: each of them by its reason. */
static int
add_by_reason(PyObject *module, PyObject *made)
{
    PyObject *by_reason = PyDict_New();
    int result = by_reason == NULL ? -1 : 0;
    for (size_t i = 0; i < COUNT && result == 0; i++) {
        PyObject *one = PyTuple_GET_ITEM(made, (Py_ssize_t)i);
        result = PyDict_SetItem(by_reason, ((invalid_token *)one)->reason, one);
    }
    if (result == 0) {
        result = PyModule_AddObjectRef(module, "INVALID_TOKENS", by_reason);
    }
    Py_XDECREF(by_reason);
    return result;
}

int
fta_add_invalid_token(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->invalid_tokens = PyTuple_New(COUNT);
    if (state->invalid_tokens == NULL) {
        return -1;
    }
    for (size_t i = 0; i < COUNT; i++) {
        PyObject *made =
            make_invalid_token(state->invalid_token_type, statuses[i]);
        if (made == NULL) {
            return -1;
        }
        PyTuple_SET_ITEM(state->invalid_tokens, (Py_ssize_t)i, made);
    }
    return add_by_reason(module, state->invalid_tokens);
}

PyObject *
fta_invalid_token_of(fta_state *state, fta_status status)
{
    /* The statuses of the list are one run of the enum. */
    if (status < statuses[0] || status > statuses[COUNT - 1]) {
        return NULL;
    }
    return Py_NewRef(PyTuple_GET_ITEM(state->invalid_tokens,
                                      (Py_ssize_t)(status - statuses[0])));
}
