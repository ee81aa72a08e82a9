#include "binding/environ.h"

int
fta_add_environ(PyObject *module)
{
    static const char *const names[] = {
#define X(name, text) text,
        FTA_ENVIRON_LIST(X)
#undef X
    };
    fta_state *state = fta_state_of_module(module);
    state->environ_names = PyTuple_New(FTA_ENVIRON_COUNT);
    if (state->environ_names == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < FTA_ENVIRON_COUNT; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);
        if (name == NULL) {
            return -1;
        }
        PyTuple_SET_ITEM(state->environ_names, i, name);
    }
    return 0;
}
