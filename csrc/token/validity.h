/* When a certificate is good (RFC 5280, section 4.1.2.5), for people: tokens
 * are verified with its key, whatever its dates are. */
#ifndef FTA_TOKEN_VALIDITY_H
#define FTA_TOKEN_VALIDITY_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

/* The dates that the RFC can say, in seconds since 1970: 1950 to 9999. */
#define FTA_VALIDITY_FIRST INT64_C(-631152000)
#define FTA_VALIDITY_LAST INT64_C(253402300799)

/* Each is from FTA_VALIDITY_FIRST to FTA_VALIDITY_LAST, if they are known. */
typedef struct fta_validity {
    bool is_known;
    int64_t begins;
    int64_t ends;
} fta_validity;

/* Dates that are none, or that the RFC does not allow, are not known. */
void fta_validity_read(const X509 *certificate, fta_validity *out);

#endif
