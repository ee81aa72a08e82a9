/* token_verify ROUNDS SECRET TOKEN: nanoseconds that the core takes to verify
 * an HS256 token, and that one HMAC-SHA256 over the signed bytes takes with a
 * prepared EVP context. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "timing.h"
#include "token/key.h"
#include "token/keyring.h"
#include "token/verify.h"

enum { CALLS = 10000 };

static EVP_MAC_CTX *
prepare(fta_text secret)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    require(context != NULL &&
                EVP_MAC_init(context, (const unsigned char *)secret.data,
                             secret.length, params),
            "OpenSSL has HMAC-SHA256");
    EVP_MAC_free(hmac);
    return context;
}

static double
time_hmac(EVP_MAC_CTX *context, fta_text signed_part)
{
    unsigned char tag[EVP_MAX_MD_SIZE];
    size_t size;
    int good = 1;
    double start = cpu_seconds();
    for (int i = 0; i < CALLS; i++) {
        good &= EVP_MAC_init(context, NULL, 0, NULL) &
                EVP_MAC_update(context, (const unsigned char *)signed_part.data,
                               signed_part.length) &
                EVP_MAC_final(context, tag, &size, sizeof tag);
    }
    double seconds = cpu_seconds() - start;
    require(good && size == 32, "the HMAC was made");
    return seconds / CALLS * 1e9;
}

/* The steps as the binding takes them. */
static fta_status
verify(const fta_keyring *keyring, fta_text text, fta_claims *claims)
{
    fta_token token;
    fta_status status = fta_token_open(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_token_check(keyring, &token);
    }
    if (status == FTA_OK) {
        const fta_token_sinks none = {NULL, NULL, false, NULL};
        status = fta_token_claims(keyring, &token, &none, claims);
    }
    fta_token_close(&token);
    return status;
}

static double
time_verify(const fta_keyring *keyring, fta_text token)
{
    fta_claims claims;
    int good = 1;
    double start = cpu_seconds();
    for (int i = 0; i < CALLS; i++) {
        good &= verify(keyring, token, &claims) == FTA_OK;
    }
    double seconds = cpu_seconds() - start;
    require(good, "the token is valid");
    return seconds / CALLS * 1e9;
}

int
main(int argc, char **argv)
{
    require(argc == 4, "the arguments are ROUNDS SECRET TOKEN");
    int rounds = atoi(argv[1]);
    fta_text secret = {argv[2], strlen(argv[2])};
    fta_text token = {argv[3], strlen(argv[3])};
    const char *last_dot = strrchr(argv[3], '.');
    require(last_dot != NULL, "the token has segments");
    fta_text signed_part = {argv[3], (size_t)(last_dot - argv[3])};

    fta_key *key = NULL;
    fta_keyring *keyring = NULL;
    fta_text name = {"HS256", 5};
    require(fta_key_from_secret(fta_algorithm_find(name), (fta_text){NULL, 0},
                                (const uint8_t *)secret.data, secret.length,
                                false, &key) == FTA_OK,
            "the secret makes a key");
    const fta_key *keys[] = {key};
    fta_permission_names *names = fta_permission_names_new();
    fta_roles *roles = fta_roles_new(names);
    require(fta_roles_add(roles, (fta_text){"user", 4}) == FTA_OK,
            "there is a role");
    fta_claim_rules *rules = fta_claim_rules_new(roles);
    require(fta_claim_rules_finish(rules) == FTA_OK, "the rules are made");
    require(fta_keyring_new(keys, 1, rules, 8192, &keyring) == FTA_OK,
            "the key makes a keyring");

    EVP_MAC_CTX *context = prepare(secret);
    for (int round = 0; round < rounds; round++) {
        print_figure("HMAC-SHA256", time_hmac(context, signed_part));
        print_figure("verify", time_verify(keyring, token));
    }
    EVP_MAC_CTX_free(context);
    fta_keyring_free(keyring);
    fta_roles_free(roles);
    fta_permission_names_free(names);
    fta_key_free(key);
    return 0;
}
