#include "binding/type_served_request.h"

#include <stdbool.h>

#include "binding/convert.h"
#include "binding/hold.h"
#include "binding/keywords.h"
#include "binding/type_identity.h"
#include "binding/type_request_record.h"

int
fta_served_find(const fta_state *state, const fta_served_request *self,
                PyObject **request, PyObject **attributes)
{
    PyObject *context = NULL;
    *request = *attributes = NULL;
    if (PyContextVar_Get(self->context, NULL, &context) < 0) {
        return -1;
    }
    if (context == NULL) {
        return 0;
    }
    *request = fta_served_read(state, context, FTA_SERVED_request);
    Py_DECREF(context);
    if (*request == NULL) {
        /* A context without a request, where Flask has one type for both. */
        if (!PyErr_ExceptionMatches(PyExc_RuntimeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    *attributes = PyObject_GenericGetDict(*request, NULL);
    if (*attributes == NULL) {
        Py_CLEAR(*request);
        return -1;
    }
    return 1;
}

/* --- binding an identity ---------------------------------------------------
 */

/* Sets request.tenant_id, user_id and user_role, whatever the class of the
 * request has under these names. */
static bool
show(const fta_state *state, PyObject *attributes, fta_identity *identity)
{
    PyObject *tenant = fta_identity_tenant_id(identity);
    PyObject *user = tenant == NULL ? NULL : fta_identity_user_id(identity);
    bool shown = user != NULL &&
                 PyDict_SetItem(attributes,
                                fta_served_name_of(state, FTA_SERVED_tenant_id),
                                tenant) == 0 &&
                 PyDict_SetItem(attributes,
                                fta_served_name_of(state, FTA_SERVED_user_id),
                                user) == 0 &&
                 PyDict_SetItem(attributes,
                                fta_served_name_of(state, FTA_SERVED_user_role),
                                identity->role) == 0;
    Py_XDECREF(user);
    Py_XDECREF(tenant);
    return shown;
}

/* The identity that the record of a request has proved and that is not bound
 * yet: a new reference, or NULL. */
static PyObject *
unbound_identity(const fta_state *state, PyObject *of_request)
{
    fta_request_record *record = fta_request_record_of(state, of_request);
    if (record == NULL || !record->dispatched ||
        !fta_member_is_none(of_request, &record->identity)) {
        return NULL;
    }
    PyObject *outcome = fta_member_get(of_request, &record->outcome);
    if (outcome != NULL && fta_identity_of(state, outcome) == NULL) {
        Py_CLEAR(outcome);
    }
    return outcome;
}

PyDoc_STRVAR(
    bind_doc,
    "bind($self, /)\n--\n\n"
    "Bind the Identity that the request has proved to it, and return it.\n"
    "None: nothing was done; there is no request, or none that Flask\n"
    "dispatches, an identity is lent, or none is proved, or it is bound.");

static PyObject *
served_bind(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const fta_state *state = PyType_GetModuleState(Py_TYPE(object));
    const fta_served_request *self = (const fta_served_request *)object;
    PyObject *lent = NULL, *request = NULL, *attributes = NULL;
    PyObject *record = NULL, *identity = NULL, *result = NULL;
    if (PyContextVar_Get(self->lent, NULL, &lent) < 0) {
        goto done;
    }
    if (lent == NULL || Py_IsNone(lent)) {
        int found = fta_served_find(state, self, &request, &attributes);
        record = found <= 0 ? NULL : fta_held_item(attributes, self->attribute);
        identity = record == NULL ? NULL : unbound_identity(state, record);
    }
    if (identity == NULL) {
        result = PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
        goto done;
    }
    fta_member_set(record, &fta_request_record_of(state, record)->identity,
                   Py_NewRef(identity));
    if (show(state, attributes, fta_identity_of(state, identity))) {
        result = Py_NewRef(identity);
    }
done:
    Py_XDECREF(identity);
    Py_XDECREF(record);
    Py_XDECREF(attributes);
    Py_XDECREF(request);
    Py_XDECREF(lent);
    return result;
}

/* --- the object -----------------------------------------------------------
 */

static int
served_traverse(PyObject *object, visitproc visit, void *arg)
{
    fta_served_request *self = (fta_served_request *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->context);
    Py_VISIT(self->lent);
    return 0;
}

static void
served_dealloc(PyObject *object)
{
    fta_served_request *self = (fta_served_request *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->context);
    Py_CLEAR(self->lent);
    Py_CLEAR(self->attribute);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *
served_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"context", "lent", "attribute", NULL};
    PyObject *context, *lent, *attribute;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!O!U:ServedRequest",
                                     keywords, &PyContextVar_Type, &context,
                                     &PyContextVar_Type, &lent, &attribute)) {
        return NULL;
    }
    if (!PyUnicode_CheckExact(attribute)) {
        PyErr_SetString(PyExc_TypeError,
                        "attribute must be str and of no subclass");
        return NULL;
    }
    fta_served_request *self = (fta_served_request *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->context = Py_NewRef(context);
        self->lent = Py_NewRef(lent);
        self->attribute = Py_NewRef(attribute);
    }
    return (PyObject *)self;
}

FTA_KEYWORDS(PyTypeObject, served_new)

static PyMethodDef served_methods[] = {
    {"count", (PyCFunction)(void (*)(void))fta_served_count, METH_FASTCALL,
     fta_served_count_doc},
    {"bind", served_bind, METH_NOARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(served_doc,
             "ServedRequest(*, context, lent, attribute)\n--\n\n"
             "The request that Flask serves in the running context: what its\n"
             "context variable holds, and the context variable of identities\n"
             "that are lent. attribute is the attribute of a request that\n"
             "holds its record.");

static PyType_Slot served_slots[] = {
    {Py_tp_doc, (void *)served_doc},
    {Py_tp_new, (void *)FTA_KEYWORDS_NAME(served_new)},
    {Py_tp_traverse, (void *)served_traverse},
    {Py_tp_dealloc, (void *)served_dealloc},
    {Py_tp_methods, (void *)served_methods},
    {0, NULL},
};

PyType_Spec fta_served_request_spec = {
    .name = "flask_tenant_auth._core.ServedRequest",
    .basicsize = sizeof(fta_served_request),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = served_slots,
};

int
fta_add_served_request(PyObject *module)
{
    static const char *const names[] = {
#define X(name) #name,
        FTA_SERVED_LIST(X)
#undef X
    };
    fta_state *state = fta_state_of_module(module);
    state->served_names = fta_interned_names(names, FTA_SERVED_COUNT);
    return state->served_names == NULL ? -1 : 0;
}
