/* KeyCache: what the store said of API keys, shared by the processes of a host.
 */
#ifndef FTA_BINDING_TYPE_KEY_CACHE_H
#define FTA_BINDING_TYPE_KEY_CACHE_H

#include "binding/state.h"

/* Adds the functions of API keys, make_api_key and read_api_key. */
int fta_add_key_cache(PyObject *module);

#endif
