/* AuditLog: a JSON line a request, written by the core. */
#ifndef FTA_BINDING_TYPE_AUDIT_LOG_H
#define FTA_BINDING_TYPE_AUDIT_LOG_H

#include "binding/state.h"

#include <stdbool.h>

/* What a line is about. All are Borrowed; NULL or None: not known. The caller
 * must hold them only until fta_audit_log_write_line begins, which holds them
 * and the log while it runs. */
typedef struct fta_audit_request {
    PyObject *method;
    PyObject *endpoint;
    PyObject *address;
    PyObject *user_agent;
    PyObject *identity;
    PyObject *reason;
    int status;
    bool *is_lost; /* Borrowed: whether the line could not be written; NULL */
} fta_audit_request;

/* Writes a line into an AuditLog. Returns a new reference to None, or to a
 * sentence for the log when the disk begins or ceases to take lines. */
PyObject *fta_audit_log_write_line(const fta_state *state, PyObject *audit_log,
                                   const fta_audit_request *request);

#endif
