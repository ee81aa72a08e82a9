#include "token/validity.h"

#include <time.h>

#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#define SECONDS_OF_A_DAY 86400

static bool
read_time(const ASN1_TIME *time, int64_t *out)
{
    struct tm epoch = {.tm_year = 70, .tm_mday = 1}, read;
    int days, seconds;
    /* ASN1_TIME_to_tm reads the clock where there is no time. */
    if (time == NULL || ASN1_TIME_to_tm(time, &read) != 1 ||
        OPENSSL_gmtime_diff(&days, &seconds, &epoch, &read) != 1) {
        return false;
    }
    *out = (int64_t)days * SECONDS_OF_A_DAY + seconds;
    return *out >= FTA_VALIDITY_FIRST && *out <= FTA_VALIDITY_LAST;
}

void
fta_validity_read(const X509 *certificate, fta_validity *out)
{
    out->is_known = read_time(X509_get0_notBefore(certificate), &out->begins) &&
                    read_time(X509_get0_notAfter(certificate), &out->ends);
    ERR_clear_error();
}
