/* What OpenSSL's error queue of this thread says, as a status. */
#ifndef FTA_BASE_CRYPTO_ERROR_H
#define FTA_BASE_CRYPTO_ERROR_H

#include <openssl/err.h>

#include "base/status.h"

/* FTA_NO_MEMORY if that is why, else otherwise. The queue is emptied: what is
 * left in it would surprise the next user of OpenSSL on this thread, which in
 * a Python process is often the ssl module. */
static inline fta_status
fta_crypto_error(fta_status otherwise)
{
    fta_status status = otherwise;
    unsigned long code;
    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
            status = FTA_NO_MEMORY;
        }
    }
    return status;
}

#endif
