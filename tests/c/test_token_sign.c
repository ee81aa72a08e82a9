#include "token/sign.h"

#include <pthread.h>

#include <openssl/bn.h>

#include "base/alloc.h"
#include "check.h"
#include "keys.h"
#include "libjwt_reader.h"

static const fta_text no_kid = {NULL, 0};

/* The token of a payload in memory from malloc with a NUL at its end, or what
 * is wrong. */
static fta_status
sign(const fta_keyring *keyring, const char *payload, char **out)
{
    char *token = NULL;
    size_t length = 0;
    fta_status status =
        fta_token_sign(keyring, text_of(payload), &token, &length);
    if (status == FTA_OK) {
        *out = calloc(1, length + 1);
        memcpy(*out, token, length);
        fta_free(token);
    }
    return status;
}

static fta_status
sign_status(const fta_keyring *keyring, const char *payload)
{
    char *token = NULL;
    fta_status status = sign(keyring, payload, &token);
    free(token);
    return status;
}

/* The text of a token's payload, in memory from malloc. */
static char *
payload_of(const char *token)
{
    const char *start = strchr(token, '.') + 1;
    size_t length = (size_t)(strchr(start, '.') - start);
    char *text = calloc(1, FTA_BASE64_SIZE(length) + 1);
    CHECK(fta_base64url_decode(start, length, (uint8_t *)text));
    return text;
}

static void
test_a_signed_token_verifies(const fta_keyring *keyring)
{
    char *token = NULL;
    fta_claims claims;
    CHECK(sign(keyring, " {" GOOD ", \"role\" : \"admin\" } ", &token) ==
          FTA_OK);
    CHECK(verify_token(keyring, text_of(token), NULL, &claims) == FTA_OK);
    CHECK(claims.role == ROLE_ADMIN);
    char *payload = payload_of(token);
    CHECK(strcmp(payload, "{" FUTURE ",\"role\":\"admin\"," WHO "}") == 0);
    free(payload);
    free(token);
}

/* What libjwt and jansson can hold is signed unchanged. */
static void
test_values_are_signed_unchanged(const fta_keyring *keyring)
{
    static const char *const payloads[] = {
        "{}",
        "{\"\":\"\"}",
        "{\"a\":[[],{},[[[{\"b\":[null,true,false]}]]]]}",
        "{\"a\":\"\\u00e9\\u20ac\\ud83d\\ude00\"}",
        "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\"}",
        "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\x7f\"}",
        "{\"a\":9223372036854775807,\"b\":-9223372036854775808}",
        "{\"a\":0.1,\"b\":1e300,\"c\":-2.2250738585072014e-308,\"d\":1e-320}",
        "{\"a\":1795448558.123456,\"b\":123456789.123456789}",
        "{\"a\":-0,\"b\":0.0,\"c\":1.0,\"d\":1e5,\"e\":-0.0}",
        "{\"iat\":5,\"alg\":\"none\",\"typ\":1,\"kid\":null}",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        CHECK(sign_status(keyring, payloads[i]) == FTA_OK);
    }
}

static void
test_payloads_that_cannot_be_signed(const fta_keyring *keyring)
{
    static const struct {
        const char *payload;
        fta_status expected;
    } examples[] = {
        {"", FTA_JSON_INVALID},
        {"[]", FTA_JSON_NOT_OBJECT},
        {"{\"a\":1,\"a\":2}", FTA_JSON_NAME_REPEATED},
        {"{\"a\":NaN}", FTA_JSON_INVALID},
        {"{\"a\":\"\xff\"}", FTA_JSON_NOT_UTF8},
        {"{\"a\":\"\\u0000\"}", FTA_SIGNED_OTHERWISE},
        {"{\"a\\u0000b\":1}", FTA_SIGNED_OTHERWISE},
        {"{\"a\":9223372036854775808}", FTA_SIGNED_OTHERWISE},
        {"{\"a\":-9223372036854775809}", FTA_SIGNED_OTHERWISE},
        {"{\"a\":1e400}", FTA_SIGNED_OTHERWISE},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        CHECK(sign_status(keyring, examples[i].payload) ==
              examples[i].expected);
    }
    /* Nothing is cut off at a NUL. */
    char *token;
    size_t length;
    CHECK(fta_token_sign(keyring, (fta_text){"{}\0{}", 5}, &token, &length) ==
          FTA_JSON_INVALID);
}

/* libjwt 1.10 takes twice the payload from the stack: the thread that signs
 * has 256 KiB of it. */
static void *
sign_large(void *context)
{
    const fta_keyring *keyring = context;
    for (size_t size = 1000; size <= 1000000; size *= 10) {
        char *payload = malloc(size + 64), *token = NULL;
        size_t length = (size_t)sprintf(payload, "{\"a\":[1e15");
        while (length < size) {
            memcpy(payload + length, ",1e15", 6);
            length += 5;
        }
        strcpy(payload + length, "]}");
        fta_status status = sign(keyring, payload, &token);
        CHECK(status == FTA_OK);
        if (status == FTA_OK) {
            CHECK(strlen(token) > 4 * size);
        }
        free(token);
        free(payload);
    }
    return NULL;
}

static void
test_large_payloads_are_signed(void)
{
    fta_keyring *keyring = make_keyring(NULL, 1 << 24);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    CHECK(pthread_create(&thread, &attributes, sign_large, keyring) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    free_keyring(keyring);

    keyring = make_keyring(NULL, 300);
    CHECK(sign_status(keyring, "{" GOOD "}") == FTA_OK);
    char payload[800];
    snprintf(payload, sizeof payload, "{\"a\":\"%0*d\"}", 250, 0);
    CHECK(sign_status(keyring, payload) == FTA_TOO_LONG);
    snprintf(payload, sizeof payload, "{\"a\":\"%0*d\"}", 700, 0);
    CHECK(sign_status(keyring, payload) == FTA_TOO_LONG);
    free_keyring(keyring);
}

/* libjwt 1 and 2 sign with HS, RS and ES, libjwt 3 with all. */
static void
test_tokens_of_every_algorithm_verify(void)
{
    static const char *const names[] = {
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256",
        "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const fta_algorithm *algorithm = algorithm_named(names[i]);
        fta_key *key = NULL;
        fta_keyring *keyring = NULL;
        if (algorithm->family == FTA_HMAC) {
            key = make_key(names[i], "a \"kid\" \xc3\xa9");
        } else {
            EVP_PKEY *pair = new_pair(algorithm);
            CHECK(fta_key_from_pair(algorithm, no_kid, pair, &key) == FTA_OK);
            EVP_PKEY_free(pair);
        }
        keyring = keyring_of_keys((const fta_key *const *)&key, 1);
        bool can = FTA_LIBJWT == 3 || algorithm->family == FTA_HMAC ||
                   algorithm->family == FTA_RSA_PKCS1 ||
                   algorithm->family == FTA_ECDSA;
        CHECK(fta_key_can_sign(key) == can);
        CHECK(sign_status(keyring, "{" GOOD "}") ==
              (can ? FTA_OK : FTA_CANNOT_SIGN));
        /* One signature in 128 has a short r or s. */
        for (int n = 0; can && algorithm->family == FTA_ECDSA && n < 300; n++) {
            CHECK(sign_status(keyring, "{" GOOD "}") == FTA_OK);
        }
        fta_keyring_free(keyring);
        fta_key_free(key);
    }
}

/* A secret that is shorter than the hash is allowed in development. libjwt 3
 * alone would not sign with it. */
static void
test_secrets_of_every_length_sign(void)
{
    static uint8_t secret[FTA_SECRET_MAX];
    static const char *const names[] = {"HS256", "HS384", "HS512"};
    static const size_t sizes[] = {1,  2,  31, 32,  33,  47,  48,
                                   63, 64, 65, 127, 128, 129, FTA_SECRET_MAX};
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            fta_key *key = NULL;
            CHECK(fta_key_from_secret(algorithm_named(names[i]), no_kid, secret,
                                      sizes[j], true, &key) == FTA_OK);
            fta_keyring *keyring =
                keyring_of_keys((const fta_key *const *)&key, 1);
            CHECK(fta_key_can_sign(key));
            CHECK(sign_status(keyring, "{" GOOD "}") == FTA_OK);
            CHECK(sign_status(keyring, "{}") == FTA_OK);
            fta_keyring_free(keyring);
            fta_key_free(key);
        }
    }
}

/* Three primes, which a JWK cannot hold, and a long exponent. */
static void
test_unusual_rsa_keys_sign(void)
{
    static const struct {
        unsigned primes;
        const char *exponent;
    } kinds[] = {{2, "65537"}, {3, "65537"}, {2, "18446744073709551557"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        EVP_PKEY *pair = NULL;
        BIGNUM *exponent = NULL;
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        CHECK(BN_dec2bn(&exponent, kinds[i].exponent) != 0);
        CHECK(EVP_PKEY_keygen_init(context) == 1);
        CHECK(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) == 1);
        CHECK(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, exponent) == 1);
        CHECK(EVP_PKEY_CTX_set_rsa_keygen_primes(context,
                                                 (int)kinds[i].primes) == 1);
        CHECK(EVP_PKEY_generate(context, &pair) == 1);
        EVP_PKEY_CTX_free(context);
        BN_free(exponent);
        fta_key *key = NULL;
        CHECK(fta_key_from_pair(algorithm_named("RS256"), no_kid, pair, &key) ==
              FTA_OK);
        fta_keyring *keyring = keyring_of_keys((const fta_key *const *)&key, 1);
        CHECK(sign_status(keyring, "{" GOOD "}") == FTA_OK);
        fta_keyring_free(keyring);
        fta_key_free(key);
        EVP_PKEY_free(pair);
    }
}

static void
test_public_keys_do_not_sign(void)
{
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    char *pem = pem_of(pair, false);
    fta_key *key = NULL;
    fta_keyring *keyring = NULL;
    CHECK(fta_key_from_encoded(algorithm_named("ES256"), no_kid, text_of(pem),
                               no_kid, &key) == FTA_OK);
    keyring = keyring_of_keys((const fta_key *const *)&key, 1);
    CHECK(sign_status(keyring, "{}") == FTA_KEY_IS_PUBLIC);
    fta_keyring_free(keyring);
    fta_key_free(key);
    free(pem);
    EVP_PKEY_free(pair);
}

/* libjwt accepts the tokens that we sign, and those that we accept. */
static void
test_libjwt_reads_a_signed_token(const fta_keyring *keyring)
{
    char *token = NULL;
    CHECK(sign(keyring, "{" GOOD ",\"n\":5}", &token) == FTA_OK);
    char *payload = libjwt_payload(token);
    CHECK(payload != NULL &&
          strcmp(payload, "{" FUTURE ",\"n\":5," WHO "}") == 0);
    free(payload);
    free(token);
}

int
main(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    test_a_signed_token_verifies(keyring);
    test_values_are_signed_unchanged(keyring);
    test_payloads_that_cannot_be_signed(keyring);
    test_libjwt_reads_a_signed_token(keyring);
    free_keyring(keyring);
    test_large_payloads_are_signed();
    test_tokens_of_every_algorithm_verify();
    test_secrets_of_every_length_sign();
    test_unusual_rsa_keys_sign();
    test_public_keys_do_not_sign();
    return check_report("test_token_sign");
}
