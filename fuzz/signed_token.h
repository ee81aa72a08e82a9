/* What the token fuzzers share: a keyring, and a signer for any header and
 * payload. Without a valid signature no fuzzer would reach the code that reads
 * them. */
#ifndef FTA_FUZZ_SIGNED_TOKEN_H
#define FTA_FUZZ_SIGNED_TOKEN_H

#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "token/hmac.h"
#include "rules.h"
#include "token/json_digest.h"
#include "token/keyring.h"
#include "verify_token.h"

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define IDENTITY_CLAIMS                                                        \
    "\"tenant_id\":\"6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4\","                  \
    "\"user_id\":\"550e8400-e29b-41d4-a716-446655440000\""

static const uint8_t fuzz_secret[32] = "a secret that is known to all";

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static inline const fta_keyring *
fuzz_keyring(void)
{
    static fta_keyring *keyring;
    if (keyring == NULL) {
        const fta_text audience = {"api", 3};
        const fta_key *key;
        require(fta_key_from_secret(fta_algorithm_find((fta_text){"HS256", 5}),
                                    (fta_text){"fuzz", 4}, fuzz_secret,
                                    sizeof fuzz_secret, false,
                                    (fta_key **)&key) == FTA_OK);
        require(fta_keyring_new(&key, 1, make_rules(NULL, &audience, 1, 5),
                                (size_t)1 << 20, &keyring) == FTA_OK);
        /* A fixed seed, so that an input gives the same result in every run. */
        keyring->seed = (fta_json_seed){{1, 2}};
    }
    return keyring;
}

/* Returns the status of a token of that header and payload with a valid
 * signature, under the rules of a keyring that has the key. */
static inline fta_status
status_under(const fta_keyring *keyring, const void *header, size_t header_size,
             const void *payload, size_t payload_size,
             const fta_json_sink *sink, fta_claims *out)
{
    static fta_hmac *hmac;
    require(hmac != NULL || fta_hmac_new("SHA256", fuzz_secret,
                                         sizeof fuzz_secret, &hmac) == FTA_OK);
    size_t room = FTA_BASE64_LENGTH(header_size) +
                  FTA_BASE64_LENGTH(payload_size) + 2 + FTA_BASE64_LENGTH(32u);
    char *token = malloc(room);
    require(token != NULL);
    size_t length = fta_base64url_encode(header, header_size, token);
    token[length++] = '.';
    length += fta_base64url_encode(payload, payload_size, token + length);
    uint8_t tag[FTA_HMAC_SIZE_MAX];
    require(fta_hmac_compute(hmac, token, length, tag) == FTA_OK);
    token[length++] = '.';
    length += fta_base64url_encode(tag, 32, token + length);
    require(length == room);
    fta_status status =
        verify_token(keyring, (fta_text){token, length}, sink, out);
    require(status != FTA_SIGNATURE_MISMATCH && status != FTA_CRYPTO);
    free(token);
    return status;
}

/* As above, under the usual rules. */
static inline fta_status
status_of_signed(const void *header, size_t header_size, const void *payload,
                 size_t payload_size, const fta_json_sink *sink,
                 fta_claims *out)
{
    return status_under(fuzz_keyring(), header, header_size, payload,
                        payload_size, sink, out);
}

/* Whether a status is about the form of the JSON text. */
static inline bool
is_about_json(fta_status status)
{
    return status >= FTA_JSON_INVALID && status <= FTA_JSON_NUMBER_TOO_LONG;
}

/* Returns the status of fta_json_digest() for a text. */
static inline fta_status
status_of_digest(const void *text, size_t size, uint64_t *digest)
{
    static const fta_json_seed seed = {{3, 4}};
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, text, size);
    fta_status status = fta_json_digest(copy, size, &seed, digest);
    free(copy);
    return status;
}

#endif
