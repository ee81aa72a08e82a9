#include "binding/environ.h"

#include "binding/convert.h"

int
fta_add_environ(PyObject *module)
{
    static const char *const names[] = {
#define X(name, text) text,
        FTA_ENVIRON_LIST(X)
#undef X
    };
    fta_state *state = fta_state_of_module(module);
    state->environ_names = fta_interned_names(names, FTA_ENVIRON_COUNT);
    return state->environ_names == NULL ? -1 : 0;
}
