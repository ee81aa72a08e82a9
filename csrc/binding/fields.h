/* Header fields: those of the core as (name, value) tuples of str, as WSGI has
 * them, and back. */
#ifndef FTA_BINDING_FIELDS_H
#define FTA_BINDING_FIELDS_H

#include <stdbool.h>

#include "binding/state.h"

#include "http/fields.h"

int fta_add_fields(PyObject *module);

/* Appends fields to a list. -1 with an exception set. */
int fta_fields_append(const fta_state *state, const fta_fields *fields,
                      PyObject *list);

/* The name and the value of a (name, value) tuple, which they live as long as.
 * False with TypeError set for anything else. The value is absent if it is not
 * a str of Latin-1. */
bool fta_field_read(PyObject *pair, fta_text *name, fta_text *value);

#endif
