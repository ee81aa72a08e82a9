/* Key pairs as DER: PKCS #8, encrypted or not; PKCS #1; SEC 1;
 * SubjectPublicKeyInfo; certificates. */
#ifndef FTA_TOKEN_PAIR_DER_H
#define FTA_TOKEN_PAIR_DER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "token/pair_found.h"

/* One element that begins at der, with nothing behind it but white space, which
 * text tools add. FTA_KEY_NOT_FOUND if no element begins there. The caller
 * frees out->pair, which is NULL on failure, with EVP_PKEY_free. */
fta_status fta_pair_read_der(const uint8_t *der, size_t size,
                             fta_text passphrase, fta_pair_found *out);

/* The same for an element that fills der. */
fta_status fta_pair_read_element(const uint8_t *der, size_t size,
                                 fta_text passphrase, fta_pair_found *out);

#endif
