/* Any octets as the header of a token, rightly signed: only what is an object
 * with the right algorithm gets through. */
#include "resign.h"

#define PAYLOAD "{" WHO ",\"exp\":9000000000,\"aud\":\"api\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_claims claims;
    uint64_t digest;
    if (size == 0) {
        return 0;
    }
    fta_status status =
        fuzz_verdict(data, size, PAYLOAD, sizeof PAYLOAD - 1, NULL, &claims);
    fta_status json = fuzz_digest(data, size, &digest);
    require(is_about_json(status) ? json == status : json == FTA_OK);
    require(status <= FTA_SIGNATURE_MISMATCH); /* the claims are right */
    return 0;
}
