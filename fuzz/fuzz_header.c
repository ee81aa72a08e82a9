/* Any octets as the header of a token with a valid signature and valid claims.
 * No status is about the claims. */
#include "signed_token.h"

#define PAYLOAD "{" IDENTITY_CLAIMS ",\"exp\":9000000000,\"aud\":\"api\"}"

/* The keyring of the same key, whose kid nobody has given. */
static const fta_keyring *
keyring_of_derived_kid(void)
{
    static fta_keyring *keyring;
    if (keyring == NULL) {
        const fta_text audience = {"api", 3};
        const fta_key *key;
        require(fta_key_from_secret(fta_algorithm_find((fta_text){"HS256", 5}),
                                    (fta_text){NULL, 0}, fuzz_secret,
                                    sizeof fuzz_secret, false,
                                    (fta_key **)&key) == FTA_OK);
        require(fta_keyring_new(&key, 1, make_rules(NULL, &audience, 1, 5),
                                (size_t)1 << 20, &keyring) == FTA_OK);
        keyring->seed = (fta_json_seed){{1, 2}};
    }
    return keyring;
}

/* Whether the two keyrings may say this of one header: a kid that a key does
 * not have is a hint to the derived one alone, and each knows its own kid. */
static bool
agree(fta_status of_given, fta_status of_derived)
{
    switch (of_given) {
    case FTA_KID_UNKNOWN:
        return of_derived == FTA_OK || of_derived == FTA_KID_UNKNOWN ||
               of_derived == FTA_ALGORITHM_MISMATCH;
    case FTA_ALGORITHM_MISMATCH:
        return of_derived == FTA_ALGORITHM_MISMATCH ||
               of_derived == FTA_KID_UNKNOWN;
    default:
        return of_derived == of_given;
    }
}

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
    require(agree(status,
                  status_under(keyring_of_derived_kid(), data, size, PAYLOAD,
                               sizeof PAYLOAD - 1, NULL, &claims)));
    return 0;
}
