#include "token/verify.h"

#include <math.h>

#include "base/clock.h"
#include "check.h"
#include "guarded.h"
#include "keys.h"
#include "tokens.h"

static fta_status
status_of(const fta_keyring *keyring, const char *token)
{
    fta_claims claims;
    guarded copy = guarded_copy(token, strlen(token));
    fta_status status = verify_token(
        keyring, (fta_text){copy.text, strlen(token)}, NULL, &claims);
    guarded_free(&copy);
    return status;
}

static void
test_a_token_has_three_segments(const fta_keyring *keyring)
{
    char *good = sign_text(HEADER, "{" GOOD "}");
    char spoiled[1024];
    CHECK(status_of(keyring, good) == FTA_OK);
    static const char *const bad[] = {
        "", ".", "..", "...", "a", "a.b", "a..c", ".b.c", "a.b.", "a.b.c.d",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(status_of(keyring, bad[i]) == FTA_NOT_THREE_SEGMENTS);
    }
    snprintf(spoiled, sizeof spoiled, "%s.", good);
    CHECK(status_of(keyring, spoiled) == FTA_NOT_THREE_SEGMENTS);
    snprintf(spoiled, sizeof spoiled, "%s=", good);
    CHECK(status_of(keyring, spoiled) != FTA_OK);
    snprintf(spoiled, sizeof spoiled, " %s", good);
    CHECK(status_of(keyring, spoiled) == FTA_BASE64URL_INVALID);
    snprintf(spoiled, sizeof spoiled, "%s\n", good);
    CHECK(status_of(keyring, spoiled) != FTA_OK);
    /* No part of a token is a token, and no octet of it may change. */
    size_t length = strlen(good);
    for (size_t i = 0; i < length; i++) {
        snprintf(spoiled, sizeof spoiled, "%.*s", (int)i, good);
        CHECK(status_of(keyring, spoiled) != FTA_OK);
        snprintf(spoiled, sizeof spoiled, "%s", good);
        for (int octet = 1; octet < 256; octet++) {
            spoiled[i] = (char)octet;
            CHECK((status_of(keyring, spoiled) == FTA_OK) ==
                  (spoiled[i] == good[i]));
        }
    }
    free(good);
}

static void
test_each_header_has_its_status(const fta_keyring *keyring)
{
    const fta_text kid = fta_key_id(keyring->keys[0]);
    char ours[256];
    snprintf(ours, sizeof ours, "{\"kid\":\"%s\",\"alg\":\"HS256\"}", kid.data);
    CHECK(verdict(keyring, ours, "{" GOOD "}") == FTA_OK);
    static const struct {
        const char *header;
        fta_status expected;
    } examples[] = {
        {"{\"alg\":\"HS256\"}", FTA_OK},
        {" {\n\"alg\" : \"HS256\" } ", FTA_OK},
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\"}", FTA_OK},
        {"{\"typ\":\"jwt\",\"alg\":\"HS256\"}", FTA_OK},
        {"{\"typ\":\"application/jwt\",\"alg\":\"HS256\"}", FTA_OK},
        {"{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}", FTA_OK},
        {"{\"typ\":\"Application/AT+JWT\",\"alg\":\"HS256\"}", FTA_OK},
        {"{\"\\u0061lg\":\"HS\\u003256\"}", FTA_OK},
        {"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}", FTA_OK},
        {"{\"alg\":\"HS256\",\"jku\":\"https://x\",\"x5u\":1,\"x5c\":[[]]}",
         FTA_OK},
        {"{\"alg\":\"HS256\",\"cty\":\"JWT\",\"zip\":\"DEF\"}", FTA_OK},
        {"{\"alg\":\"HS256\",\"x\":{\"crit\":[],\"alg\":\"none\"}}", FTA_OK},
        {"{\"alg\":\"none\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"None\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"hs256\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"Hs256\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"HS256 \"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"HS256\\u0000\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"HS384\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"RS256\"}", FTA_ALGORITHM_MISMATCH},
        {"{\"alg\":\"XS256\"}", FTA_ALGORITHM_MISMATCH},
        {"{}", FTA_ALGORITHM_MISSING},
        {"{\"ALG\":\"HS256\"}", FTA_ALGORITHM_MISSING},
        {"{\"alg\":null}", FTA_ALGORITHM_MISSING},
        {"{\"alg\":256}", FTA_ALGORITHM_MISSING},
        {"{\"alg\":[\"HS256\"]}", FTA_ALGORITHM_MISSING},
        {"{\"alg\":{\"alg\":\"HS256\"}}", FTA_ALGORITHM_MISSING},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", FTA_JSON_NAME_REPEATED},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", FTA_JSON_NAME_REPEATED},
        {"{\"alg\":\"HS256\",\"x\":{\"y\":1,\"y\":2}}", FTA_JSON_NAME_REPEATED},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", FTA_CRIT_REFUSED},
        {"{\"alg\":\"HS256\",\"crit\":[]}", FTA_CRIT_REFUSED},
        {"{\"alg\":\"HS256\",\"crit\":null}", FTA_CRIT_REFUSED},
        {"{\"alg\":\"HS256\",\"cr\\u0069t\":0}", FTA_CRIT_REFUSED},
        {"{\"alg\":\"HS256\",\"b64\":true}", FTA_B64_REFUSED},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}",
         FTA_B64_REFUSED},
        {"{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"secevent+jwt\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"JOSE\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"application/\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"text/jwt\"}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":null}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":[\"JWT\"]}", FTA_TYP_INVALID},
        {"{\"alg\":\"HS256\",\"kid\":\"other\"}", FTA_OK},
        {"{\"alg\":\"HS256\",\"kid\":\"\"}", FTA_OK},
        {"{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", FTA_OK},
        {"{\"alg\":\"HS256\",\"kid\":null}", FTA_KID_INVALID},
        {"{\"alg\":\"HS256\",\"kid\":7}", FTA_KID_INVALID},
        {"[]", FTA_JSON_NOT_OBJECT},
        {"\"HS256\"", FTA_JSON_NOT_OBJECT},
        {"{\"alg\":\"HS256\"", FTA_JSON_INVALID},
        {"{\"alg\":\"HS256\"}}", FTA_JSON_INVALID},
        {"{\"alg\":\"HS256\",\"x\":[1,}", FTA_JSON_INVALID},
        {"{\"alg\"}", FTA_JSON_INVALID},
        {"{\"alg\":}", FTA_JSON_INVALID},
        {"\xef\xbb\xbf{\"alg\":\"HS256\"}", FTA_JSON_INVALID},
        {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", FTA_JSON_NOT_UTF8},
        {"{\"alg\":\"HS256\",\"x\":\"\\udead\"}", FTA_JSON_NOT_UTF8},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_status status = verdict(keyring, examples[i].header, "{" GOOD "}");
        CHECK(status == examples[i].expected);
        if (status != examples[i].expected) {
            fprintf(stderr, "  %s: %s\n", examples[i].header,
                    fta_status_name(status));
        }
    }
}

static void
test_a_payload_that_is_not_canonical_is_invalid(const fta_keyring *keyring)
{
    /* The signature is right, so that only the reader can find the token
     * invalid. */
    static const char *const payloads[] = {"e30=", "e3 0", "e31", "e", "e30+"};
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        char text[256], token[512];
        uint8_t tag[32];
        char *model = sign_text(HEADER, "{}");
        size_t header = (size_t)(strchr(model, '.') - model) + 1;
        int length = snprintf(text, sizeof text, "%.*s%s", (int)header, model,
                              payloads[i]);
        HMAC(EVP_sha256(), SECRET, (int)sizeof SECRET - 1,
             (const uint8_t *)text, (size_t)length, tag, NULL);
        length = snprintf(token, sizeof token, "%s.", text);
        length += (int)fta_base64url_encode(tag, 32, token + length);
        token[length] = '\0';
        CHECK(status_of(keyring, token) == FTA_BASE64URL_INVALID);
        free(model);
    }
}

/* A token that is too long is not read: here it is not even there. */
static void
test_a_token_longer_than_the_limit_is_invalid(void)
{
    char *token = sign_text(HEADER, "{" GOOD "}");
    size_t length = strlen(token);
    for (int less = 0; less < 2; less++) {
        fta_keyring *keyring = make_keyring(NULL, length - (size_t)less);
        CHECK(status_of(keyring, token) == (less ? FTA_TOO_LONG : FTA_OK));
        free_keyring(keyring);
    }
    fta_keyring *keyring = make_keyring(NULL, 8192);
    fta_claims claims;
    CHECK(verify_token(keyring, (fta_text){NULL, 8193}, NULL, &claims) ==
          FTA_TOO_LONG);
    CHECK(verify_token(keyring, (fta_text){"", 0}, NULL, &claims) ==
          FTA_NOT_THREE_SEGMENTS);
    free_keyring(keyring);
    free(token);
}

static void
test_a_token_expires_at_its_time(const fta_keyring *keyring)
{
    char payload[256];
    int64_t now = fta_clock_realtime_us() / 1000000;
    snprintf(payload, sizeof payload, "{" WHO ",\"exp\":%lld}",
             (long long)now + 1000);
    CHECK(verdict(keyring, HEADER, payload) == FTA_OK);
    fta_clock_shift((int64_t)1001 * 1000000, 0);
    CHECK(verdict(keyring, HEADER, payload) == FTA_EXPIRED);
    fta_clock_reset();
    CHECK(verdict(keyring, HEADER, payload) == FTA_OK);
}

/* --- several keys ------------------------------------------------------- */

static fta_key *
key_of(const char *algorithm, const char *kid, char fill)
{
    uint8_t secret[64];
    fta_key *key = NULL;
    fta_text id = {kid, kid == NULL ? 0 : strlen(kid)};
    memset(secret, fill, sizeof secret);
    CHECK(fta_key_from_secret(algorithm_named(algorithm), id, secret,
                              sizeof secret, false, &key) == FTA_OK);
    return key;
}

/* The status of a token of that header, signed with a secret of 64 octets
 * `fill`. */
static fta_status
signed_by(const fta_keyring *keyring, const char *header, char fill)
{
    uint8_t secret[64], tag[32];
    char *model = sign_text(header, "{" GOOD "}");
    char *dot = strrchr(model, '.');
    memset(secret, fill, sizeof secret);
    HMAC(EVP_sha256(), secret, sizeof secret, (const uint8_t *)model,
         (size_t)(dot - model), tag, NULL);
    fta_base64url_encode(tag, 32, dot + 1);
    fta_status status = status_of(keyring, model);
    free(model);
    return status;
}

static void
test_the_kid_selects_among_several_keys(void)
{
    const fta_key *keys[] = {
        key_of("HS256", "new", 'n'),   key_of("HS256", "old", 'o'),
        key_of("HS512", "old", 'p'),   key_of("HS256", "a\"b", 'q'),
        key_of("HS256", "fifth", 'r'), key_of("HS256", "sixth", 's'),
    };
    const size_t count = sizeof keys / sizeof *keys;
    fta_keyring *keyring = keyring_of_keys(keys, count);
#define KID(kid) "{\"alg\":\"HS256\",\"kid\":\"" kid "\",\"typ\":\"JWT\"}"
    CHECK(signed_by(keyring, KID("new"), 'n') == FTA_OK);
    CHECK(signed_by(keyring, KID("old"), 'o') == FTA_OK);
    CHECK(signed_by(keyring, KID("a\\\"b"), 'q') == FTA_OK);
    CHECK(signed_by(keyring, KID("fifth"), 'r') == FTA_OK);
    CHECK(signed_by(keyring, KID("sixth"), 's') == FTA_OK);
    /* Only the key of the kid is tried. */
    CHECK(signed_by(keyring, KID("new"), 'o') == FTA_SIGNATURE_MISMATCH);
    CHECK(signed_by(keyring, KID("old"), 'n') == FTA_SIGNATURE_MISMATCH);
    CHECK(signed_by(keyring, KID("older"), 'o') == FTA_KID_UNKNOWN);
    CHECK(signed_by(keyring, "{\"alg\":\"HS384\",\"kid\":\"old\"}", 'o') ==
          FTA_ALGORITHM_MISMATCH);
    /* A key of that kid with another algorithm is another key. */
    CHECK(signed_by(keyring, KID("old"), 'p') == FTA_SIGNATURE_MISMATCH);
    /* Without a kid, every key of the algorithm is tried. */
    CHECK(signed_by(keyring, HEADER, 'n') == FTA_OK);
    CHECK(signed_by(keyring, HEADER, 'o') == FTA_OK);
    CHECK(signed_by(keyring, HEADER, 's') == FTA_OK);
    CHECK(signed_by(keyring, "{ \"alg\":\"HS256\"}", 's') == FTA_OK);
    CHECK(signed_by(keyring, HEADER, 'p') == FTA_SIGNATURE_MISMATCH);
    CHECK(signed_by(keyring, HEADER, 'x') == FTA_SIGNATURE_MISMATCH);
    fta_keyring_free(keyring);
    for (size_t i = 0; i < count; i++) {
        fta_key_free((fta_key *)(uintptr_t)keys[i]);
    }
}

/* The header of a token that the key signs; valid until the next call. */
static const char *
header_of(const fta_key *key)
{
    static char header[FTA_KID_MAX + 64];
    snprintf(header, sizeof header,
             "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
             fta_key_id(key).data);
    return header;
}

/* A kid that nobody has given to a key is a hint, and the kid of a token too.
 */
static void
test_a_foreign_kid_is_tried_with_keys_without_a_given_kid(void)
{
    enum { DERIVED = 10 };
    const fta_key *keys[DERIVED + 2];
    for (size_t i = 0; i < DERIVED; i++) {
        keys[i] = key_of("HS256", NULL, (char)('a' + (int)i));
    }
    keys[DERIVED] = key_of("HS256", "given", 'y');
    keys[DERIVED + 1] = key_of("HS512", NULL, 'z');
    fta_keyring *keyring = keyring_of_keys(keys, DERIVED + 2);
    CHECK(signed_by(keyring, KID("foreign"), 'a') == FTA_OK);
    CHECK(signed_by(keyring, KID("foreign"), 'h') == FTA_OK);
    /* Eight keys are tried, and no more. */
    CHECK(signed_by(keyring, KID("foreign"), 'i') == FTA_KID_UNKNOWN);
    CHECK(signed_by(keyring, HEADER, 'h') == FTA_OK);
    CHECK(signed_by(keyring, HEADER, 'i') == FTA_SIGNATURE_MISMATCH);
    /* A key with a given kid verifies no token with another one. */
    CHECK(signed_by(keyring, KID("foreign"), 'y') == FTA_KID_UNKNOWN);
    CHECK(signed_by(keyring, KID("given"), 'y') == FTA_OK);
    /* A derived kid is a kid: only its key is tried, beyond the eighth too. */
    CHECK(signed_by(keyring, header_of(keys[DERIVED - 1]), 'j') == FTA_OK);
    CHECK(signed_by(keyring, header_of(keys[DERIVED - 1]), 'a') ==
          FTA_SIGNATURE_MISMATCH);
    /* Where a key has the kid, no other key is tried. */
    CHECK(signed_by(keyring, KID("given"), 'a') == FTA_SIGNATURE_MISMATCH);
    CHECK(signed_by(keyring, "{\"alg\":\"HS512\",\"kid\":\"given\"}", 'z') ==
          FTA_ALGORITHM_MISMATCH);
    CHECK(signed_by(keyring, "{\"alg\":\"HS384\",\"kid\":\"foreign\"}", 'a') ==
          FTA_KID_UNKNOWN);
    fta_keyring_free(keyring);
    for (size_t i = 0; i < DERIVED + 2; i++) {
        fta_key_free((fta_key *)(uintptr_t)keys[i]);
    }
}

/* The usual headers of all keys are looked up, whatever their lengths and their
 * order are, and no other text is taken for one. */
static void
test_the_usual_headers_of_every_key_are_known(void)
{
    enum { KEYS = 40 };
    static const char *const forms[] = {
        "{\"alg\":\"HS256\",\"kid\":\"%.*s%02d\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%.*s%02d\"}",
    };
    const fta_key *keys[KEYS];
    for (int i = 0; i < KEYS; i++) {
        char kid[32];
        snprintf(kid, sizeof kid, "%.*s%02d", i * 7 % 5, "kkkkk",
                 i * 13 % KEYS);
        keys[i] = key_of("HS256", kid, (char)('0' + i));
    }
    fta_keyring *keyring = keyring_of_keys(keys, KEYS);
    for (int i = 0; i < 2 * KEYS; i++) {
        char header[96], segment[FTA_BASE64_LENGTH(sizeof header)];
        int which = i % KEYS;
        snprintf(header, sizeof header, forms[i / KEYS], which * 7 % 5, "kkkkk",
                 which * 13 % KEYS);
        size_t length = fta_base64url_encode((const uint8_t *)header,
                                             strlen(header), segment);
        const fta_known_header *known =
            fta_keyring_find_header(keyring, (fta_text){segment, length});
        CHECK(known != NULL && known->key == keys[which]);
        CHECK(signed_by(keyring, header, (char)('0' + which)) == FTA_OK);
        CHECK(signed_by(keyring, header, '!') == FTA_SIGNATURE_MISMATCH);
        for (size_t at = 0; at < length; at++) {
            segment[at] ^= 1;
            known =
                fta_keyring_find_header(keyring, (fta_text){segment, length});
            CHECK(known == NULL || known->key != keys[which]);
            segment[at] ^= 1;
        }
        CHECK(fta_keyring_find_header(keyring,
                                      (fta_text){segment, length - 1}) == NULL);
    }
    CHECK(fta_keyring_find_header(keyring, (fta_text){"", 0}) == NULL);
    fta_keyring_free(keyring);
    for (size_t i = 0; i < KEYS; i++) {
        fta_key_free((fta_key *)(uintptr_t)keys[i]);
    }
}

static void
test_keyrings_that_are_not_valid(void)
{
    const fta_key *keys[] = {key_of("HS256", "a", 'a'),
                             key_of("HS256", "a", 'b')};
    fta_claim_rules *rules = usual_rules();
    fta_keyring *keyring = NULL;
    CHECK(fta_keyring_new(keys, 0, rules, 8192, &keyring) == FTA_KEYRING_EMPTY);
    CHECK(fta_keyring_new(keys, 2, rules, 8192, &keyring) == FTA_KID_REPEATED);
    CHECK(fta_keyring_new(keys, 1, rules, 0, &keyring) == FTA_BAD_ARGUMENT);
    CHECK(fta_keyring_new(keys, 1, rules, FTA_TOKEN_MAX + 1, &keyring) ==
          FTA_BAD_ARGUMENT);
    static const double wrong[] = {-1, FTA_LEEWAY_MAX + 1, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        rules->leeway = wrong[i];
        CHECK(fta_keyring_new(keys, 1, rules, 8192, &keyring) ==
              FTA_BAD_ARGUMENT);
    }
    CHECK(keyring == NULL);
    fta_claim_rules_free(rules);
    fta_keyring_free(NULL);
    for (size_t i = 0; i < 2; i++) {
        fta_key_free((fta_key *)(uintptr_t)keys[i]);
    }
}

static void
test_rules_are_copied(void)
{
    char issuer[] = "us", audience[] = "api", empty[] = "";
    fta_text audiences[] = {{empty, 0}, {audience, 3}, {NULL, 0}};
    fta_keyring *keyring =
        make_keyring(make_rules(issuer, audiences, 3, 0), 8192);
    memset(issuer, 'x', 2);
    memset(audience, 'x', 3);
    memset(audiences, 0, sizeof audiences);
    CHECK(verdict(keyring, HEADER,
                  "{" GOOD ",\"iss\":\"us\",\"aud\":\"api\"}") == FTA_OK);
    CHECK(verdict(keyring, HEADER, "{" GOOD ",\"iss\":\"us\",\"aud\":\"\"}") ==
          FTA_OK);
    CHECK(
        verdict(keyring, HEADER, "{" GOOD ",\"iss\":\"xx\",\"aud\":\"api\"}") ==
        FTA_ISS_MISMATCH);
    free_keyring(keyring);
}

/* --- key pairs ---------------------------------------------------------- */

static void
test_tokens_of_every_algorithm_verify(void)
{
    static const char *const names[] = {"RS256", "PS384", "ES512", "EdDSA"};
    for (size_t i = 0; i < 4; i++) {
        const fta_algorithm *algorithm = algorithm_named(names[i]);
        EVP_PKEY *pair = new_pair(algorithm);
        fta_key *key = NULL;
        fta_keyring *keyring = NULL;
        char header[64];
        uint8_t signature[FTA_SIGNATURE_MAX];
        CHECK(fta_key_from_pair(algorithm, (fta_text){NULL, 0}, pair, &key) ==
              FTA_OK);
        keyring = keyring_of_keys((const fta_key *const *)&key, 1);
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", names[i]);
        char *model = sign_text(header, "{" GOOD "}");
        size_t length = (size_t)(strrchr(model, '.') - model);
        size_t size = sign_rightly(pair, algorithm, model, length, signature);
        char *token = malloc(length + 2 + FTA_BASE64_LENGTH(size) + 8);
        memcpy(token, model, length + 1);
        char *end = token + length + 1;
        end += fta_base64url_encode(signature, size, end);
        *end = '\0';
        CHECK(status_of(keyring, token) == FTA_OK);
        fta_token opened;
        CHECK(fta_token_open(keyring, text_of(token), &opened) == FTA_OK &&
              fta_token_is_slow(&opened));
        fta_token_close(&opened);
        strcpy(end, "AAAA"); /* one group longer */
        CHECK(status_of(keyring, token) == FTA_SIGNATURE_MISMATCH);
        end[-4] = '\0'; /* one shorter; 64 octets leave a partial group */
        CHECK(status_of(keyring, token) != FTA_OK);
        strcpy(end - 4, "!!!!");
        CHECK(status_of(keyring, token) == FTA_BASE64URL_INVALID);
        /* An HMAC with the public key as its secret, under the name of the
         * algorithm. */
        CHECK(signed_by(keyring, HEADER, 'x') == FTA_ALGORITHM_MISMATCH);
        CHECK(status_of(keyring, model) != FTA_OK);
        free(token);
        free(model);
        fta_keyring_free(keyring);
        fta_key_free(key);
        EVP_PKEY_free(pair);
    }
}

/* Longer than any signature that there can be. */
static void
test_a_huge_signature_is_invalid(void)
{
    fta_keyring *keyring = make_keyring(NULL, 100000);
    char ours[128];
    snprintf(ours, sizeof ours, "{\"kid\":\"%s\",\"alg\":\"HS256\"}",
             fta_key_id(keyring->keys[0]).data);
    const struct {
        const char *header;
        fta_status expected;
    } examples[] = {
        {HEADER, FTA_SIGNATURE_MISMATCH},
        {ours, FTA_SIGNATURE_MISMATCH},
        {KID("foreign"), FTA_KID_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char *token = sign_text(examples[i].header, "{" GOOD "}");
        char *huge = malloc(20000);
        size_t length = (size_t)(strrchr(token, '.') - token) + 1;
        memcpy(huge, token, length);
        memset(huge + length, 'A', 16000);
        huge[length + 16000] = '\0';
        CHECK(status_of(keyring, huge) == examples[i].expected);
        free(huge);
        free(token);
    }
    free_keyring(keyring);
}

int
main(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    test_a_token_has_three_segments(keyring);
    test_each_header_has_its_status(keyring);
    test_a_payload_that_is_not_canonical_is_invalid(keyring);
    test_a_token_expires_at_its_time(keyring);
    free_keyring(keyring);
    test_a_token_longer_than_the_limit_is_invalid();
    test_the_kid_selects_among_several_keys();
    test_a_foreign_kid_is_tried_with_keys_without_a_given_kid();
    test_the_usual_headers_of_every_key_are_known();
    test_keyrings_that_are_not_valid();
    test_rules_are_copied();
    test_tokens_of_every_algorithm_verify();
    test_a_huge_signature_is_invalid();
    return check_report("test_token_verify");
}
