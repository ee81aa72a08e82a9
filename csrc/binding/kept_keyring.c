#include "binding/kept_keyring.h"

#include <sched.h>
#include <stdatomic.h>

/* With a GIL no two threads count at once. */
#ifdef Py_GIL_DISABLED
#define STRIPES ((size_t)16)
#else
#define STRIPES ((size_t)1)
#endif
#define CACHE_LINE 64

typedef struct stripe {
    atomic_size_t keepers; /* of this stripe, with the Keyring while it lives */
    char rest_of_line[CACHE_LINE - sizeof(atomic_size_t)];
} stripe;

struct fta_kept_keyring {
    fta_keyring *keyring; /* Owned */
    PyObject *keys;       /* Owned tuple: what keyring borrows from */
    PyObject *roles;      /* Owned: likewise */
    atomic_size_t left;   /* stripes that are not at zero */
    char rest_of_line[CACHE_LINE - sizeof(atomic_size_t)];
    stripe stripes[STRIPES];
};

static size_t
own_stripe(void)
{
#if defined(__linux__) && defined(Py_GIL_DISABLED)
    return (size_t)sched_getcpu() % STRIPES; /* -1 is a stripe too. */
#else
    return 0;
#endif
}

fta_kept_keyring *
fta_kept_keyring_new(fta_keyring *keyring, PyObject *keys, PyObject *roles)
{
    fta_kept_keyring *kept = PyMem_Calloc(1, sizeof *kept);
    if (kept == NULL) {
        fta_keyring_free(keyring);
        PyErr_NoMemory();
        return NULL;
    }
    kept->keyring = keyring;
    kept->keys = Py_NewRef(keys);
    kept->roles = Py_NewRef(roles);
    atomic_init(&kept->left, STRIPES);
    for (size_t i = 0; i < STRIPES; i++) {
        atomic_init(&kept->stripes[i].keepers, 1);
    }
    return kept;
}

/* Whoever counts down has finished with it, and who ends it begins after that:
 * so each count down releases, and the last one acquires. */
static void
leave(fta_kept_keyring *kept, size_t number)
{
    if (atomic_fetch_sub_explicit(&kept->stripes[number].keepers, 1,
                                  memory_order_acq_rel) == 1 &&
        atomic_fetch_sub_explicit(&kept->left, 1, memory_order_acq_rel) == 1) {
        fta_keyring_free(kept->keyring);
        Py_DECREF(kept->keys);
        Py_DECREF(kept->roles);
        PyMem_Free(kept);
    }
}

void
fta_kept_keyring_leave(fta_kept_keyring *kept)
{
    /* The last of them may end it. */
    for (size_t i = 0; kept != NULL && i < STRIPES; i++) {
        leave(kept, i);
    }
}

const fta_keyring *
fta_kept_keyring_get(const fta_kept_keyring *kept)
{
    return kept->keyring;
}

static fta_keyring_keeper
keep(fta_kept_keyring *kept, size_t number)
{
    /* It is not at zero, and who found it has seen what it keeps. */
    atomic_fetch_add_explicit(&kept->stripes[number].keepers, 1,
                              memory_order_relaxed);
    return (fta_keyring_keeper){kept, number};
}

fta_keyring_keeper
fta_keep_keyring(fta_kept_keyring *kept)
{
    return keep(kept, own_stripe());
}

fta_keyring_keeper
fta_keep_also(const fta_keyring_keeper *other)
{
    /* The Keyring may have ended: of all stripes only this one is certain. */
    return other->kept == NULL ? *other : keep(other->kept, other->stripe);
}

void
fta_keep_no_longer(fta_keyring_keeper *keeper)
{
    fta_kept_keyring *kept = keeper->kept;
    keeper->kept = NULL;
    if (kept != NULL) {
        leave(kept, keeper->stripe);
    }
}
