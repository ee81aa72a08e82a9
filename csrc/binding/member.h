/* Members of an object that may change while other threads read them.
 *
 * Without the GIL two threads can be inside one object. A reader could then
 * take the address of a value whose last reference another thread drops before
 * the reader has one of its own. So such a member has a type of its own, which
 * cannot be used as a PyObject *. The functions below are its only uses. Each
 * locks the object that the member is in (a critical section; nothing where
 * there is a GIL). No foreign code runs while it is locked: an old value is
 * released afterwards. */
#ifndef FTA_BINDING_MEMBER_H
#define FTA_BINDING_MEMBER_H

#include <stdatomic.h>
#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#define FTA_BEGIN_LOCKED(object) Py_BEGIN_CRITICAL_SECTION(object)
#define FTA_END_LOCKED() Py_END_CRITICAL_SECTION()
#else
#define FTA_BEGIN_LOCKED(object)                                               \
    {                                                                          \
        (void)(object)
#define FTA_END_LOCKED() }
#endif

typedef struct fta_member {
    PyObject *unlocked; /* Owned, or NULL; for this file alone */
} fta_member;

/* A new reference to the value, or NULL where there is none. */
static inline PyObject *
fta_member_get(PyObject *owner, const fta_member *member)
{
    PyObject *value;
    FTA_BEGIN_LOCKED(owner);
    value = Py_XNewRef(member->unlocked);
    FTA_END_LOCKED();
    return value;
}

/* Whether there is no value but None. */
static inline bool
fta_member_is_none(PyObject *owner, const fta_member *member)
{
    bool is_none;
    FTA_BEGIN_LOCKED(owner);
    is_none = member->unlocked == NULL || Py_IsNone(member->unlocked);
    FTA_END_LOCKED();
    return is_none;
}

/* Replaces the value. Takes over the reference to the new one, which may be
 * NULL. */
static inline void
fta_member_set(PyObject *owner, fta_member *member, PyObject *value)
{
    PyObject *old;
    FTA_BEGIN_LOCKED(owner);
    old = member->unlocked;
    member->unlocked = value;
    FTA_END_LOCKED();
    Py_XDECREF(old);
}

/* Sets the value where there is none, so that all threads get the same one: a
 * new reference to it. Takes over the reference to made. NULL, with an
 * exception set, for NULL. */
static inline PyObject *
fta_member_settle(PyObject *owner, fta_member *member, PyObject *made)
{
    PyObject *value;
    if (made == NULL) {
        return NULL;
    }
    FTA_BEGIN_LOCKED(owner);
    if (member->unlocked == NULL) {
        member->unlocked = Py_NewRef(made);
    }
    value = Py_NewRef(member->unlocked);
    FTA_END_LOCKED();
    Py_DECREF(made);
    return value;
}

/* Of an object that no other thread has yet. Takes over the reference. */
static inline void
fta_member_init(fta_member *member, PyObject *value)
{
    member->unlocked = value;
}

/* Of an object that no other thread has any more. */
static inline void
fta_member_clear(fta_member *member)
{
    Py_CLEAR(member->unlocked);
}

/* In a tp_traverse, during which no other thread runs. */
#define FTA_MEMBER_VISIT(member) Py_VISIT((member).unlocked)

/* A value that holds while a number stays the same. */
typedef struct fta_numbered_member {
    fta_member value;
    size_t number;
} fta_numbered_member;

/* Of an object that no other thread has yet, or any more. */
static inline void
fta_numbered_member_init(fta_numbered_member *member)
{
    *member = (fta_numbered_member){.value = {NULL}};
}

static inline void
fta_numbered_member_clear(fta_numbered_member *member)
{
    fta_member_clear(&member->value);
}

/* A new reference, or NULL where there is no value of this number. */
static inline PyObject *
fta_numbered_member_get(PyObject *owner, const fta_numbered_member *member,
                        size_t number)
{
    PyObject *value;
    FTA_BEGIN_LOCKED(owner);
    value =
        member->number == number ? Py_XNewRef(member->value.unlocked) : NULL;
    FTA_END_LOCKED();
    return value;
}

/* Takes over the reference to the value. */
static inline void
fta_numbered_member_set(PyObject *owner, fta_numbered_member *member,
                        size_t number, PyObject *value)
{
    PyObject *old;
    FTA_BEGIN_LOCKED(owner);
    old = member->value.unlocked;
    member->value.unlocked = value;
    member->number = number;
    FTA_END_LOCKED();
    Py_XDECREF(old);
}

/* --- as attributes ---------------------------------------------------------
 *
 * Getters and setters for a PyGetSetDef whose closure is FTA_AT(type, member).
 * A PyMemberDef would neither lock nor be atomic. */

#define FTA_AT(type, member) ((void *)offsetof(type, member))

/* Of an fta_member: None where there is no value. To delete it sets None. */
PyObject *fta_member_attribute_get(PyObject *object, void *closure);
int fta_member_attribute_set(PyObject *object, PyObject *value, void *closure);

/* Of an atomic_bool. TypeError for what is no bool. */
PyObject *fta_flag_attribute_get(PyObject *object, void *closure);
int fta_flag_attribute_set(PyObject *object, PyObject *value, void *closure);

#endif
