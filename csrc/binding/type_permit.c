#include "binding/type_permit.h"

#include <stdatomic.h>

typedef struct permit_object {
    PyObject_HEAD
    PyObject *permits_object; /* Owned: a Permits. */
    fta_permits *permits;     /* Borrowed from permits_object. */
    fta_permit permit;
    atomic_bool released; /* So that it is released once. */
} permit_object;

PyObject *
fta_permit_object_new(fta_state *state, PyObject *permits_object,
                      fta_permits *permits, const fta_permit *permit)
{
    permit_object *self = PyObject_New(permit_object, state->permit_type);
    if (self == NULL) {
        fta_permits_release(permits, permit);
        return NULL;
    }
    self->permits_object = Py_NewRef(permits_object);
    self->permits = permits;
    self->permit = *permit;
    atomic_init(&self->released, false);
    return (PyObject *)self;
}

static void
release(permit_object *self)
{
    if (!atomic_exchange(&self->released, true)) {
        fta_permits_release(self->permits, &self->permit);
    }
}

static void
permit_dealloc(PyObject *object)
{
    permit_object *self = (permit_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    release(self);
    Py_DECREF(self->permits_object);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(permit_release_doc,
             "release($self, /)\n--\n\n"
             "Give the permit back. Again it does nothing, and neither does\n"
             "it in a child of the process that has taken it.");

static PyObject *
permit_release(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    release((permit_object *)object);
    Py_RETURN_NONE;
}

static PyMethodDef permit_methods[] = {
    {"release", permit_release, METH_NOARGS, permit_release_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(permit_doc,
             "What a request holds while it runs, under a concurrency limit.\n"
             "It is given back by release(), when nobody refers to it any\n"
             "more, and by the kernel when its process ends. Made by Permits\n"
             "alone.");

static PyType_Slot permit_slots[] = {
    {Py_tp_doc, (void *)permit_doc},
    {Py_tp_dealloc, (void *)permit_dealloc},
    {Py_tp_methods, (void *)permit_methods},
    {0, NULL},
};

PyType_Spec fta_permit_spec = {
    .name = "flask_tenant_auth._core.Permit",
    .basicsize = sizeof(permit_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = permit_slots,
};
