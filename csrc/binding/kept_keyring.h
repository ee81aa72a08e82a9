/* What a Keyring and its Identities share.
 *
 * Each request makes an Identity. If it referred to the Keyring, the threads of
 * a CPython without the GIL would wait for each other to count the references.
 * So it keeps what it needs of the Keyring, and that is counted in stripes, one
 * for each of some CPUs. The Keyring itself is counted in every stripe. So none
 * is at zero while the Keyring lives, and the last stripe that comes to zero
 * ends all. */
#ifndef FTA_BINDING_KEPT_KEYRING_H
#define FTA_BINDING_KEPT_KEYRING_H

#include <stddef.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "token/keyring.h"

typedef struct fta_kept_keyring fta_kept_keyring;

/* Keeps it, if kept is not NULL. */
typedef struct fta_keyring_keeper {
    fta_kept_keyring *kept;
    size_t stripe; /* The one that counts this keeper. */
} fta_keyring_keeper;

/* For a new Keyring, which it is kept by. Takes over the keyring, and takes new
 * references to what that borrows from: keys and roles. NULL with an exception
 * set. */
fta_kept_keyring *fta_kept_keyring_new(fta_keyring *keyring, PyObject *keys,
                                       PyObject *roles);

/* Of a Keyring that ends. NULL is allowed. */
void fta_kept_keyring_leave(fta_kept_keyring *kept);

const fta_keyring *fta_kept_keyring_get(const fta_kept_keyring *kept);

/* A new keeper: of a Keyring that is alive, or as another keeper, which may
 * keep nothing. */
fta_keyring_keeper fta_keep_keyring(fta_kept_keyring *kept);
fta_keyring_keeper fta_keep_also(const fta_keyring_keeper *other);

/* Ends a keeper. It keeps nothing then. */
void fta_keep_no_longer(fta_keyring_keeper *keeper);

#endif
