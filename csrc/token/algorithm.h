/* The signature algorithms of tokens: RFC 7518, section 3.1, and RFC 8037. */
#ifndef FTA_TOKEN_ALGORITHM_H
#define FTA_TOKEN_ALGORITHM_H

#include <stddef.h>

#include "base/text.h"
#include "base/words.h"

typedef enum fta_family {
    FTA_HMAC,
    FTA_RSA_PKCS1,
    FTA_RSA_PSS,
    FTA_ECDSA,
    FTA_EDDSA
} fta_family;

typedef struct fta_algorithm {
    fta_text name;
    fta_family family;
    const char *digest; /* OpenSSL's name; NULL for EdDSA */
    size_t digest_size;
    fta_text curve;      /* the JWK's name; data NULL if none */
    const char *group;   /* OpenSSL's name of the curve */
    size_t element_size; /* octets of a coordinate; 0 if none */
} fta_algorithm;

/* All of them, and their names in the same order. */
extern const fta_algorithm fta_algorithms[];
extern const fta_words fta_algorithm_words;

/* The algorithm of that exact name; NULL if there is none. */
const fta_algorithm *fta_algorithm_find(fta_text name);

/* The one algorithm of a JWK's curve; NULL if there is none. */
const fta_algorithm *fta_algorithm_of_curve(fta_text curve);

#endif
