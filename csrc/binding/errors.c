#include "binding/errors.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* Every status that is not here is a ValueError. */
static const struct {
    fta_status status;
    PyObject **exception;
} exceptions[] = {{FTA_NO_MEMORY, &PyExc_MemoryError},
                  {FTA_CRYPTO, &PyExc_RuntimeError},
                  {FTA_SYSTEM, &PyExc_OSError},
                  {FTA_SEGMENT_FOREIGN, &PyExc_PermissionError},
#define X(name, text) {FTA_##name, &PyExc_ConnectionError},
                  FTA_REDIS_LIST(X)
#undef X
#define X(name, text) {FTA_##name, &PyExc_PermissionError},
                      FTA_AUDIT_LIST(X)
#undef X
};

static PyObject *
exception_of(fta_status status)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        if (exceptions[i].status == status) {
            return *exceptions[i].exception;
        }
    }
    return PyExc_ValueError;
}

PyObject *
fta_raise(fta_status status, const char *subject)
{
    /* Whoever stopped the core has said why. */
    if (status == FTA_STOPPED && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *exception = exception_of(status);
    if (subject == NULL) {
        PyErr_SetString(exception, fta_status_text(status));
    } else {
        PyErr_Format(exception, "%s %s", subject, fta_status_text(status));
    }
    return NULL;
}

PyObject *
fta_code_of(fta_status status)
{
    char code[64];
    const char *name = fta_status_name(status);
    size_t length = strlen(name);
    assert(length < sizeof code);
    for (size_t i = 0; i <= length; i++) {
        code[i] = (char)tolower((unsigned char)name[i]);
    }
    return PyUnicode_InternFromString(code);
}
