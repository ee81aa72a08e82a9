#include "binding/type_rejection.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/errors.h"

typedef struct rejection {
    PyObject_HEAD
    PyObject *reason; /* Owned */
    PyObject *detail; /* Owned */
    char expired;
} rejection;

static const fta_status statuses[] = {
#define X(name, text) FTA_##name,
    FTA_REJECTION_LIST(X)
#undef X
};
#define COUNT (sizeof statuses / sizeof *statuses)

static int
rejection_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((rejection *)self)->reason);
    Py_VISIT(((rejection *)self)->detail);
    return 0;
}

static void
rejection_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((rejection *)self)->reason);
    Py_CLEAR(((rejection *)self)->detail);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
rejection_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<Rejection %U>", ((rejection *)self)->reason);
}

static PyMemberDef rejection_members[] = {
    {"reason", T_OBJECT_EX, offsetof(rejection, reason), READONLY,
     "The reason in snake_case; it never changes between versions."},
    {"detail", T_OBJECT_EX, offsetof(rejection, detail), READONLY,
     "One sentence for the log; never any part of the token."},
    {"expired", T_BOOL, offsetof(rejection, expired), READONLY,
     "Whether the token is right but for being expired."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(rejection_doc, "Why a token was refused. Immutable; one object "
                            "per reason.");

static PyType_Slot rejection_slots[] = {
    {Py_tp_doc, (void *)rejection_doc},
    {Py_tp_traverse, (void *)rejection_traverse},
    {Py_tp_dealloc, (void *)rejection_dealloc},
    {Py_tp_repr, (void *)rejection_repr},
    {Py_tp_members, (void *)rejection_members},
    {0, NULL},
};

static PyType_Spec rejection_spec = {
    .name = "flask_tenant_auth._core.Rejection",
    .basicsize = sizeof(rejection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = rejection_slots,
};

static PyObject *
make_rejection(PyTypeObject *type, fta_status status)
{
    rejection *self = (rejection *)type->tp_alloc(type, 0);
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

int
fta_add_rejection(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
    state->rejection_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &rejection_spec, NULL);
    if (state->rejection_type == NULL ||
        PyModule_AddType(module, state->rejection_type) < 0) {
        return -1;
    }
    state->rejections = PyTuple_New(COUNT);
    if (state->rejections == NULL) {
        return -1;
    }
    for (size_t i = 0; i < COUNT; i++) {
        PyObject *made = make_rejection(state->rejection_type, statuses[i]);
        if (made == NULL) {
            return -1;
        }
        PyTuple_SET_ITEM(state->rejections, (Py_ssize_t)i, made);
    }
    return 0;
}

PyObject *
fta_rejection_of(fta_state *state, fta_status status)
{
    /* The list is one run of the enum. */
    if (status < statuses[0] || status > statuses[COUNT - 1]) {
        return NULL;
    }
    return Py_NewRef(PyTuple_GET_ITEM(state->rejections,
                                      (Py_ssize_t)(status - statuses[0])));
}
