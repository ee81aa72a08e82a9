/* Keyring: the keys of an app, and what its tokens must say. */
#ifndef FTA_BINDING_TYPE_KEYRING_H
#define FTA_BINDING_TYPE_KEYRING_H

#include "binding/kept_keyring.h"
#include "binding/state.h"

#include "base/text.h"
#include "token/claims_read.h"
#include "token/keyring.h"

typedef struct fta_keyring_object {
    PyObject_HEAD
    PyObject *keys;             /* Owned tuple */
    PyObject *roles;            /* Owned Roles */
    PyObject *on_default_role;  /* Owned; None: nobody is told */
    PyObject *revocations;      /* Owned Revocations, or None */
    fta_kept_keyring *kept;     /* Owned, with its Identities */
    const fta_keyring *keyring; /* Borrowed from kept */
} fta_keyring_object;

/* The methods that verify tokens. Each takes a Keyring and the token, or the
 * value of an Authorization header. */
PyObject *fta_keyring_verify(PyObject *self, PyObject *value);
PyObject *fta_keyring_authenticate(PyObject *self, PyObject *value);

/* The methods that make tokens. */
PyObject *fta_keyring_sign(PyObject *self, PyObject *payload);
PyObject *fta_keyring_issue(PyObject *self, PyObject *args);
extern const char fta_keyring_sign_doc[];
extern const char fta_keyring_issue_doc[];

/* Reads the claims of a token again that this keyring has verified, whatever
 * the time is. The caller holds what the keyring and the text are in. */
fta_status fta_keyring_read_again(const fta_keyring *keyring, fta_text text,
                                  const fta_json_sink *events,
                                  const fta_permission_sink *permissions,
                                  fta_claims *out);

#endif
