/* open_record: how a request that Flask dispatches gets its record. */
#ifndef FTA_BINDING_OPEN_RECORD_H
#define FTA_BINDING_OPEN_RECORD_H

#include "binding/state.h"

int fta_add_open_record(PyObject *module);

#endif
