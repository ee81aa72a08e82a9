/* AuditLog: a JSON line a request, written by the core. */
#ifndef FTA_TYPE_AUDIT_LOG_H
#define FTA_TYPE_AUDIT_LOG_H

#include "state.h"

int fta_add_audit_log(PyObject *module);

#endif
