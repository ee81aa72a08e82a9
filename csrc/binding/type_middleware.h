/* Middleware: a WSGI application around another, where answers leave an app.
 *
 * For each request it makes a StartResponse, which the inner application is
 * given. A failed authentication is handed to Python, which counts it; every
 * other response is completed and sent here. */
#ifndef FTA_BINDING_TYPE_MIDDLEWARE_H
#define FTA_BINDING_TYPE_MIDDLEWARE_H

#include "binding/state.h"

/* It never changes. */
typedef struct fta_middleware {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *inner;     /* Owned: the WSGI application inside */
    PyObject *state;     /* Owned: what every record's state is */
    PyObject *key;       /* Owned: the StartResponse's key in environ */
    PyObject *failure;   /* Owned: sends the response of a failed
                          * authentication, or another one in its place */
    PyObject *replace;   /* Owned: sends another answer than the inner one */
    PyObject *late_body; /* Owned: around a body without start_response yet */
    PyObject *cors;      /* Owned: a CorsRules */
    PyObject *audit_log; /* Owned: an AuditLog or None */
    PyObject *log; /* Owned: called with what has changed of the audit log */
    PyObject *metrics; /* Owned: a Metrics or None */
    char limit_fields; /* whether X-RateLimit fields are added */
    char ietf_fields;  /* whether RateLimit fields are added */
} fta_middleware;

#endif
