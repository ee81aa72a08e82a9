/* The strict reader against libjwt: libjwt accepts what we accept and reads the
 * same claims, except what is listed here. libjwt accepts more than we do, so
 * no token from outside reaches it. */
#include "check.h"
#include "libjwt_reader.h"
#include "token/json_digest.h"

#include "base/alloc.h"

static const fta_json_seed seed = {{5, 6}};

static uint64_t
digest_of(const char *json)
{
    uint64_t digest = 0;
    char *copy = strdup(json);
    CHECK(copy != NULL &&
          fta_json_digest(copy, strlen(json), &seed, &digest) == FTA_OK);
    free(copy);
    return digest;
}

/* Whether libjwt accepts the token and reads the same payload. */
static bool
libjwt_says(const char *token, const char *payload)
{
    char *theirs = libjwt_payload(token);
    bool same = theirs != NULL && digest_of(theirs) == digest_of(payload);
    free(theirs);
    return same;
}

typedef struct example {
    const char *header;
    const char *payload;
} example;

static void
test_libjwt_gives_the_same_verdict(const fta_keyring *keyring)
{
    static const example examples[] = {
        {HEADER, "{" GOOD "}"},
        {"{\"alg\":\"HS256\"}", "{" GOOD "}"},
        {" {\n\"typ\" : \"jwt\" , \"alg\" : \"HS256\" } ", " { " GOOD " } "},
        {"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\"}}", "{" GOOD "}"},
        {HEADER, "{" WHO ",\"exp\":9000000000.5,\"nbf\":-1e3,\"iat\":1.25}"},
        {HEADER, "{" WHO ",\"\\u0065xp\":9e9,\"role\":\"\\u0061dmin\"}"},
        {HEADER, "{" GOOD ",\"iss\":\"\",\"sub\":\"x\",\"jti\":\"y\"}"},
        {HEADER, "{" GOOD ",\"x\":[[],{},[{\"a\":[null,true,false]}]]}"},
        {HEADER, "{" GOOD ",\"x\":\"\xc3\xa9\\u20ac\\ud83d\\ude00\x7f\"}"},
        {HEADER, "{" GOOD ",\"x\":9223372036854775807,\"y\":-5e-324}"},
        {HEADER, "{" GOOD ",\"x\":-0,\"y\":-0.0,\"z\":1.0,\"\":\"\"}"},
        {HEADER, "{" GOOD ",\"x\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\"}"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char *token = sign_text(examples[i].header, examples[i].payload);
        CHECK(verdict(keyring, examples[i].header, examples[i].payload) ==
              FTA_OK);
        CHECK(libjwt_says(token, examples[i].payload));
        free(token);
    }
}

/* What libjwt's jansson cannot hold. */
static void
test_the_verdicts_differ_where_libjwt_is_less_exact(const fta_keyring *keyring)
{
    static const example examples[] = {
        {HEADER, "{" GOOD ",\"x\":\"\\u0000\"}"},
        {HEADER, "{" GOOD ",\"x\":9223372036854775808}"},
        {HEADER, "{" GOOD ",\"x\":1e999}"},
        {HEADER, "{" WHO ",\"exp\":99999999999999999999}"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char *token = sign_text(examples[i].header, examples[i].payload);
        CHECK(verdict(keyring, examples[i].header, examples[i].payload) ==
              FTA_OK);
        CHECK(!libjwt_says(token, examples[i].payload));
        free(token);
    }
}

/* Types of token that we accept and libjwt 1.10 does not. 1.17 accepts them. */
static void
test_only_we_accept_the_other_types_of_tokens(const fta_keyring *keyring)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"application/jwt\"}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        CHECK(verdict(keyring, headers[i], "{" GOOD "}") == FTA_OK);
    }
}

/* One octet of the payload changes at a time. libjwt accepts each payload that
 * we accept. */
static void
test_libjwt_accepts_the_changed_payloads_we_accept(const fta_keyring *keyring)
{
    static const char payload[] =
        "{" GOOD ",\"x\":{\"a\":[1,-2.5e3,\"b\\n\"],\"c\":null}}";
    static const char octets[] = "{}[]\",:\\ 019eE+-.truflasn\n\t";
    char changed[sizeof payload];
    long taken = 0;
    for (size_t place = 0; place < sizeof payload - 1; place++) {
        for (size_t i = 0; i < sizeof octets - 1; i++) {
            memcpy(changed, payload, sizeof payload);
            changed[place] = octets[i];
            if (verdict(keyring, HEADER, changed) == FTA_OK) {
                char *token = sign_text(HEADER, changed);
                CHECK(libjwt_says(token, changed));
                free(token);
                taken++;
            }
        }
    }
    CHECK(taken > 100);
}

int
main(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    test_libjwt_gives_the_same_verdict(keyring);
    test_the_verdicts_differ_where_libjwt_is_less_exact(keyring);
    test_only_we_accept_the_other_types_of_tokens(keyring);
    test_libjwt_accepts_the_changed_payloads_we_accept(keyring);
    free_keyring(keyring);
    return check_report("test_libjwt_agrees");
}
