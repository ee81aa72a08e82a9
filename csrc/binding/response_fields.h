/* The header fields of a response, with those that CORS and limits add. */
#ifndef FTA_BINDING_RESPONSE_FIELDS_H
#define FTA_BINDING_RESPONSE_FIELDS_H

#include "binding/state.h"

/* What a response is about. All are Borrowed: the caller of
 * fta_complete_headers holds them. */
typedef struct fta_response_subject {
    PyObject *wsgi_environ; /* a dict */
    PyObject *cors;         /* a CorsRules */
    PyObject *decision;     /* a Decision, or NULL or None */
    PyObject *limits;       /* a tuple: the limits that counted, if decision is
                             * a Decision */
    int limit_fields;       /* whether X-RateLimit fields are added */
    int ietf_fields;        /* whether RateLimit fields are added */
} fta_response_subject;

/* A new list of the fields that the application gave and those that are added,
 * which take the place of fields of their names; the names of Vary are
 * joined. NULL with an exception set. */
PyObject *fta_complete_headers(const fta_state *state,
                               const fta_response_subject *subject,
                               PyObject *headers);

#endif
