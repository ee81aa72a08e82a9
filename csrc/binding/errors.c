#include "binding/errors.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* What each status but FTA_OK is raised as. */
#define ARE(name, exception) {FTA_##name, &exception},
#define VALUE(name, text) ARE(name, PyExc_ValueError)
#define PERMISSION(name, text) ARE(name, PyExc_PermissionError)
#define TIMEOUT(name, text) ARE(name, PyExc_TimeoutError)
#define CONNECTION(name, text) ARE(name, PyExc_ConnectionError)
#define SYSTEM_ERROR(name, text) ARE(name, PyExc_OSError)
static const struct {
    fta_status status;
    PyObject **exception;
} exceptions[] = {
    ARE(NO_MEMORY, PyExc_MemoryError) ARE(BAD_ARGUMENT, PyExc_ValueError)
        ARE(CLOSED, PyExc_ValueError) ARE(CRYPTO, PyExc_RuntimeError)
            ARE(SYSTEM, PyExc_OSError) ARE(
                STOPPED,
                PyExc_SystemError) /* unless the one who stopped has raised */
    FTA_INVALID_TOKEN_LIST(VALUE) FTA_KEY_LIST(VALUE) FTA_ACCESS_LIST(VALUE)
        FTA_SIGNING_LIST(VALUE) FTA_PASSWORD_LIST(VALUE) FTA_LIMIT_LIST(VALUE)
            FTA_SEGMENT_LIST(PERMISSION) FTA_CONCURRENCY_LIST(SYSTEM_ERROR)
                FTA_SESSION_LIST(TIMEOUT) FTA_REDIS_LIST(CONNECTION)
                    FTA_AUDIT_LIST(PERMISSION)};
#define COUNT (sizeof exceptions / sizeof *exceptions)

static_assert(COUNT == FTA_STATUS_COUNT - 1,
              "every status but FTA_OK must be raised as an exception");

/* A status that is not in the table is a mistake in this program. */
static PyObject *
exception_of(fta_status status)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (exceptions[i].status == status) {
            return *exceptions[i].exception;
        }
    }
    return PyExc_SystemError;
}

PyObject *
fta_raise(fta_status status)
{
    if (status != FTA_STOPPED || !PyErr_Occurred()) {
        PyErr_SetString(exception_of(status), fta_status_text(status));
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
