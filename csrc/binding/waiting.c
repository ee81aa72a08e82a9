#include "binding/waiting.h"

static void
release_gil(void *context)
{
    *(PyThreadState **)context = PyEval_SaveThread();
}

static void
take_gil(void *context)
{
    PyEval_RestoreThread(*(PyThreadState **)context);
}

fta_waiting
fta_waiting_without_gil(PyThreadState **thread)
{
    return (fta_waiting){release_gil, take_gil, thread};
}
