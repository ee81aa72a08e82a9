/* Any octets as the header of a token with a valid signature and valid claims.
 * No status is about the claims. */
#include "signed_token.h"

#define PAYLOAD "{" IDENTITY_CLAIMS ",\"exp\":9000000000,\"aud\":\"api\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_claims claims;
    uint64_t digest;
    if (size == 0) {
        return 0;
    }
    fta_status status = status_of_signed(data, size, PAYLOAD,
                                         sizeof PAYLOAD - 1, NULL, &claims);
    fta_status json = status_of_digest(data, size, &digest);
    require(is_about_json(status) ? json == status : json == FTA_OK);
    require(status <= FTA_SIGNATURE_MISMATCH);
    return 0;
}
