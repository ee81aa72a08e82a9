/* Included before everything else, this makes a core whose members have no
 * lock: scripts/tsan_freethreaded.sh shows with it that a race is found. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#undef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(object)                                      \
    {                                                                          \
        (void)(object)
#undef Py_END_CRITICAL_SECTION
#define Py_END_CRITICAL_SECTION() }
