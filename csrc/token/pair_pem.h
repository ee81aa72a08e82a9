/* Key pairs as PEM text (RFC 7468), and the encryption of RFC 1421 in it. */
#ifndef FTA_TOKEN_PAIR_PEM_H
#define FTA_TOKEN_PAIR_PEM_H

#include <stdbool.h>

#include "base/status.h"
#include "base/text.h"
#include "token/pair_found.h"

/* Whether PEM begins anywhere in the text. */
bool fta_has_pem(fta_text text);

/* The one key or certificate of a text with PEM in it, whatever stands around
 * it. The caller frees out->pair with EVP_PKEY_free. */
fta_status fta_pair_read_pem(fta_text text, fta_text passphrase,
                             fta_pair_found *out);

#endif
