/* ServedRequest: the request that Flask serves in the running context.
 *
 * It takes the steps that nearly every request takes, without a line of Python
 * between them. Each step either is taken whole, or says that it is for Python
 * to take. What is ordinary enough for the core, Python decides: it fills the
 * routes that count() is called with. */
#ifndef FTA_BINDING_TYPE_SERVED_REQUEST_H
#define FTA_BINDING_TYPE_SERVED_REQUEST_H

#include "binding/state.h"

/* The attributes that are read and written, by their names in Python. */
#define FTA_SERVED_LIST(X)                                                     \
    X(request) /* of a context of Flask */                                     \
    X(environ) /* of a Request, as the next three */                           \
    X(url_rule)                                                                \
    X(method)                                                                  \
    X(remote_addr)                                                             \
    X(tenant_id) /* of a verified Request, as the next two */                  \
    X(user_id)                                                                 \
    X(user_role)                                                               \
    X(endpoint) /* of a Rule */                                                \
    X(live)     /* of the state of an app, as those that follow */             \
    X(source)                                                                  \
    X(keyring)                                                                 \
    X(limiter)                                                                 \
    X(store_events)

typedef enum fta_served_name {
#define X(name) FTA_SERVED_##name,
    FTA_SERVED_LIST(X)
#undef X
        FTA_SERVED_COUNT
} fta_served_name;

/* It never changes, so it has no tp_clear, as a tuple. */
typedef struct fta_served_request {
    PyObject_HEAD
    PyObject *context;   /* Owned: the ContextVar of Flask's context */
    PyObject *lent;      /* Owned: the ContextVar of the identity that
                          * acting_as lends */
    PyObject *attribute; /* Owned str: the attribute of a Request that holds
                          * its record */
} fta_served_request;

static inline PyObject *
fta_served_name_of(const fta_state *state, fta_served_name name)
{
    return PyTuple_GET_ITEM(state->served_names, name);
}

/* A new reference to an attribute, or NULL with an exception set. */
static inline PyObject *
fta_served_read(const fta_state *state, PyObject *object, fta_served_name name)
{
    return PyObject_GetAttr(object, fta_served_name_of(state, name));
}

/* The request that is served, and the dict of its attributes: new references.
 * 0: there is none; -1 with an exception set. */
int fta_served_find(const fta_state *state, const fta_served_request *self,
                    PyObject **request, PyObject **attributes);

/* The method count. */
PyObject *fta_served_count(PyObject *object, PyObject *const *args,
                           Py_ssize_t count);
extern const char fta_served_count_doc[];

int fta_add_served_request(PyObject *module);

#endif
