#include "token/key.h"

#include <openssl/bn.h>
#include <openssl/err.h>

#include "base/base64url.h"
#include "check.h"
#include "keys.h"
#include "token/jwk.h"
#include "token/sign.h"

static const fta_text no_kid = {NULL, 0};
static const char message[] = "header.payload";

static fta_text
text_of(const char *text)
{
    return (fta_text){text, strlen(text)};
}

static const char *const pair_algorithms[] = {
    "RS256", "RS384", "RS512", "PS256", "PS384",
    "PS512", "ES256", "ES384", "ES512", "EdDSA"};
#define PAIR_ALGORITHMS (sizeof pair_algorithms / sizeof *pair_algorithms)

/* --- secrets ------------------------------------------------------------ */

static fta_status
secret_status(const char *algorithm, const char *secret, size_t size,
              bool allow_weak)
{
    fta_key *key = NULL;
    fta_status status =
        fta_key_from_secret(algorithm_named(algorithm), no_kid,
                            (const uint8_t *)secret, size, allow_weak, &key);
    CHECK((status == FTA_OK) == (key != NULL));
    fta_key_free(key);
    return status;
}

static void
test_a_secret_is_as_long_as_the_hash(void)
{
    static const char many[FTA_SECRET_MAX + 1] = "x";
    CHECK(secret_status("HS256", many, 31, false) == FTA_SECRET_TOO_SHORT);
    CHECK(secret_status("HS256", many, 32, false) == FTA_OK);
    CHECK(secret_status("HS384", many, 47, false) == FTA_SECRET_TOO_SHORT);
    CHECK(secret_status("HS384", many, 48, false) == FTA_OK);
    CHECK(secret_status("HS512", many, 63, false) == FTA_SECRET_TOO_SHORT);
    CHECK(secret_status("HS512", many, 64, false) == FTA_OK);
    CHECK(secret_status("HS256", many, 1, true) == FTA_OK);
    CHECK(secret_status("HS256", many, 0, true) == FTA_SECRET_EMPTY);
    CHECK(secret_status("HS256", many, FTA_SECRET_MAX, false) == FTA_OK);
    CHECK(secret_status("HS256", many, FTA_SECRET_MAX + 1, false) ==
          FTA_SECRET_TOO_LONG);
    CHECK(secret_status("RS256", many, 64, false) == FTA_ALGORITHM_NOT_HMAC);
    CHECK(secret_status("EdDSA", many, 64, false) == FTA_ALGORITHM_NOT_HMAC);
}

/* PEM text without its first and last line, and decoded, is still a public key.
 */
static void
check_without_armour(const char *pem)
{
    const char *body = strchr(pem, '\n') + 1;
    size_t length = (size_t)(strstr(body, "-----END") - body);
    char one_line[8192];
    uint8_t der[8192];
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (body[i] != '\n' && body[i] != '=') {
            one_line[n++] = body[i];
        }
    }
    CHECK(fta_base64_decode(one_line, n, der));
    size_t size = FTA_BASE64_SIZE(n);
    CHECK(secret_status("HS256", body, length, true) == FTA_SECRET_IS_KEY);
    CHECK(secret_status("HS256", one_line, n, true) == FTA_SECRET_IS_KEY);
    CHECK(secret_status("HS256", (char *)der, size, true) == FTA_SECRET_IS_KEY);
    n = fta_base64url_encode(der, size, one_line);
    CHECK(secret_status("HS256", one_line, n, true) == FTA_SECRET_IS_KEY);
    /* The beginning of a key is as public as the whole key. */
    CHECK(secret_status("HS256", one_line, 44, true) == FTA_SECRET_IS_KEY);
    CHECK(secret_status("HS256", (char *)der, 33, true) == FTA_SECRET_IS_KEY);
}

/* The algorithm confusion of CVE-2015-9235 and CVE-2022-29217. */
static void
test_a_key_is_no_secret(void)
{
    for (size_t i = 0; i < PAIR_ALGORITHMS; i += 3) {
        EVP_PKEY *pair = new_pair(algorithm_named(pair_algorithms[i]));
        for (int is_private = 0; is_private < 2; is_private++) {
            char *pem = pem_of(pair, is_private);
            CHECK(secret_status("HS256", pem, strlen(pem), true) ==
                  FTA_SECRET_IS_KEY);
            check_without_armour(pem);
            free(pem);
        }
        EVP_PKEY_free(pair);
    }
    static const char *const texts[] = {
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDbRzUq",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHA",
        "  \n-----BEGIN CERTIFICATE-----\nMIIB",
        "# my key\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6",
        "{\"kty\":\"RSA\",\"n\":\"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MK\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(secret_status("HS256", texts[i], strlen(texts[i]), true) ==
              FTA_SECRET_IS_KEY);
    }
}

static void
test_a_kid_is_short_printable_text(void)
{
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char long_kid[FTA_KID_MAX + 2];
    memset(long_kid, 'k', sizeof long_kid);
    const struct {
        fta_text kid;
        fta_status expected;
    } kids[] = {
        {{"a", 1}, FTA_OK},
        {{"2026-11 \xc3\xa9/\"\\", 13}, FTA_OK},
        {{long_kid, FTA_KID_MAX}, FTA_OK},
        {{long_kid, FTA_KID_MAX + 1}, FTA_KID_MALFORMED},
        {{"", 0}, FTA_KID_MALFORMED},
        {{"a\0b", 3}, FTA_KID_MALFORMED},
        {{"a\n", 2}, FTA_KID_MALFORMED},
        {{"\x7f", 1}, FTA_KID_MALFORMED},
    };
    for (size_t i = 0; i < sizeof kids / sizeof *kids; i++) {
        fta_key *key = NULL;
        CHECK(fta_key_from_secret(algorithm_named("HS256"), kids[i].kid,
                                  (const uint8_t *)secret, 32, false,
                                  &key) == kids[i].expected);
        CHECK(key == NULL || (fta_text_equal(fta_key_id(key), kids[i].kid) &&
                              fta_key_id_is_given(key)));
        fta_key_free(key);
    }
    /* Derived: from HMAC-SHA256, whatever the key's own hash. */
    fta_key *key = NULL, *other = NULL;
    CHECK(fta_key_from_secret(algorithm_named("HS256"), no_kid,
                              (const uint8_t *)secret, 32, false,
                              &key) == FTA_OK);
    CHECK(fta_key_from_secret(algorithm_named("HS512"), no_kid,
                              (const uint8_t *)secret, 32, true,
                              &other) == FTA_OK);
    CHECK(fta_key_id(key).length == 12);
    CHECK(fta_text_equal(fta_key_id(key), fta_key_id(other)));
    CHECK(!fta_key_id_is_given(key) && !fta_key_id_is_given(other));
    fta_key_free(key);
    fta_key_free(other);
}

/* RFC 7515, appendix A.1: the signature of the example. */
static void
test_the_hmac_vector_of_rfc_7515_verifies(void)
{
    static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0"
                            "gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    static const char signed_text[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAi"
        "OjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    static const uint8_t signature[32] = {
        116, 24,  223, 180, 151, 153, 224, 37,  79,  250, 96,
        125, 216, 173, 187, 186, 22,  212, 37,  77,  105, 214,
        191, 240, 91,  88,  5,   88,  83,  132, 141, 121};
    fta_jwk jwk = {.kty = {"oct", 3}, .alg = {"HS256", 5}};
    jwk.k = text_of(k);
    fta_key *key = NULL;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_OK);
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         32) == FTA_OK);
    for (size_t bit = 0; bit < 256; bit++) {
        uint8_t changed[32];
        memcpy(changed, signature, 32);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, changed,
                             32) == FTA_SIGNATURE_MISMATCH);
    }
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         31) == FTA_SIGNATURE_MISMATCH);
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         0) == FTA_SIGNATURE_MISMATCH);
    fta_key_free(key);
}

/* --- key pairs ---------------------------------------------------------- */

static fta_key *
key_from_pair(const char *algorithm, EVP_PKEY *pair, bool is_private)
{
    fta_key *key = NULL;
    char *pem = pem_of(pair, is_private);
    CHECK(fta_key_from_encoded(algorithm_named(algorithm), no_kid, text_of(pem),
                               no_kid, &key) == FTA_OK);
    free(pem);
    return key;
}

static void
test_the_signatures_of_every_pair_verify(void)
{
    uint8_t signature[FTA_SIGNATURE_MAX];
    for (size_t i = 0; i < PAIR_ALGORITHMS; i++) {
        const fta_algorithm *algorithm = algorithm_named(pair_algorithms[i]);
        EVP_PKEY *pair = new_pair(algorithm);
        fta_key *private_key = key_from_pair(pair_algorithms[i], pair, true);
        fta_key *public_key = key_from_pair(pair_algorithms[i], pair, false);
        CHECK(fta_text_equal(fta_key_id(private_key), fta_key_id(public_key)));
        CHECK(fta_key_id(public_key).length == 43);
        CHECK(fta_key_signer(public_key) == NULL);
        CHECK(fta_key_signer(private_key) != NULL);
        CHECK(!fta_key_can_sign(public_key));
        size_t size =
            sign_rightly(pair, algorithm, message, sizeof message, signature);
        CHECK(fta_key_verify(private_key, message, sizeof message, signature,
                             size) == FTA_OK);
        CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                             size) == FTA_OK);
        CHECK(fta_key_verify(public_key, message, sizeof message - 1, signature,
                             size) == FTA_SIGNATURE_MISMATCH);
        CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                             size - 1) == FTA_SIGNATURE_MISMATCH);
        signature[size] = 0;
        CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                             size + 1) == FTA_SIGNATURE_MISMATCH);
        for (size_t at = 0; at < size; at += 7) {
            signature[at] ^= 0x10;
            CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                                 size) == FTA_SIGNATURE_MISMATCH);
            signature[at] ^= 0x10;
        }
        memset(signature, 0, size);
        CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                             size) == FTA_SIGNATURE_MISMATCH);
        memset(signature, 0xFF, size);
        CHECK(fta_key_verify(public_key, message, sizeof message, signature,
                             size) == FTA_SIGNATURE_MISMATCH);
        CHECK(ERR_peek_error() == 0);
        fta_key_free(private_key);
        fta_key_free(public_key);
        EVP_PKEY_free(pair);
    }
}

/* One RSA pair can make six kinds of signature, of RS and PS. Each key accepts
 * its own kind alone, and PS only with a salt as long as the hash. */
static void
test_an_rsa_key_verifies_one_padding_and_hash(void)
{
    static const char *const names[] = {"RS256", "RS384", "RS512",
                                        "PS256", "PS384", "PS512"};
    uint8_t signature[FTA_SIGNATURE_MAX];
    EVP_PKEY *pair = EVP_RSA_gen(2048);
    for (size_t i = 0; i < 6; i++) {
        fta_key *key = key_from_pair(names[i], pair, false);
        for (size_t j = 0; j < 6; j++) {
            size_t size = sign_rightly(pair, algorithm_named(names[j]), message,
                                       sizeof message, signature);
            CHECK((fta_key_verify(key, message, sizeof message, signature,
                                  size) == FTA_OK) == (i == j));
        }
        static const int salts[] = {0, 20, RSA_PSS_SALTLEN_MAX};
        for (size_t j = 0; i >= 3 && j < 3; j++) {
            size_t size = sign_with(pair, algorithm_named(names[i]),
                                    RSA_PKCS1_PSS_PADDING, salts[j], message,
                                    sizeof message, signature);
            CHECK(fta_key_verify(key, message, sizeof message, signature,
                                 size) == FTA_SIGNATURE_MISMATCH);
        }
        fta_key_free(key);
    }
    EVP_PKEY_free(pair);
}

/* CVE-2022-21449: r or s of 0, or of n and beyond, is no signature; nor is
 * the DER form that OpenSSL and certificates use. */
static void
test_an_ecdsa_signature_has_its_length_and_values_in_range(void)
{
    for (size_t i = 6; i < 9; i++) {
        const fta_algorithm *algorithm = algorithm_named(pair_algorithms[i]);
        size_t half = algorithm->element_size, size = 2 * half;
        uint8_t good[FTA_SIGNATURE_MAX], bad[FTA_SIGNATURE_MAX];
        EVP_PKEY *pair = new_pair(algorithm);
        fta_key *key = key_from_pair(pair_algorithms[i], pair, false);
        BIGNUM *order = NULL, *number = BN_new();
        CHECK(EVP_PKEY_get_bn_param(pair, "order", &order) == 1);
        CHECK(sign_rightly(pair, algorithm, message, sizeof message, good) ==
              size);
#define REFUSED()                                                              \
    CHECK(fta_key_verify(key, message, sizeof message, bad, size) ==           \
          FTA_SIGNATURE_MISMATCH)
        for (size_t part = 0; part < 2; part++) {
            memcpy(bad, good, size);
            memset(bad + part * half, 0, half);
            REFUSED();
            memcpy(bad, good, size);
            BN_bn2binpad(order, bad + part * half, (int)half);
            REFUSED();
        }
        memset(bad, 0, size);
        REFUSED();
        bad[half - 1] = bad[size - 1] = 1;
        REFUSED();
        BN_bn2binpad(order, bad, (int)half);
        BN_bn2binpad(order, bad + half, (int)half);
        REFUSED();
        /* r + n, where it fits */
        BN_bin2bn(good, (int)half, number);
        BN_add(number, number, order);
        if (BN_bn2binpad(number, bad, (int)half) == (int)half) {
            memcpy(bad + half, good + half, half);
            REFUSED();
        }
        /* R and S exchanged. */
        memcpy(bad, good + half, half);
        memcpy(bad + half, good, half);
        REFUSED();
        /* DER has another length, except by chance. */
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        size_t der_size = sizeof bad;
        EVP_DigestSignInit_ex(context, NULL, algorithm->digest, NULL, NULL,
                              pair, NULL);
        EVP_DigestSign(context, bad, &der_size, (const uint8_t *)message,
                       sizeof message);
        CHECK(fta_key_verify(key, message, sizeof message, bad, der_size) ==
              FTA_SIGNATURE_MISMATCH);
        EVP_MD_CTX_free(context);
        /* Many signatures, short r and s among them. */
        for (int n = 0; n < 600; n++) {
            char text[16];
            int length = snprintf(text, sizeof text, "%d", n);
            sign_rightly(pair, algorithm, text, (size_t)length, good);
            CHECK(fta_key_verify(key, text, (size_t)length, good, size) ==
                  FTA_OK);
        }
        BN_free(order);
        BN_free(number);
        fta_key_free(key);
        EVP_PKEY_free(pair);
    }
}

static fta_status
pem_status(const char *algorithm, EVP_PKEY *pair, bool is_private)
{
    fta_key *key = NULL;
    char *pem = pem_of(pair, is_private);
    fta_status status = fta_key_from_encoded(algorithm_named(algorithm), no_kid,
                                             text_of(pem), no_kid, &key);
    CHECK((status == FTA_OK) == (key != NULL));
    fta_key_free(key);
    free(pem);
    return status;
}

static void
test_a_pair_of_another_algorithm_is_rejected(void)
{
    static const char *const kinds[] = {"RS256", "ES256", "ES384", "ES512",
                                        "EdDSA"};
    for (size_t i = 0; i < 5; i++) {
        EVP_PKEY *pair = new_pair(algorithm_named(kinds[i]));
        for (size_t j = 0; j < PAIR_ALGORITHMS; j++) {
            bool both_rsa = i == 0 && pair_algorithms[j][1] == 'S' &&
                            pair_algorithms[j][0] != 'E';
            fta_status expected =
                both_rsa || strcmp(kinds[i], pair_algorithms[j]) == 0
                    ? FTA_OK
                    : FTA_KEY_KIND_MISMATCH;
            CHECK(pem_status(pair_algorithms[j], pair, true) == expected);
            CHECK(pem_status(pair_algorithms[j], pair, false) == expected);
        }
        CHECK(pem_status("HS256", pair, true) == FTA_ALGORITHM_HMAC);
        EVP_PKEY_free(pair);
    }
    EVP_PKEY *other = EVP_EC_gen("secp256k1");
    CHECK(pem_status("ES256", other, true) == FTA_KEY_KIND_MISMATCH);
    EVP_PKEY_free(other);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    CHECK(pem_status("EdDSA", other, true) == FTA_KEY_KIND_MISMATCH);
    EVP_PKEY_free(other);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    CHECK(pem_status("EdDSA", other, true) == FTA_KEY_KIND_MISMATCH);
    EVP_PKEY_free(other);
    other = EVP_RSA_gen(1024);
    CHECK(pem_status("RS256", other, true) == FTA_RSA_SIZE_INVALID);
    CHECK(pem_status("PS256", other, false) == FTA_RSA_SIZE_INVALID);
    EVP_PKEY_free(other);
    other = EVP_RSA_gen(2047);
    CHECK(pem_status("RS256", other, true) == FTA_RSA_SIZE_INVALID);
    EVP_PKEY_free(other);
}

static fta_status
pem_text_status(const char *algorithm, const char *pem)
{
    fta_key *key = NULL;
    fta_status status = fta_key_from_encoded(algorithm_named(algorithm), no_kid,
                                             text_of(pem), no_kid, &key);
    fta_key_free(key);
    return status;
}

static void
test_malformed_pem_is_rejected(void)
{
    EVP_PKEY *pair = EVP_EC_gen("prime256v1");
    char *pem = pem_of(pair, true);
    CHECK(pem_text_status("ES256", "") == FTA_KEY_EMPTY);
    CHECK(pem_text_status("ES256", "secret") == FTA_KEY_NOT_FOUND);
    CHECK(pem_text_status("ES256",
                          "-----BEGIN PUBLIC KEY-----\nAAAA\n"
                          "-----END PUBLIC KEY-----\n") == FTA_KEY_DAMAGED);
    CHECK(pem_text_status("ES256", pem) == FTA_OK);
    pem[strlen(pem) / 2] = '\0';
    CHECK(pem_text_status("ES256", pem) == FTA_KEY_DAMAGED);
    free(pem);
    EVP_PKEY_free(pair);
    CHECK(ERR_peek_error() == 0);
}

/* Two keys. The second has explicit parameters, which are nearly those of the
 * curve (CVE-2020-0601). */
static void
test_a_curve_without_a_name_is_rejected(void)
{
    EVP_PKEY *pair = EVP_EC_gen("prime256v1");
    CHECK(pem_status("ES256", pair, false) == FTA_OK);
    CHECK(EVP_PKEY_set_utf8_string_param(pair, "encoding", "explicit") == 1);
    CHECK(pem_status("ES256", pair, false) != FTA_OK);
    EVP_PKEY_free(pair);
}

/* --- JWK ---------------------------------------------------------------- */

static void
test_a_published_jwk_is_read_as_the_same_key(void)
{
    for (size_t i = 0; i < PAIR_ALGORITHMS; i++) {
        EVP_PKEY *pair = new_pair(algorithm_named(pair_algorithms[i]));
        fta_key *key = key_from_pair(pair_algorithms[i], pair, true);
        fta_key *again = NULL;
        char texts[FTA_JWK_TEXTS];
        fta_jwk jwk;
        uint8_t signature[FTA_SIGNATURE_MAX];
        CHECK(fta_key_to_jwk(key, texts, &jwk) == FTA_OK);
        CHECK(jwk.d.data == NULL && jwk.p.data == NULL && jwk.k.data == NULL);
        CHECK(fta_key_from_jwk(&jwk, &again) == FTA_OK);
        CHECK(fta_text_equal(fta_key_id(key), fta_key_id(again)));
        size_t size = sign_rightly(pair, fta_key_algorithm(key), message,
                                   sizeof message, signature);
        CHECK(fta_key_verify(again, message, sizeof message, signature, size) ==
              FTA_OK);
        fta_key_free(key);
        fta_key_free(again);
        EVP_PKEY_free(pair);
    }
}

/* RFC 7638, section 3.1. */
#define N                                                                      \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aP" \
    "FFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl9" \
    "3lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA" \
    "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3" \
    "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

static void
test_the_thumbprint_vector_of_rfc_7638_is_the_kid(void)
{
    fta_jwk jwk = {.kty = {"RSA", 3},
                   .alg = {"RS256", 5},
                   .n = {N, sizeof N - 1},
                   .e = {"AQAB", 4}};
    fta_key *key = NULL;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_OK);
    CHECK(fta_text_is(fta_key_id(key),
                      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    CHECK(!fta_key_id_is_given(key));
    fta_key_free(key);
    /* One that somebody has written into the JWK is given, whatever it is. */
    jwk.kid = text_of("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_OK);
    CHECK(fta_key_id_is_given(key));
    fta_key_free(key);
}

/* A modulus of Wycheproof's, made by the generator of CVE-2017-15361. */
#define ROCA_N                                                                 \
    "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3Ma"   \
    "W_HhFw16HGaTDUHqPrId7fe4r11CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_n"   \
    "D5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOw"   \
    "z6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg"   \
    "_c_qHRtKUsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE"

static void
test_a_key_of_the_roca_generator_is_rejected(void)
{
    fta_jwk jwk = {.kty = {"RSA", 3},
                   .alg = {"RS256", 5},
                   .n = {ROCA_N, sizeof ROCA_N - 1},
                   .e = {"AQAB", 4}};
    fta_key *key = NULL;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_RSA_ROCA);
    fta_key_free(key);
}

/* RFC 8037, appendix A: a private key, its public one and a signature. */
static void
test_the_eddsa_vector_of_rfc_8037_verifies(void)
{
    fta_jwk jwk = {.kty = {"OKP", 3},
                   .crv = {"Ed25519", 7},
                   .d = {"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", 43},
                   .x = {"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", 43}};
    static const char signed_text[] =
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    static const char encoded[] =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9"
        "g7sVvpAr_MuM0KAg";
    uint8_t signature[64];
    CHECK(fta_base64url_decode(encoded, sizeof encoded - 1, signature));
    fta_key *key = NULL;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_OK);
    CHECK(fta_text_is(fta_key_id(key),
                      "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         64) == FTA_OK);
    signature[63] ^= 0x20;
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         64) == FTA_SIGNATURE_MISMATCH);
    fta_key_free(key);
    /* A private part that belongs to another public one. */
    jwk.x.data = "21qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_KEY_UNSOUND);
}

/* RFC 7515, appendix A.3. */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"

static void
test_the_es256_vector_of_rfc_7515_verifies(void)
{
    static const char signed_text[] =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    static const char encoded[] =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf"
        "KTUJqPP3-Kg6NU1Q";
    uint8_t signature[64];
    fta_jwk jwk = {.kty = {"EC", 2},
                   .crv = {"P-256", 5},
                   .x = {EC_X, 43},
                   .y = {EC_Y, 43},
                   .d = {EC_D, 43}};
    fta_key *key = NULL;
    CHECK(fta_base64url_decode(encoded, sizeof encoded - 1, signature));
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_OK);
    CHECK(fta_key_can_sign(key));
    CHECK(fta_key_verify(key, signed_text, sizeof signed_text - 1, signature,
                         64) == FTA_OK);
    fta_key_free(key);
}

static void
test_a_malformed_jwk_is_rejected(void)
{
    const fta_jwk good = {.kty = {"EC", 2},
                          .crv = {"P-256", 5},
                          .x = {EC_X, 43},
                          .y = {EC_Y, 43}};
    const fta_text none = {NULL, 0};
    fta_key *key = NULL;
    fta_jwk jwk;
#define AFTER(change, expected)                                                \
    do {                                                                       \
        jwk = good;                                                            \
        change;                                                                \
        CHECK(fta_key_from_jwk(&jwk, &key) == (expected));                     \
    } while (0)
    AFTER(jwk.kty = none, FTA_JWK_MALFORMED);
    AFTER(jwk.kty = text_of("RSA"), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.kty = text_of("ec"), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.crv = text_of("P-384"), FTA_JWK_MALFORMED);
    AFTER(jwk.crv = text_of("secp256k1"), FTA_JWK_ALGORITHM);
    AFTER(jwk.crv = none, FTA_JWK_ALGORITHM);
    AFTER((jwk.crv = none, jwk.alg = text_of("ES256")), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.alg = text_of("ES384"), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.alg = text_of("es256"), FTA_JWK_ALGORITHM);
    AFTER(jwk.alg = text_of("none"), FTA_JWK_ALGORITHM);
    AFTER(jwk.alg = text_of("HS256"), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.alg = text_of("RS256"), FTA_KEY_KIND_MISMATCH);
    AFTER(jwk.use = text_of("enc"), FTA_JWK_NOT_FOR_SIGNATURES);
    AFTER(jwk.for_other_ops = true, FTA_JWK_NOT_FOR_SIGNATURES);
    AFTER(jwk.x = none, FTA_JWK_MALFORMED);
    AFTER(jwk.y = none, FTA_JWK_MALFORMED);
    AFTER(jwk.y = text_of(""), FTA_JWK_MALFORMED);
    AFTER(jwk.x.length = 42, FTA_JWK_MALFORMED);
    AFTER(jwk.x = text_of("83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
          FTA_JWK_MALFORMED);
    AFTER(jwk.x = text_of("!83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
          FTA_JWK_MALFORMED);
    /* Not on the curve. */
    AFTER(jwk.y = text_of(EC_X), FTA_KEY_UNSOUND);
    AFTER(jwk.d = text_of(EC_X), FTA_KEY_UNSOUND);
    AFTER(jwk.d = text_of("AA"), FTA_JWK_MALFORMED);
    AFTER(jwk.kid = text_of(""), FTA_KID_MALFORMED);
    const fta_jwk rsa = {.kty = {"RSA", 3},
                         .alg = {"RS256", 5},
                         .n = {N, sizeof N - 1},
                         .e = {"AQAB", 4}};
#define RSA_AFTER(change, expected)                                            \
    do {                                                                       \
        jwk = rsa;                                                             \
        change;                                                                \
        CHECK(fta_key_from_jwk(&jwk, &key) == (expected));                     \
    } while (0)
    RSA_AFTER(jwk.alg = none, FTA_JWK_ALGORITHM);
    RSA_AFTER(jwk.alg = text_of("ES256"), FTA_KEY_KIND_MISMATCH);
    RSA_AFTER(jwk.e = text_of("AQ"), FTA_RSA_EXPONENT);   /* 1 */
    RSA_AFTER(jwk.e = text_of("Ag"), FTA_RSA_EXPONENT);   /* even */
    RSA_AFTER(jwk.e = text_of("Aw"), FTA_RSA_EXPONENT);   /* 3 */
    RSA_AFTER(jwk.e = text_of("__8"), FTA_RSA_EXPONENT);  /* 65535 */
    RSA_AFTER(jwk.e = text_of("AQAC"), FTA_RSA_EXPONENT); /* even */
    RSA_AFTER(jwk.e = text_of("AQAAAAAAAAAB"), FTA_RSA_EXPONENT);
    RSA_AFTER(jwk.e = none, FTA_JWK_MALFORMED);
    RSA_AFTER(jwk.n.length = 340, FTA_RSA_SIZE_INVALID);
    RSA_AFTER(jwk.d = text_of("AQAB"), FTA_JWK_MALFORMED); /* no p, q ... */
    const fta_jwk okp = {.kty = {"OKP", 3}, .crv = {"Ed25519", 7}};
    jwk = okp;
    jwk.x = text_of("AAAA");
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_JWK_MALFORMED);
    jwk.x = text_of(EC_X);
    jwk.d = text_of("AAAA");
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_JWK_MALFORMED);
    const fta_jwk oct = {.kty = {"oct", 3}, .alg = {"HS256", 5}};
    jwk = oct;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_JWK_MALFORMED);
    jwk.k = text_of("AAAA");
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_SECRET_TOO_SHORT);
    jwk.k = text_of(EC_X);
    jwk.alg = none;
    CHECK(fta_key_from_jwk(&jwk, &key) == FTA_JWK_ALGORITHM);
    CHECK(key == NULL && ERR_peek_error() == 0);
    /* and the valid values next to them */
    AFTER((void)0, FTA_OK);
    fta_key_free(key);
    RSA_AFTER((void)0, FTA_OK);
    fta_key_free(key);
    RSA_AFTER(jwk.e = text_of("_________38"), FTA_OK); /* 64 bits */
    fta_key_free(key);
}

/* A modulus with which each verification costs too much. */
static void
test_an_rsa_key_over_8192_bits_is_rejected(void)
{
    static char n[FTA_BASE64_LENGTH(1025u) + 1];
    static uint8_t octets[1025];
    memset(octets, 0xA5, sizeof octets);
    fta_key *key = NULL;
    for (size_t size = 1024; size <= 1025; size++) {
        fta_jwk jwk = {
            .kty = {"RSA", 3}, .alg = {"RS256", 5}, .e = {"AQAB", 4}};
        jwk.n = (fta_text){n, fta_base64url_encode(octets, size, n)};
        fta_status status = fta_key_from_jwk(&jwk, &key);
        CHECK(status == (size == 1024 ? FTA_OK : FTA_JWK_MALFORMED));
        if (status == FTA_OK) {
            fta_key_free(key);
        }
    }
}

static void
test_a_secret_is_not_published(void)
{
    static const char secret[32] = "x";
    fta_key *key = NULL;
    char texts[FTA_JWK_TEXTS];
    fta_jwk jwk;
    CHECK(fta_key_from_secret(algorithm_named("HS256"), no_kid,
                              (const uint8_t *)secret, 32, false,
                              &key) == FTA_OK);
    CHECK(fta_key_pair(key) == NULL);
    CHECK(fta_key_to_jwk(key, texts, &jwk) == FTA_KEY_IS_SECRET);
    fta_key_free(key);
}

static void
test_only_exact_names_of_algorithms_are_known(void)
{
    CHECK(algorithm_named("HS256") != NULL);
    CHECK(algorithm_named("hs256") == NULL);
    CHECK(algorithm_named("none") == NULL);
    CHECK(algorithm_named("") == NULL);
    CHECK(algorithm_named("HS2560") == NULL);
    CHECK(algorithm_named("ES256K") == NULL);
    CHECK(fta_algorithm_of_curve(text_of("P-521")) == algorithm_named("ES512"));
    CHECK(fta_algorithm_of_curve(text_of("p-521")) == NULL);
}

int
main(void)
{
    test_only_exact_names_of_algorithms_are_known();
    test_a_secret_is_as_long_as_the_hash();
    test_a_key_is_no_secret();
    test_a_kid_is_short_printable_text();
    test_the_hmac_vector_of_rfc_7515_verifies();
    test_the_signatures_of_every_pair_verify();
    test_an_rsa_key_verifies_one_padding_and_hash();
    test_an_ecdsa_signature_has_its_length_and_values_in_range();
    test_a_pair_of_another_algorithm_is_rejected();
    test_malformed_pem_is_rejected();
    test_a_curve_without_a_name_is_rejected();
    test_a_published_jwk_is_read_as_the_same_key();
    test_the_thumbprint_vector_of_rfc_7638_is_the_kid();
    test_a_key_of_the_roca_generator_is_rejected();
    test_the_eddsa_vector_of_rfc_8037_verifies();
    test_the_es256_vector_of_rfc_7515_verifies();
    test_a_malformed_jwk_is_rejected();
    test_an_rsa_key_over_8192_bits_is_rejected();
    test_a_secret_is_not_published();
    fta_key_free(NULL);
    return check_report("test_key");
}
