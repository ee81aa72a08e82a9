/* How long verification takes in the core, beside its floor: one HMAC-SHA256
 * over the same bytes with a prepared context. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#include "base64url.h"
#include "clock.h"
#include "keyring.h"
#include "token_verify.h"

#define TENANT "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
#define USER "550e8400-e29b-41d4-a716-446655440000"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS                                                                 \
    "\"tenant_id\":\"" TENANT "\",\"user_id\":\"" USER                         \
    "\",\"role\":\"user\",\"iat\":1795448558,\"exp\":4000000000"
#define MAX 8192

static const uint8_t secret[32] = "0123456789abcdef0123456789abcdef";

typedef struct sample {
    const char *name;
    char text[MAX + 64];
    size_t length;
    fta_status expected;
} sample;

static void
sign(sample *out, const char *header, const char *payload)
{
    size_t length = fta_base64url_encode((const uint8_t *)header,
                                         strlen(header), out->text);
    out->text[length++] = '.';
    length += fta_base64url_encode((const uint8_t *)payload, strlen(payload),
                                   out->text + length);
    uint8_t tag[32];
    unsigned size = sizeof tag;
    HMAC(EVP_sha256(), secret, sizeof secret, (const uint8_t *)out->text,
         length, tag, &size);
    out->text[length++] = '.';
    length += fta_base64url_encode(tag, size, out->text + length);
    out->length = length;
}

/* Changes a character of the signature to another one of the alphabet. */
static void
spoil(sample *token)
{
    char *character = &token->text[token->length - 10];
    *character = *character == 'A' ? 'B' : 'A';
}

/* A payload of about the largest size: the ordinary claims, then more of a
 * pattern in which every @ is replaced by a running number. */
static void
fill(char *payload, const char *opening, const char *pattern,
     const char *closing)
{
    size_t room = 6000 - strlen(closing);
    size_t length = (size_t)sprintf(payload, "{" CLAIMS "%s", opening);
    for (unsigned i = 0; length < room; i++) {
        if (i != 0) {
            payload[length++] = ',';
        }
        for (const char *c = pattern; *c != '\0'; c++) {
            if (*c == '@') {
                length += (size_t)sprintf(payload + length, "%x", i);
            } else {
                payload[length++] = *c;
            }
        }
    }
    sprintf(payload + length, "%s}", closing);
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The least of many runs: what the machine can do when left alone. */
#define BEST_OF(result, rounds, repeats, statement)                            \
    do {                                                                       \
        result = 1e9;                                                          \
        for (int round_ = 0; round_ < (rounds); round_++) {                    \
            double start_ = seconds();                                         \
            for (int repeat_ = 0; repeat_ < (repeats); repeat_++) {            \
                statement;                                                     \
            }                                                                  \
            double took_ = (seconds() - start_) / (repeats);                   \
            result = took_ < result ? took_ : result;                          \
        }                                                                      \
    } while (0)

static double
measure_floor(const sample *token)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
                               OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_init(context, secret, sizeof secret, params);
    size_t signed_length = token->length - 44, size;
    uint8_t tag[64];
    double best;
    BEST_OF(best, 50, 2000, {
        EVP_MAC_init(context, NULL, 0, NULL);
        EVP_MAC_update(context, (const uint8_t *)token->text, signed_length);
        EVP_MAC_final(context, tag, &size, sizeof tag);
    });
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(hmac);
    return best;
}

static double
measure(const fta_keyring *keyring, const sample *token)
{
    fta_text text = {token->text, token->length};
    fta_claims claims;
    fta_status status = FTA_OK;
    double best;
    BEST_OF(best, 50, 2000,
            { status = fta_token_verify(keyring, text, NULL, &claims); });
    if (status != token->expected) {
        fprintf(stderr, "%s: %s\n", token->name, fta_status_name(status));
        exit(1);
    }
    return best;
}

int
main(void)
{
    static sample samples[16];
    static char payload[MAX];
    fta_key *key;
    fta_keyring *keyring;
    fta_text name = {"HS256", 5}, none = {NULL, 0};
    fta_claim_rules rules = {.leeway = 0};
    if (fta_key_from_secret(fta_algorithm_find(name), none, secret,
                            sizeof secret, false, &key) != FTA_OK ||
        fta_keyring_new((const fta_key *const *)&key, 1, &rules, MAX,
                        &keyring) != FTA_OK) {
        return 1;
    }
    size_t n = 0;
#define SAMPLE(title, status)                                                  \
    samples[n].name = title, samples[n].expected = status
    SAMPLE("ordinary", FTA_OK);
    sign(&samples[n++], HEADER, "{" CLAIMS "}");
    SAMPLE("ordinary, header never seen", FTA_OK);
    sign(&samples[n++], "{ \"alg\":\"HS256\",\"typ\":\"JWT\"}", "{" CLAIMS "}");
    SAMPLE("wrong signature", FTA_SIGNATURE_MISMATCH);
    sign(&samples[n], HEADER, "{" CLAIMS "}");
    spoil(&samples[n]);
    n++;
    SAMPLE("wrong algorithm", FTA_ALGORITHM_MISMATCH);
    sign(&samples[n++], "{\"alg\":\"none\",\"typ\":\"JWT\"}", "{" CLAIMS "}");
    SAMPLE("expired", FTA_EXPIRED);
    sign(&samples[n++], HEADER,
         "{\"tenant_id\":\"" TENANT "\",\"user_id\":\"" USER
         "\",\"role\":\"user\",\"iat\":1795448558,\"exp\":1000000000}");
    size_t large = n;
    SAMPLE("8 KiB: one string", FTA_OK);
    fill(payload, ",\"x\":\"", "abcdefg@", "\"");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: short names", FTA_OK);
    fill(payload, ",", "\"@\":0", "");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: objects", FTA_OK);
    fill(payload, ",\"x\":[", "{\"\":0}", "]");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: one-digit numbers", FTA_OK);
    fill(payload, ",\"x\":[", "0", "]");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: empty arrays", FTA_OK);
    fill(payload, ",\"x\":[", "[]", "]");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: escapes", FTA_OK);
    fill(payload, ",\"x\":[\"", "\\u20ac\\n", "\"]");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: two-octet characters", FTA_OK);
    fill(payload, ",\"x\":[\"", "\303\251\303\251\303\251\303\251", "\"]");
    sign(&samples[n++], HEADER, payload);
    SAMPLE("8 KiB: wrong signature", FTA_SIGNATURE_MISMATCH);
    sign(&samples[n], HEADER, payload);
    spoil(&samples[n]);
    n++;
    SAMPLE("over the cap", FTA_TOO_LONG);
    memset(samples[n].text, 'A', MAX + 1);
    samples[n++].length = MAX + 1;

    double floor = measure_floor(&samples[0]);
    double large_floor = measure_floor(&samples[large]);
    double ordinary = measure(keyring, &samples[0]);
    printf("%-30s %7s %9s %7s %9s\n", "", "bytes", "us", "/ floor",
           "/ ordinary");
    printf("%-30s %7zu %9.3f\n", "floor: one HMAC", samples[0].length,
           floor * 1e6);
    printf("%-30s %7zu %9.3f\n", "floor: one HMAC", samples[large].length,
           large_floor * 1e6);
    for (size_t i = 0; i < n; i++) {
        double took = measure(keyring, &samples[i]);
        printf("%-30s %7zu %9.3f %7.2f %9.2f\n", samples[i].name,
               samples[i].length, took * 1e6,
               took / (i < large ? floor : large_floor), took / ordinary);
    }
    fta_keyring_free(keyring);
    fta_key_free(key);
    return 0;
}
