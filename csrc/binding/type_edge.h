/* Edge and Visit: where answers leave an app.
 *
 * An Edge is a WSGI application around another. For each request it makes a
 * Visit, which is the start_response that the inner application is given, and
 * on which Python keeps what it knows of the request. An ordinary answer is
 * completed here, with fields that Python has prepared; every other one is
 * handed to Python. */
#ifndef FTA_TYPE_EDGE_H
#define FTA_TYPE_EDGE_H

#include "state.h"

typedef struct fta_edge {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *inner;     /* Owned: the WSGI application inside */
    PyObject *state;     /* Owned: what every Visit's state is */
    PyObject *key;       /* Owned: where a Visit stands in environ */
    PyObject *answer;    /* Owned: completes what is out of the ordinary */
    PyObject *exchange;  /* Owned: sends another answer than the inner one */
    PyObject *subtrees;  /* Owned: a tuple of str, what CORS covers */
    PyObject *paths;     /* Owned: a frozenset of str, likewise */
    PyObject *to_origin; /* Owned: a dict, origin to list of fields; or None */
    PyObject *to_others; /* Owned: a list of fields */
    PyObject *audit_log; /* Owned: an AuditLog or None */
    PyObject *tell;      /* Owned: what the audit log's news are told to */
    char limit_fields;   /* whether X-RateLimit fields are added */
} fta_edge;

int fta_add_edge(PyObject *module);

#endif
