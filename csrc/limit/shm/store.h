/* This host's table as a store: it is always there, and never fails. */
#ifndef FTA_LIMIT_SHM_STORE_H
#define FTA_LIMIT_SHM_STORE_H

#include "limit/store.h"

/* Where shared memory cannot be had, the table belongs to this process and its
 * children, and the fact not_shared_because says why. A name that somebody else
 * has taken is FTA_SEGMENT_FOREIGN: an operator has to know of that. */
extern const fta_store_type fta_shm_store_type;

#endif
