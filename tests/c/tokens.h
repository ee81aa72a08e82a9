/* Tokens for tests: any header and any payload, signed by an HMAC that is
 * computed here and not by what is tested. */
#ifndef FTA_TESTS_TOKENS_H
#define FTA_TESTS_TOKENS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base64url.h"
#include "rules.h"
#include "token/keyring.h"
#include "verify_token.h"

#define TENANT "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
#define USER "550e8400-e29b-41d4-a716-446655440000"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
/* The claims of a good token, without braces. */
#define WHO "\"tenant_id\":\"" TENANT "\",\"user_id\":\"" USER "\""
#define FUTURE "\"exp\":9000000000"
#define GOOD WHO "," FUTURE

#define SECRET                                                                 \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static inline fta_text
text_of(const char *text)
{
    return (fta_text){text, strlen(text)};
}

/* A token in memory from malloc, with a NUL at its end. */
static inline char *
sign_parts(fta_text header, fta_text payload)
{
    size_t room = FTA_BASE64_LENGTH(header.length) +
                  FTA_BASE64_LENGTH(payload.length) + 64;
    char *token = malloc(room);
    if (token == NULL) {
        abort();
    }
    size_t length = fta_base64url_encode((const uint8_t *)header.data,
                                         header.length, token);
    token[length++] = '.';
    length += fta_base64url_encode((const uint8_t *)payload.data,
                                   payload.length, token + length);
    uint8_t tag[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    HMAC(EVP_sha256(), SECRET, (int)sizeof SECRET - 1, (const uint8_t *)token,
         length, tag, &size);
    token[length++] = '.';
    length += fta_base64url_encode(tag, size, token + length);
    token[length] = '\0';
    return token;
}

static inline char *
sign_text(const char *header, const char *payload)
{
    return sign_parts(text_of(header), text_of(payload));
}

static inline fta_key *
make_key(const char *algorithm, const char *kid)
{
    fta_key *key = NULL;
    fta_text id = {kid, kid == NULL ? 0 : strlen(kid)};
    if (fta_key_from_secret(fta_algorithm_find(text_of(algorithm)), id,
                            (const uint8_t *)SECRET, sizeof SECRET - 1, false,
                            &key) != FTA_OK) {
        abort();
    }
    return key;
}

/* A keyring of these keys, which owns its rules. */
static inline fta_keyring *
keyring_of_keys(const fta_key *const *keys, size_t count)
{
    fta_keyring *keyring = NULL;
    expect(fta_keyring_new(keys, count, usual_rules(), 8192, &keyring) ==
           FTA_OK);
    return keyring;
}

/* A keyring of one HS256 key. It owns the rules; NULL: the usual ones.
 * free_keyring frees key and keyring. */
static inline fta_keyring *
make_keyring(fta_claim_rules *rules, size_t max_token_bytes)
{
    const fta_key *key = make_key("HS256", NULL);
    fta_keyring *keyring = NULL;
    expect(fta_keyring_new(&key, 1, rules != NULL ? rules : usual_rules(),
                           max_token_bytes, &keyring) == FTA_OK);
    return keyring;
}

static inline void
free_keyring(fta_keyring *keyring)
{
    for (size_t i = 0; i < keyring->key_count; i++) {
        fta_key_free((fta_key *)(uintptr_t)keyring->keys[i]);
    }
    fta_keyring_free(keyring);
}

/* Signs and verifies. */
static inline fta_status
verdict(const fta_keyring *keyring, const char *header, const char *payload)
{
    fta_claims claims;
    char *token = sign_text(header, payload);
    fta_status status = verify_token(keyring, text_of(token), NULL, &claims);
    free(token);
    return status;
}

#endif
