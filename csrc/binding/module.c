/* Registration of the module, its types and its other parts. */
#include "binding/state.h"

#include <stddef.h>

#include "binding/audit_functions.h"
#include "binding/authenticate.h"
#include "binding/credentials.h"
#include "binding/environ.h"
#include "binding/fields.h"
#include "binding/functions.h"
#include "binding/open_record.h"
#include "binding/session_functions.h"
#include "binding/type_decision.h"
#include "binding/type_identity.h"
#include "binding/type_invalid_token.h"
#include "binding/type_key.h"
#include "binding/type_key_cache.h"
#include "binding/type_limiter.h"
#include "binding/type_metrics.h"
#include "binding/type_permits.h"
#include "binding/type_rate.h"
#include "binding/type_request_record.h"
#include "binding/type_roles.h"
#include "binding/type_served_request.h"
#include "binding/type_start_response.h"

static const struct {
    PyType_Spec *spec;
    size_t offset; /* of the type in fta_state */
} types[] = {
#define X(name) {&fta_##name##_spec, offsetof(fta_state, name##_type)},
    FTA_TYPE_LIST(X)
#undef X
};

/* Each adds functions, constants and objects to the module, whose types are
 * there. */
static int (*const parts[])(PyObject *module) = {
    fta_add_request_record,
    fta_add_roles,
    fta_add_functions,
    fta_add_credentials,
    fta_add_session_functions,
    fta_add_audit_functions,
    fta_add_identity,
    fta_add_invalid_token,
    fta_add_key,
    fta_add_key_cache,
    fta_add_permits,
    fta_add_rate,
    fta_add_limiter,
    fta_add_metrics,
    fta_add_environ,
    fta_add_served_request,
    fta_add_fields,
    fta_add_open_record,
    fta_add_authenticate,
};

/* Without the GIL, all threads would wait for each other to count the objects
 * of a type, which each have a reference to it. So a type is immortal there, as
 * CPython 3.13 makes all types of Python code and functions. It ends with the
 * process, and so does its module. */
static void
make_immortal(PyObject *type)
{
#ifdef Py_GIL_DISABLED
    Py_SET_REFCNT(type, PY_SSIZE_T_MAX);
#else
    (void)type;
#endif
}

static int
add_types(PyObject *module)
{
    char *state = PyModule_GetState(module);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        if (type == NULL) {
            return -1;
        }
        *(PyTypeObject **)(void *)(state + types[i].offset) =
            (PyTypeObject *)type;
        if (PyModule_AddType(module, (PyTypeObject *)type) < 0) {
            return -1;
        }
        make_immortal(type);
    }
    return 0;
}

static int
module_exec(PyObject *module)
{
    if (add_types(module) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i](module) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    fta_state *state = fta_state_of_module(module);
#define X(name) Py_VISIT(state->name##_type);
    FTA_TYPE_LIST(X)
#undef X
#define X(name) Py_VISIT(state->name);
    FTA_OBJECT_LIST(X)
#undef X
    FTA_MEMBER_VISIT(state->identity_codec);
    return 0;
}

static int
module_clear(PyObject *module)
{
    fta_state *state = fta_state_of_module(module);
#define X(name) Py_CLEAR(state->name##_type);
    FTA_TYPE_LIST(X)
#undef X
#define X(name) Py_CLEAR(state->name);
    FTA_OBJECT_LIST(X)
#undef X
    fta_member_clear(&state->identity_codec);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear((PyObject *)module);
    fta_permission_names_free(
        fta_state_of_module((PyObject *)module)->permission_names);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
/* csrc/README.md lists what protects each object, and all that interpreters
 * share. */
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED /* since 3.12 */
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_MOD_GIL_NOT_USED /* since 3.13 */
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

struct PyModuleDef fta_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "flask_tenant_auth._core",
    .m_doc = "The C core of flask_tenant_auth: tokens, UUIDs, passwords and "
             "counters.",
    .m_size = sizeof(fta_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&fta_module_def);
}
