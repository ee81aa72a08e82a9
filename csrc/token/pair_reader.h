/* The one reader of key pairs: a private key, a public key or a certificate, in
 * the forms in which people configure it.
 *
 * It makes a key of OpenSSL, or says what the octets are instead. It makes
 * nothing else, so octets that are no key never become a shared secret. */
#ifndef FTA_TOKEN_PAIR_READER_H
#define FTA_TOKEN_PAIR_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "token/pair_found.h"

#define FTA_ENCODED_PAIR_MAX ((size_t)256 * 1024)
#define FTA_PASSPHRASE_MAX 1023

/* Reads a private key (PKCS #8, encrypted or not; PKCS #1; SEC 1), a public
 * key (SubjectPublicKeyInfo; PKCS #1) or the public key of a certificate. They
 * come as PEM text, with anything around it and its line ends in any form, as
 * DER, or as the base64 of either. passphrase.data NULL: there is none;
 * nobody is ever asked for one. The caller frees out->pair with
 * EVP_PKEY_free.
 *
 * What comes of it has to pass fta_pair_check before it is used. */
fta_status fta_pair_read(fta_text encoded, fta_text passphrase,
                         fta_pair_found *out);

#endif
