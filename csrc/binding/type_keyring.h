/* Keyring: the keys of an app, and what its tokens must say. */
#ifndef FTA_BINDING_TYPE_KEYRING_H
#define FTA_BINDING_TYPE_KEYRING_H

#include "binding/state.h"

#include "base/text.h"
#include "token/claims_read.h"

/* Reads the claims of a token again that this Keyring has verified, whatever
 * the time is. The caller holds the Keyring and what the text is in. */
fta_status fta_keyring_read_again(PyObject *keyring, fta_text text,
                                  const fta_json_sink *events,
                                  const fta_permission_sink *permissions,
                                  fta_claims *out);

#endif
