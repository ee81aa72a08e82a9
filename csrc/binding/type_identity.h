/* Identity: who sends a request. */
#ifndef FTA_BINDING_TYPE_IDENTITY_H
#define FTA_BINDING_TYPE_IDENTITY_H

#include "binding/state.h"

#include "base/uuid.h"
#include "token/claims.h"

#define FTA_SOURCE_LIST(X)                                                     \
    X(TOKEN, "token")                                                          \
    X(HEADERS, "headers")                                                      \
    X(LOCAL, "local")

typedef enum fta_source {
#define X(name, text) FTA_SOURCE_##name,
    FTA_SOURCE_LIST(X)
#undef X
        FTA_SOURCE_COUNT
} fta_source;

typedef struct fta_identity {
    PyObject_HEAD
    fta_claims claims;
    fta_source source;
} fta_identity;

int fta_add_identity(PyObject *module);

/* The object as an Identity. NULL without an exception for an object of another
 * type. */
static inline const fta_identity *
fta_identity_of(const fta_state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->identity_type)
               ? (const fta_identity *)(void *)object
               : NULL;
}

/* Reads an argument that is an Identity, or NULL or None for none. TypeError
 * for an object of another type. *out is NULL for none, else it lives as long
 * as the object. */
bool fta_read_identity(const fta_state *state, PyObject *value,
                       const fta_identity **out);

/* A new Identity from verified claims. */
PyObject *fta_identity_from_claims(fta_state *state, const fta_claims *claims);

#endif
