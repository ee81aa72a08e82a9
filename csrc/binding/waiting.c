#include "binding/waiting.h"

static void
release_gil(void *context)
{
    fta_released_gil *gil = context;
    gil->thread = PyEval_SaveThread();
    if (gil->metrics != NULL) {
        gil->began = fta_metrics_now();
    }
}

static void
take_gil(void *context)
{
    fta_released_gil *gil = context;
    if (gil->metrics != NULL) {
        fta_metrics_observe(gil->metrics, FTA_METRIC_OF_ROUND_TRIP,
                            fta_metrics_now() - gil->began);
    }
    PyEval_RestoreThread(gil->thread);
}

fta_waiting
fta_waiting_without_gil(fta_released_gil *gil)
{
    return (fta_waiting){release_gil, take_gil, gil};
}
