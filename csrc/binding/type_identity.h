/* Identity: who sends a request. */
#ifndef FTA_BINDING_TYPE_IDENTITY_H
#define FTA_BINDING_TYPE_IDENTITY_H

#include "binding/kept_keyring.h"
#include "binding/state.h"

#include "base/uuid.h"
#include "token/claims.h"

#define FTA_SOURCE_LIST(X)                                                     \
    X(TOKEN, "token")                                                          \
    X(HEADERS, "headers")                                                      \
    X(API_KEY, "api_key")                                                      \
    X(LOCAL, "local")

typedef enum fta_source {
#define X(name, text) FTA_SOURCE_##name,
    FTA_SOURCE_LIST(X)
#undef X
        FTA_SOURCE_COUNT
} fta_source;

/* Its objects: X(name). All are Owned, and NULL where there is none. Nothing
 * that they refer to refers to an Identity. These never change. */
#define FTA_IDENTITY_LIST(X)                                                   \
    X(role)      /* a str, never NULL */                                       \
    X(own_roles) /* the Roles that role is one of, if not the Keyring's */     \
    X(actor)     /* a str: who acts as this user */                            \
    X(api_key)   /* a str: the id of the API key that was sent */              \
    X(named)     /* a frozenset: permissions beside those of role */           \
    X(token)     /* the object that text is in */

/* What is made when it is first asked for. */
#define FTA_IDENTITY_MADE_LIST(X)                                              \
    X(tenant_text)                                                             \
    X(user_text)                                                               \
    X(shown_claims) /* a mapping proxy */

typedef struct fta_identity {
    PyObject_HEAD
    fta_claims claims; /* its actor is empty */
    fta_source source;
    fta_text text;              /* the token, Borrowed from token */
    fta_keyring_keeper keyring; /* of the Keyring that has verified token, or
                                 * of none */
    PyObject *roles; /* Borrowed from own_roles or keyring; NULL: of no app */
    size_t known; /* permissions that claims.permissions takes into account */
#define X(name) PyObject *name;
    FTA_IDENTITY_LIST(X)
#undef X
#define X(name) fta_member name;
    FTA_IDENTITY_MADE_LIST(X)
#undef X
    /* A frozenset; its number: how many permissions it takes into account. */
    fta_numbered_member permissions;
} fta_identity;

int fta_add_identity(PyObject *module);

/* Its ids as text, new references. */
PyObject *fta_identity_tenant_id(fta_identity *self);
PyObject *fta_identity_user_id(fta_identity *self);

/* What it may do: two getters and two methods. */
PyObject *fta_identity_get_permissions(PyObject *self, void *closure);
PyObject *fta_identity_get_own_permissions(PyObject *self, void *closure);
PyObject *fta_identity_permits(PyObject *self, PyObject *value);
PyObject *fta_identity_has_role(PyObject *self, PyObject *passing);

/* The attributes, for the type. */
extern PyGetSetDef fta_identity_getset[];
extern PyMethodDef fta_identity_methods[];

extern const fta_words fta_source_words;

/* The object as an Identity. NULL without an exception for an object of another
 * type. */
static inline fta_identity *
fta_identity_of(const fta_state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->identity_type)
               ? (fta_identity *)(void *)object
               : NULL;
}

/* Reads an argument that is an Identity, or NULL or None for none. TypeError
 * for an object of another type. *out is NULL for none, else it lives as long
 * as the object. */
bool fta_read_identity(const fta_state *state, PyObject *value,
                       const fta_identity **out);

/* Where an Identity comes from: a token in an object, which a Keyring has
 * verified. */
typedef struct fta_identity_origin {
    PyObject *roles;        /* of the Keyring */
    fta_kept_keyring *kept; /* likewise */
    PyObject *token;
    fta_text text; /* in token */
} fta_identity_origin;

/* A new Identity without values: its claims are to be read into it, and then
 * fta_identity_finish. Until then only Py_DECREF may have it. */
fta_identity *fta_identity_begin(fta_state *state);

/* Makes an Identity of the claims that have been read into it. False with an
 * exception. */
bool fta_identity_finish(fta_identity *self, const fta_identity_origin *origin);

/* A new Identity as this one, whose role is one of other Roles. ValueError if
 * it is not. */
PyObject *fta_identity_in_roles(fta_identity *self, PyObject *roles);

/* A new set of the permissions that it has beside those of its role. */
PyObject *fta_identity_own_permissions(fta_identity *self);

/* A new frozenset of what it is permitted. */
PyObject *fta_identity_permissions(fta_identity *self);

#endif
