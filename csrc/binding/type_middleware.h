/* Middleware: a WSGI application around another, where answers leave an app.
 *
 * For each request it makes a StartResponse, which the inner application is
 * given. An ordinary answer is completed in C, with fields that Python has
 * prepared; every other one is handed to Python. */
#ifndef FTA_BINDING_TYPE_MIDDLEWARE_H
#define FTA_BINDING_TYPE_MIDDLEWARE_H

#include "binding/state.h"

typedef struct fta_middleware {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *inner;     /* Owned: the WSGI application inside */
    PyObject *state;     /* Owned: what every record's state is */
    PyObject *key;       /* Owned: the StartResponse's key in environ */
    PyObject *answer;    /* Owned: completes what is out of the ordinary */
    PyObject *replace;   /* Owned: sends another answer than the inner one */
    PyObject *late_body; /* Owned: around a body without start_response yet */
    PyObject *subtrees;  /* Owned: a tuple of str, what CORS covers */
    PyObject *paths;     /* Owned: a frozenset of str, likewise */
    PyObject *to_origin; /* Owned: a dict, origin to list of fields; or None */
    PyObject *to_others; /* Owned: a list of fields */
    PyObject *audit_log; /* Owned: an AuditLog or None */
    PyObject *log;       /* Owned: what the audit log's news are told to */
    char limit_fields;   /* whether X-RateLimit fields are added */
} fta_middleware;

int fta_add_middleware(PyObject *module);

#endif
