/* Each allocation of the core and of OpenSSL fails in turn while a token is
 * made or verified. The status is an error of memory, and never another
 * verdict. There is no crash, and no leak, which the sanitizers would find. */
#include "failing_malloc.h"

#include <openssl/err.h>

#include "check.h"
#include "keys.h"
#include "token/jwk.h"
#include "token/sign.h"
#include "tokens.h"

static const fta_text no_kid = {NULL, 0};

/* If OpenSSL makes no HMAC, libjwt 1.17 reads a signature whose length it never
 * set. We verify what comes of it, and give it out to nobody. */
const char *__asan_default_suppressions(void);

const char *
__asan_default_suppressions(void)
{
    return "interceptor_via_lib:libjwt.so";
}

/* Runs expression, a status, with each allocation failing in turn; undo frees
 * what it made. The first time nothing fails, so that OpenSSL has set up what
 * it keeps for good: without that it crashes by itself. Later it may do without
 * what it asked for, or forget to say that it was memory that failed, so that
 * a key or a signature looks wrong: lost is what it may say then. */
#define FAIL_EACH(expression, lost, undo)                                      \
    do {                                                                       \
        long n_ = 0;                                                           \
        CHECK((expression) == FTA_OK);                                         \
        undo;                                                                  \
        for (bool failed_ = true; failed_; n_++) {                             \
            failing_malloc_start(n_);                                          \
            fta_status status_ = (expression);                                 \
            failed_ = failing_malloc_stop();                                   \
            if (status_ == FTA_OK) {                                           \
                undo;                                                          \
            }                                                                  \
            CHECK(status_ == FTA_OK || (failed_ && is_error(status_, lost)));  \
            CHECK(ERR_peek_error() == 0);                                      \
        }                                                                      \
        CHECK(n_ > 1);                                                         \
    } while (0)

/* Any error may keep a key from being made. */
#define ANY FTA_STATUS_COUNT

static bool
is_error(fta_status status, fta_status lost)
{
    return status == FTA_NO_MEMORY || status == FTA_CRYPTO ||
           status == FTA_SYSTEM || status == lost || lost == ANY;
}

/* Rules of every kind, and a keyring that owns them. */
static fta_status
new_keyring(const fta_key *key, fta_keyring **out)
{
    uint8_t which = 0;
    fta_claim_rules *rules = fta_claim_rules_new(test_roles());
    if (rules == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = fta_claim_rules_set_issuer(rules, text_of("us"));
    if (status == FTA_OK) {
        status = fta_claim_rules_add_audience(rules, text_of("api"));
    }
    if (status == FTA_OK) {
        status =
            fta_claim_rules_add_place(rules, FTA_CLAIM_ROLE, text_of("/a/b"));
    }
    if (status == FTA_OK) {
        status = fta_claim_rules_add_word(rules, text_of("Owner"), ROLE_ADMIN);
    }
    if (status == FTA_OK) {
        status = fta_claim_rules_require(rules, text_of("plan"), &which);
    }
    if (status == FTA_OK) {
        status = fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                           text_of("gold"));
    }
    if (status == FTA_OK) {
        status = fta_claim_rules_finish(rules);
    }
    if (status == FTA_OK) {
        status = fta_keyring_new(&key, 1, rules, 8192, out);
    }
    if (status != FTA_OK) {
        fta_claim_rules_free(rules);
    }
    return status;
}

/* Roles with a grant, and names of permissions. */
static fta_status
new_roles(fta_permission_names **names, fta_roles **roles)
{
    size_t number;
    *roles = NULL;
    *names = fta_permission_names_new();
    if (*names == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        fta_permission_names_add(*names, text_of("mail:read"), &number);
    if (status == FTA_OK && (*roles = fta_roles_new(*names)) == NULL) {
        status = FTA_NO_MEMORY;
    }
    if (status == FTA_OK) {
        status = fta_roles_add(*roles, text_of("user"));
    }
    if (status == FTA_OK) {
        status = fta_roles_grant(*roles, 0, text_of("mail:*"));
    }
    if (status != FTA_OK) {
        fta_roles_free(*roles);
        fta_permission_names_free(*names);
    }
    return status;
}

static void
test_a_failing_allocation_makes_no_roles(void)
{
    fta_permission_names *names = NULL;
    fta_roles *roles = NULL;
    FAIL_EACH(new_roles(&names, &roles), FTA_NO_MEMORY,
              (fta_roles_free(roles), fta_permission_names_free(names)));
}

static void
test_a_failing_allocation_makes_no_keyring(void)
{
    fta_key *key = NULL;
    fta_keyring *keyring = NULL;
    const fta_algorithm *algorithm = algorithm_named("HS256");
    FAIL_EACH(fta_key_from_secret(algorithm, no_kid, (const uint8_t *)SECRET,
                                  32, false, &key),
              FTA_NO_MEMORY, fta_key_free(key));
    CHECK(fta_key_from_secret(algorithm, no_kid, (const uint8_t *)SECRET, 32,
                              false, &key) == FTA_OK);
    FAIL_EACH(new_keyring(key, &keyring), FTA_NO_MEMORY,
              fta_keyring_free(keyring));
    fta_key_free(key);
}

/* So large that each step allocates memory, with many names in both parts. */
static char *
large_token(void)
{
    static char header[32768], payload[32768];
    char *h = header + sprintf(header, "{\"alg\":\"HS256\"");
    char *p = payload + sprintf(payload, "{" GOOD);
    for (int i = 0; i < 1000; i++) {
        h += sprintf(h, ",\"h%d\":\"%d\"", i, i);
        p += sprintf(p, ",\"p%d\":\"%d\"", i, i);
    }
    strcpy(h, "}");
    strcpy(p, "}");
    return sign_text(header, payload);
}

static void
test_a_failing_allocation_during_verification_is_no_memory(void)
{
    fta_claims claims;
    char *large = large_token();
    char *small = sign_text(HEADER, "{" GOOD "}");
    fta_keyring *keyring = make_keyring(NULL, 1 << 20);
    FAIL_EACH(verify_token(keyring, text_of(large), NULL, &claims),
              FTA_NO_MEMORY, (void)0);
    /* A context that was taken without memory must be given back in order. */
    for (int i = 0; i < 20; i++) {
        CHECK(verify_token(keyring, text_of(small), NULL, &claims) == FTA_OK);
    }
    free_keyring(keyring);
    free(small);
    free(large);
}

/* OpenSSL hashes a name that becomes a UUID. */
static void
test_a_failing_allocation_during_the_hash_of_an_id_is_no_memory(void)
{
    fta_claims claims;
    char *token =
        sign_text(HEADER, "{\"tenant_id\":\"a\",\"user_id\":7,"
                          "\"act\":{\"tenant_id\":\"a\"}," FUTURE "}");
    fta_claim_rules *rules = begin_rules();
    rules->has_namespace = true;
    fta_keyring *keyring = make_keyring(finish_rules(rules), 8192);
    FAIL_EACH(verify_token(keyring, text_of(token), NULL, &claims),
              FTA_NO_MEMORY, (void)0);
    free_keyring(keyring);
    free(token);
}

static void
test_a_failing_allocation_with_a_key_pair_is_no_memory(void)
{
    static const char *const names[] = {"ES256", "EdDSA"};
    for (size_t i = 0; i < 2; i++) {
        const fta_algorithm *algorithm = algorithm_named(names[i]);
        EVP_PKEY *pair = new_pair(algorithm);
        char *pem = pem_of(pair, true);
        fta_key *key = NULL, *again = NULL;
        char texts[FTA_JWK_TEXTS];
        fta_jwk jwk;
        uint8_t signature[FTA_SIGNATURE_MAX];
        size_t size = sign_rightly(pair, algorithm, "x", 1, signature);
        FAIL_EACH(
            fta_key_from_encoded(algorithm, no_kid, text_of(pem), no_kid, &key),
            ANY, fta_key_free(key));
        CHECK(fta_key_from_encoded(algorithm, no_kid, text_of(pem), no_kid,
                                   &key) == FTA_OK);
        FAIL_EACH(fta_key_verify(key, "x", 1, signature, size),
                  FTA_SIGNATURE_MISMATCH, (void)0);
        FAIL_EACH(fta_key_to_jwk(key, texts, &jwk), FTA_NO_MEMORY, (void)0);
        CHECK(fta_key_to_jwk(key, texts, &jwk) == FTA_OK);
        FAIL_EACH(fta_key_from_jwk(&jwk, &again), ANY, fta_key_free(again));
        fta_key_free(key);
        free(pem);
        EVP_PKEY_free(pair);
    }
}

static void
test_a_failing_allocation_during_signing_is_no_memory(void)
{
    static const char *const names[] = {"HS256", "ES256"};
    for (size_t i = 0; i < 2; i++) {
        const fta_algorithm *algorithm = algorithm_named(names[i]);
        fta_key *key = NULL;
        fta_keyring *keyring = NULL;
        char *token;
        size_t length;
        if (algorithm->family == FTA_HMAC) {
            key = make_key(names[i], NULL);
        } else {
            EVP_PKEY *pair = new_pair(algorithm);
            CHECK(fta_key_from_pair(algorithm, no_kid, pair, &key) == FTA_OK);
            EVP_PKEY_free(pair);
        }
        keyring = keyring_of_keys((const fta_key *const *)&key, 1);
        FAIL_EACH(fta_token_sign(keyring, text_of("{" GOOD ",\"x\":[1,2.5]}"),
                                 &token, &length),
                  FTA_NO_MEMORY, fta_free(token));
        fta_keyring_free(keyring);
        fta_key_free(key);
    }
}

/* libjwt 3 reads a key when it signs for the first time. */
static fta_status
sign_with_new_signer(const fta_algorithm *algorithm, EVP_PKEY *pair)
{
    fta_signer *signer = NULL;
    char *token = NULL;
    fta_status status =
        pair == NULL ? fta_signer_from_secret(
                           algorithm, (const uint8_t *)SECRET, 32, &signer)
                     : fta_signer_from_pair(algorithm, pair, &signer);
    if (status == FTA_OK) {
        status = fta_signer_sign(signer, "kid", text_of("{" GOOD "}"), &token);
    }
    free(token);
    fta_signer_free(signer);
    ERR_clear_error();
    return status;
}

static void
test_a_failing_allocation_during_the_first_signature_is_an_error(void)
{
    static const char *const names[] = {"HS256", "ES256", "EdDSA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const fta_algorithm *algorithm = algorithm_named(names[i]);
        EVP_PKEY *pair =
            algorithm->family == FTA_HMAC ? NULL : new_pair(algorithm);
        if (fta_signer_knows(algorithm)) {
            FAIL_EACH(sign_with_new_signer(algorithm, pair), ANY, (void)0);
        }
        EVP_PKEY_free(pair);
    }
}

int
main(void)
{
    failing_malloc_install();
    test_a_failing_allocation_makes_no_roles();
    test_a_failing_allocation_makes_no_keyring();
    test_a_failing_allocation_during_verification_is_no_memory();
    test_a_failing_allocation_during_the_hash_of_an_id_is_no_memory();
    test_a_failing_allocation_with_a_key_pair_is_no_memory();
    test_a_failing_allocation_during_signing_is_no_memory();
    test_a_failing_allocation_during_the_first_signature_is_an_error();
    return check_report("test_token_memory");
}
