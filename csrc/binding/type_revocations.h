/* Revocations: what is revoked, in memory that is shared on this host. */
#ifndef FTA_BINDING_TYPE_REVOCATIONS_H
#define FTA_BINDING_TYPE_REVOCATIONS_H

#include "binding/state.h"

#include "session/revocations.h"

/* The table of a Revocations, which lives as long; NULL for None. */
fta_revocations *fta_revocations_of(PyObject *value);

#endif
