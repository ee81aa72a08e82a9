/* What the reader of key pairs has found. */
#ifndef FTA_TOKEN_PAIR_FOUND_H
#define FTA_TOKEN_PAIR_FOUND_H

#include <openssl/types.h>

#include "token/validity.h"

typedef struct fta_pair_found {
    EVP_PKEY *pair;        /* Owned; NULL if none was found */
    fta_validity validity; /* of the certificate that it is from */
} fta_pair_found;

#endif
