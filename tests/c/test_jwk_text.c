/* The JSON text of a whole key, which libjwt 3 signs with. */
#include "token/jwk.h"

#include "base/alloc.h"
#include "check.h"
#include "keys.h"
#include "tokens.h"

static const fta_text none = {NULL, 0};

/* The value of a member, which has no escapes; data NULL: absent. */
static fta_text
member_of(const char *json, const char *name)
{
    char start[16];
    snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *found = strstr(json, start);
    if (found == NULL) {
        return none;
    }
    found += strlen(start);
    return (fta_text){found, (size_t)(strchr(found, '"') - found)};
}

static fta_jwk
jwk_of_text(const char *json)
{
    return (fta_jwk){
#define X(member) .member = member_of(json, #member),
        FTA_JWK_MEMBERS(X)
#undef X
    };
}

/* Frees the text. */
static bool
ends_where_it_says(char *text, size_t length)
{
    bool ends = text[length] == '\0' && strlen(text) == length;
    fta_free_secret(text, length + 1);
    return ends;
}

/* Reads the text as any other JWK: the key is the same, and private. */
static void
check_pair(const fta_algorithm *algorithm, EVP_PKEY *pair)
{
    fta_key *key = NULL, *again = NULL;
    char *text;
    size_t length;
    CHECK(fta_key_from_pair(algorithm, none, pair, &key) == FTA_OK);
    CHECK(fta_jwk_text_of_pair(algorithm, pair, &text, &length) == FTA_OK);
    fta_jwk jwk = jwk_of_text(text);
    CHECK(jwk.kid.data == NULL && fta_text_equal(jwk.alg, algorithm->name));
    CHECK(fta_key_from_jwk(&jwk, &again) == FTA_OK);
    CHECK(fta_key_is_private(again));
    CHECK(EVP_PKEY_eq(pair, fta_key_pair(again)) == 1);
    CHECK(fta_text_equal(fta_key_id(key), fta_key_id(again)));
    if (algorithm->family == FTA_ECDSA) {
        /* RFC 7518, section 6.2.2.1: all octets of d. */
        CHECK(jwk.d.length == FTA_BASE64_LENGTH(algorithm->element_size));
    }
    fta_key_free(again);
    fta_key_free(key);
    CHECK(ends_where_it_says(text, length));
}

static void
test_the_text_of_a_pair_makes_the_same_key(void)
{
    for (size_t i = 0; i < fta_algorithm_words.count; i++) {
        const fta_algorithm *algorithm = &fta_algorithms[i];
        /* One number of P-521 in two begins with a zero octet. */
        bool once = algorithm->family != FTA_ECDSA;
        for (int n = 0; algorithm->family != FTA_HMAC && n < (once ? 1 : 20);
             n++) {
            EVP_PKEY *pair = new_pair(algorithm);
            check_pair(algorithm, pair);
            EVP_PKEY_free(pair);
        }
    }
}

static void
test_the_text_of_a_secret_holds_all_its_octets(void)
{
    static const size_t sizes[] = {1, 2, 3, 32, 64, 65, FTA_SECRET_MAX};
    static uint8_t secret[FTA_SECRET_MAX], decoded[FTA_SECRET_MAX + 3];
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *text;
        size_t length;
        CHECK(fta_jwk_text_of_secret(algorithm_named("HS384"), secret, sizes[i],
                                     &text, &length) == FTA_OK);
        fta_jwk jwk = jwk_of_text(text);
        CHECK(fta_text_is(jwk.kty, "oct") && fta_text_is(jwk.alg, "HS384"));
        CHECK(FTA_BASE64_SIZE(jwk.k.length) == sizes[i]);
        CHECK(fta_base64url_decode(jwk.k.data, jwk.k.length, decoded));
        CHECK(memcmp(decoded, secret, sizes[i]) == 0);
        CHECK(ends_where_it_says(text, length));
    }
}

static void
test_the_text_of_a_secret_is_in_the_order_of_names(void)
{
    char *text;
    size_t length;
    CHECK(fta_jwk_text_of_secret(algorithm_named("HS256"),
                                 (const uint8_t *)"secret", 6, &text,
                                 &length) == FTA_OK);
    CHECK(strcmp(text, "{\"alg\":\"HS256\",\"k\":\"c2VjcmV0\","
                       "\"kty\":\"oct\"}") == 0);
    CHECK(ends_where_it_says(text, length));
}

static void
test_a_public_key_has_no_such_text(void)
{
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    char *pem = pem_of(pair, false), *text;
    fta_key *key = NULL;
    size_t length;
    CHECK(fta_key_from_encoded(algorithm_named("ES256"), none, text_of(pem),
                               none, &key) == FTA_OK);
    CHECK(fta_jwk_text_of_pair(algorithm_named("ES256"), fta_key_pair(key),
                               &text, &length) == FTA_CRYPTO);
    fta_key_free(key);
    free(pem);
    EVP_PKEY_free(pair);
}

int
main(void)
{
    test_the_text_of_a_pair_makes_the_same_key();
    test_the_text_of_a_secret_holds_all_its_octets();
    test_the_text_of_a_secret_is_in_the_order_of_names();
    test_a_public_key_has_no_such_text();
    return check_report("test_jwk_text");
}
