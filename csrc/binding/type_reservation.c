#include "binding/type_reservation.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/waiting.h"

typedef struct reservation_object {
    PyObject_HEAD
    PyObject *limiter_object;     /* Owned: a Limiter. */
    fta_limiter *limiter;         /* Borrowed from limiter_object. */
    fta_reservation *reservation; /* Owned; NULL where nothing was counted. */
    PyObject *decision;           /* Owned: a Decision. */
} reservation_object;

PyObject *
fta_reservation_object_new(fta_state *state, PyObject *limiter_object,
                           fta_limiter *limiter, fta_reservation *reservation,
                           PyObject *decision)
{
    reservation_object *self =
        PyObject_New(reservation_object, state->reservation_type);
    if (self == NULL) {
        fta_reservation_free(reservation);
        return NULL;
    }
    self->limiter_object = Py_NewRef(limiter_object);
    self->limiter = limiter;
    self->reservation = reservation;
    self->decision = Py_NewRef(decision);
    return (PyObject *)self;
}

static void
reservation_dealloc(PyObject *object)
{
    reservation_object *self = (reservation_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    fta_reservation_free(self->reservation);
    Py_DECREF(self->decision);
    Py_DECREF(self->limiter_object);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    reservation_give_back_doc,
    "give_back($self, start=0, stop=16, /)\n--\n\n"
    "Give back what was taken from the limits from start to stop, each once:\n"
    "the request does not count. Whether the store took it back; it does not\n"
    "while it is away. Nothing is given to a window that has begun since, or\n"
    "to a counter that was reset.");

static PyObject *
reservation_give_back(PyObject *object, PyObject *args)
{
    reservation_object *self = (reservation_object *)object;
    Py_ssize_t start = 0, stop = FTA_HITS_MAX;
    if (!PyArg_ParseTuple(args, "|nn:give_back", &start, &stop)) {
        return NULL;
    }
    if (start < 0 || stop < start) {
        PyErr_SetString(PyExc_ValueError,
                        "start and stop must be 0 or more, and stop not less "
                        "than start");
        return NULL;
    }
    if (self->reservation == NULL) {
        Py_RETURN_FALSE;
    }
    fta_released_gil gil = {.metrics = NULL};
    const fta_waiting waiting = fta_waiting_without_gil(&gil);
    Py_INCREF(object);
    fta_status status =
        fta_limiter_give_back(self->limiter, self->reservation, (size_t)start,
                              (size_t)stop, &waiting);
    Py_DECREF(object);
    return PyBool_FromLong(status == FTA_OK);
}

static PyMethodDef reservation_methods[] = {
    {"give_back", reservation_give_back, METH_VARARGS,
     reservation_give_back_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef reservation_members[] = {
    {"decision", T_OBJECT, offsetof(reservation_object, decision), READONLY,
     "What the limiter says about the request. Where it is limited, nothing\n"
     "was taken."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(
    reservation_doc,
    "What a request has taken from its limits until it is known whether it\n"
    "counts. It stays taken unless it is given back. Made by Limiter alone.");

static PyType_Slot reservation_slots[] = {
    {Py_tp_doc, (void *)reservation_doc},
    {Py_tp_dealloc, (void *)reservation_dealloc},
    {Py_tp_methods, (void *)reservation_methods},
    {Py_tp_members, (void *)reservation_members},
    {0, NULL},
};

PyType_Spec fta_reservation_spec = {
    .name = "flask_tenant_auth._core.Reservation",
    .basicsize = sizeof(reservation_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = reservation_slots,
};
