#include "token/claims_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "guarded.h"
#include "token/claims_write.h"
#include "tokens.h"

#define NOW 2000000000.0

static const fta_json_seed seed = {{1, 2}};
static fta_claims last;

static fta_status
read_with(const char *payload, fta_claim_rules *rules)
{
    guarded copy = guarded_copy(payload, strlen(payload));
    const fta_claim_reader how = {.rules = rules, .seed = &seed, .now = NOW};
    fta_status status =
        fta_claims_read(&how, copy.text, strlen(payload), &last);
    guarded_free(&copy);
    return status;
}

static fta_status
read_one(const char *payload)
{
    fta_claim_rules *rules = usual_rules();
    fta_status status = read_with(payload, rules);
    fta_claim_rules_free(rules);
    return status;
}

static void
test_claims_become_values(void)
{
    char text[FTA_UUID_TEXT];
    CHECK(read_one("{\"tenant_id\":\"6F0B1C2E-3D4A-4B5C-8D6E-7F8091A2B3C4\","
                   "\"user_id\":\"" USER "\",\"role\":\"admin\","
                   "\"exp\":2000000000.5}") == FTA_OK);
    fta_uuid_format(&last.tenant_id, text);
    CHECK(memcmp(text, TENANT, FTA_UUID_TEXT) == 0);
    fta_uuid_format(&last.user_id, text);
    CHECK(memcmp(text, USER, FTA_UUID_TEXT) == 0);
    CHECK(last.role == ROLE_ADMIN);
    CHECK(last.expires_at == 2000000000.5);
    CHECK(read_one("{" GOOD "}") == FTA_OK && last.role == ROLE_USER);
}

typedef struct example {
    const char *payload;
    fta_status expected;
} example;

static void
test_each_claim_has_its_kind(void)
{
    static const example examples[] = {
        {"{" GOOD "}", FTA_OK},
        {" { " GOOD " } ", FTA_OK},
        {"{" GOOD ",\"iat\":1,\"nbf\":1,\"sub\":\"\",\"jti\":\"\"}", FTA_OK},
        {"{" GOOD ",\"iss\":\"anyone\"}", FTA_OK},
        {"{" GOOD ",\"iat\":3e9}", FTA_OK}, /* its clock is ahead of ours */
        {"{" GOOD ",\"x\":{\"exp\":null,\"aud\":1,\"role\":[]}}", FTA_OK},
        {"{" GOOD ",\"x\":[\"exp\",{\"tenant_id\":5}],\"y\":1e999}", FTA_OK},
        {"{\"\\u0065\\u0078p\":9e9," WHO "}", FTA_OK},
        {"[]", FTA_JSON_NOT_OBJECT},
        {"\"exp\"", FTA_JSON_NOT_OBJECT},
        {"null", FTA_JSON_NOT_OBJECT},
        {"", FTA_JSON_INVALID},
        {"{" GOOD "}}", FTA_JSON_INVALID},
        {"{" GOOD "}x", FTA_JSON_INVALID},
        {"{" GOOD "} {}", FTA_JSON_INVALID},
        {"{" GOOD ",\"exp\":1}", FTA_JSON_NAME_REPEATED},
        {"{" GOOD ",\"\\u0065xp\":1}", FTA_JSON_NAME_REPEATED},
        {"{}", FTA_TENANT_ID_MISSING},
        {"{\"user_id\":\"" USER "\"," FUTURE "}", FTA_TENANT_ID_MISSING},
        {"{\"tenant_id\":\"" TENANT "\"," FUTURE "}", FTA_USER_ID_MISSING},
        {"{" WHO "}", FTA_EXP_MISSING},
        {"{" WHO ",\"EXP\":9e9}", FTA_EXP_MISSING},
        {"{" WHO ",\"exp \":9e9}", FTA_EXP_MISSING},
        {"{" WHO ",\"exp\":\"9000000000\"}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":true}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":null}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":[9000000000]}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":{}}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":1e400}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":-1e400}", FTA_EXP_INVALID},
        {"{" WHO ",\"exp\":1e300}", FTA_OK},
        {"{" WHO ",\"exp\":99999999999999999999999999}", FTA_OK},
        {"{" WHO ",\"exp\":9e9}", FTA_OK},
        {"{" WHO ",\"exp\":20000000001e-1}", FTA_OK},
        {"{" WHO ",\"exp\":2000000000.000001}", FTA_OK},
        {"{" WHO ",\"exp\":2000000000}", FTA_EXPIRED},
        {"{" WHO ",\"exp\":1999999999.999}", FTA_EXPIRED},
        {"{" WHO ",\"exp\":0}", FTA_EXPIRED},
        {"{" WHO ",\"exp\":-1}", FTA_EXPIRED},
        {"{" WHO ",\"exp\":-9e18}", FTA_EXPIRED},
        {"{" GOOD ",\"nbf\":2000000000}", FTA_OK},
        {"{" GOOD ",\"nbf\":2000000000.5}", FTA_NOT_YET_VALID},
        {"{" GOOD ",\"nbf\":-5}", FTA_OK},
        {"{" GOOD ",\"nbf\":\"1\"}", FTA_NBF_INVALID},
        {"{" GOOD ",\"nbf\":null}", FTA_NBF_INVALID},
        {"{" GOOD ",\"nbf\":1e999}", FTA_NBF_INVALID},
        {"{" GOOD ",\"iat\":\"1\"}", FTA_IAT_INVALID},
        {"{" GOOD ",\"iat\":false}", FTA_IAT_INVALID},
        {"{" GOOD ",\"iat\":-1e999}", FTA_IAT_INVALID},
        {"{" GOOD ",\"iss\":1}", FTA_ISS_INVALID},
        {"{" GOOD ",\"iss\":[\"a\"]}", FTA_ISS_INVALID},
        {"{" GOOD ",\"sub\":1}", FTA_SUB_INVALID},
        {"{" GOOD ",\"sub\":null}", FTA_SUB_INVALID},
        {"{" GOOD ",\"jti\":1}", FTA_JTI_INVALID},
        {"{" GOOD ",\"aud\":1}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":null}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":{}}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":[1]}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":[\"a\",[\"b\"]]}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":[{\"a\":\"b\"}]}", FTA_AUD_INVALID},
        {"{" GOOD ",\"aud\":[[}", FTA_JSON_INVALID},
        {"{" GOOD ",\"aud\":[\"a\"", FTA_JSON_INVALID},
        {"{" GOOD ",\"aud\":\"a\"}", FTA_AUD_UNEXPECTED},
        {"{" GOOD ",\"aud\":[]}", FTA_AUD_UNEXPECTED},
        {"{" GOOD ",\"role\":\"user\"}", FTA_OK},
        {"{" GOOD ",\"role\":\"root\"}", FTA_OK},
        {"{" GOOD ",\"role\":\"ADMIN\"}", FTA_OK},
        {"{" GOOD ",\"role\":\"admin\\u0000\"}", FTA_OK},
        {"{" GOOD ",\"role\":\"\"}", FTA_OK},
        {"{" GOOD ",\"role\":null}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":{}}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":[\"admin\",1]}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":[[\"admin\"]]}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"type\":\"refresh\"}", FTA_TOKEN_USE_REFUSED},
        {"{" GOOD ",\"typ\":\"ReFresh\"}", FTA_TOKEN_USE_REFUSED},
        {"{" GOOD ",\"token_use\":\"ID\"}", FTA_TOKEN_USE_REFUSED},
        {"{" GOOD ",\"type\":\"i\"}", FTA_OK},
        {"{" GOOD ",\"type\":\"id \"}", FTA_OK},
        {"{" GOOD ",\"type\":[\"id\"]}", FTA_OK},
        {"{" GOOD ",\"act\":{}}", FTA_OK},
        {"{" GOOD ",\"act\":{\"sub\":\"x\"}}", FTA_OK},
        {"{" GOOD ",\"act\":{\"tenant_id\":\"" TENANT "\"}}", FTA_OK},
        {"{" GOOD ",\"act\":{\"tenant_id\":\"" USER "\"}}", FTA_ACTOR_FOREIGN},
        {"{" GOOD ",\"act\":{\"tenant_id\":1}}", FTA_ACT_TENANT_ID_INVALID},
        {"{" GOOD ",\"act\":{\"sub\":1}}", FTA_ACT_SUB_INVALID},
        {"{" GOOD ",\"act\":\"x\"}", FTA_ACT_INVALID},
        {"{" GOOD ",\"act\":[{\"sub\":1}]}", FTA_ACT_INVALID},
        {"{" GOOD ",\"role\":[\"admin\"]}", FTA_OK},
        {"{" FUTURE ",\"user_id\":\"" USER "\",\"tenant_id\":1}",
         FTA_TENANT_ID_INVALID},
        {"{" FUTURE ",\"user_id\":\"" USER "\",\"tenant_id\":\"\"}",
         FTA_TENANT_ID_INVALID},
        {"{" FUTURE ",\"user_id\":\"" USER
         "\",\"tenant_id\":\"6f0b1c2e3d4a4b5c8d6e7f8091a2b3c4\"}",
         FTA_TENANT_ID_INVALID},
        {"{" FUTURE ",\"tenant_id\":\"" TENANT "\",\"user_id\":null}",
         FTA_USER_ID_INVALID},
        {"{" FUTURE ",\"tenant_id\":\"" TENANT "\",\"user_id\":\"" USER
         "\\u0000\"}",
         FTA_USER_ID_INVALID},
        /* malformed JSON is reported before an invalid claim, and that before
         * expiry */
        {"{" WHO ",\"exp\":\"\",\"x\":}", FTA_JSON_INVALID},
        {"{" WHO ",\"exp\":1,\"role\":5}", FTA_ROLE_INVALID},
        {"{" WHO ",\"exp\":1,\"aud\":\"a\"}", FTA_AUD_UNEXPECTED},
        {"{" WHO ",\"exp\":\"\",\"role\":1}", FTA_EXP_INVALID},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_status status = read_one(examples[i].payload);
        CHECK(status == examples[i].expected);
        if (status != examples[i].expected) {
            fprintf(stderr, "  %s: %s\n", examples[i].payload,
                    fta_status_name(status));
        }
    }
}

static void
test_leeway_moves_exp_and_nbf(void)
{
    fta_claim_rules *rules = make_rules(NULL, NULL, 0, 10);
    CHECK(read_with("{" WHO ",\"exp\":1999999990.5}", rules) == FTA_OK);
    CHECK(read_with("{" WHO ",\"exp\":1999999990}", rules) == FTA_EXPIRED);
    CHECK(read_with("{" GOOD ",\"nbf\":2000000010}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"nbf\":2000000010.5}", rules) ==
          FTA_NOT_YET_VALID);
    fta_claim_rules_free(rules);
}

static void
test_the_issuer_must_be_ours(void)
{
    fta_claim_rules *rules = make_rules("us", NULL, 0, 0);
    CHECK(read_with("{" GOOD ",\"iss\":\"us\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"iss\":\"\\u0075s\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"iss\":\"US\"}", rules) == FTA_ISS_MISMATCH);
    CHECK(read_with("{" GOOD ",\"iss\":\"us\\u0000\"}", rules) ==
          FTA_ISS_MISMATCH);
    CHECK(read_with("{" GOOD "}", rules) == FTA_ISS_MISMATCH);
    fta_claim_rules_free(rules);
}

static void
test_one_audience_must_be_ours(void)
{
    const fta_text ours[] = {{"api", 3}, {"mail", 4}};
    fta_claim_rules *rules = make_rules(NULL, ours, 2, 0);
    CHECK(read_with("{" GOOD ",\"aud\":\"api\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":\"mail\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":[\"x\",\"mail\"]}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":\"x\"}", rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[]}", rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[\"ap\",\"apis\"]}", rules) ==
          FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD "}", rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[\"api\",1]}", rules) ==
          FTA_AUD_INVALID);
    CHECK(read_with("{" GOOD ",\"x\":{\"aud\":\"api\"}}", rules) ==
          FTA_AUD_MISMATCH);
    fta_claim_rules_free(rules);
}

/* Counts the two ids in lower case, and the other claim unchanged. */
static bool
see_ids(void *context, const fta_json_event *event)
{
    int *seen = context;
    if (event->kind == FTA_JSON_STRING) {
        *seen += fta_text_is(event->text, TENANT) ||
                 fta_text_is(event->text, USER) ||
                 fta_text_is(event->text, "ABCDEF");
    }
    return true;
}

static void
test_ids_are_seen_in_lower_case(void)
{
    char payload[] = "{\"tenant_id\":\"6F0B1C2E-3D4A-4B5C-8D6E-7F8091A2B3C4\","
                     "\"user_id\":\"550E8400-E29B-41D4-A716-446655440000\","
                     "\"other\":\"ABCDEF\"," FUTURE "}";
    fta_claim_rules *rules = usual_rules();
    int seen = 0;
    fta_json_sink sink = {see_ids, &seen};
    const fta_claim_reader how = {rules, &seed, &sink, NULL, NOW, NULL};
    CHECK(fta_claims_read(&how, payload, sizeof payload - 1, &last) == FTA_OK);
    CHECK(seen == 3);
    fta_claim_rules_free(rules);
}

static bool
refuse(void *context, const fta_json_event *event)
{
    return event->kind != *(const fta_json_kind *)context;
}

/* A sink may stop anywhere, also inside a claim. */
static void
test_a_sink_stops_the_reading(void)
{
    static const fta_json_kind kinds[] = {
        FTA_JSON_OBJECT, FTA_JSON_NAME,       FTA_JSON_STRING,
        FTA_JSON_ARRAY,  FTA_JSON_OBJECT_END, FTA_JSON_ARRAY_END,
        FTA_JSON_TRUE,   FTA_JSON_NULL,
    };
    fta_claim_rules *rules = usual_rules();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char payload[] = "{\"aud\":[[true]],\"x\":[null],\"role\":\"user\"}";
        fta_json_kind kind = kinds[i];
        fta_json_sink sink = {refuse, &kind};
        const fta_claim_reader how = {rules, &seed, &sink, NULL, NOW, NULL};
        CHECK(fta_claims_read(&how, payload, sizeof payload - 1, &last) ==
              FTA_STOPPED);
    }
    fta_claim_rules_free(rules);
}

/* The block has exactly the size of fta_claims_room, so that ASan finds an
 * octet too many. Frees the rules. */
static bool
writes(const fta_claims *claims, fta_claim_rules *rules, const char *expected)
{
    char *out = malloc(fta_claims_room(claims, rules));
    size_t length = fta_claims_write(claims, rules, out);
    bool same =
        length == strlen(expected) && memcmp(out, expected, length) == 0;
    if (!same) {
        fprintf(stderr, "  %.*s\n", (int)length, out);
    }
    free(out);
    fta_claim_rules_free(rules);
    return same;
}

static void
test_claims_are_written_as_members(void)
{
    const fta_text ours[] = {{"a\"", 2}, {"\x01", 1}};
    fta_claims claims = {.present = 0};
    CHECK(writes(&claims, usual_rules(), ""));
    CHECK(writes(&claims, make_rules(NULL, ours, 1, 0), "\"aud\":\"a\\\"\""));
    claims = (fta_claims){.present = 1u << FTA_CLAIM_EXP, .expires_at = 1e300};
    CHECK(writes(&claims, usual_rules(), "\"exp\":9007199254740992"));
    claims.expires_at = -1e300;
    CHECK(writes(&claims, usual_rules(), "\"exp\":-9007199254740992"));
    CHECK(read_one("{" GOOD ",\"role\":\"admin\",\"nbf\":-1.5,"
                   "\"iat\":17,\"jti\":\"x\"}") == FTA_OK);
    CHECK(writes(&last, make_rules("us", ours, 2, 0),
                 WHO "," FUTURE ",\"role\":\"admin\",\"nbf\":-1,"
                     "\"iat\":17,\"iss\":\"us\","
                     "\"aud\":[\"a\\\"\",\"\\u0001\"]"));
    last.present |= 1u << FTA_CLAIM_ACT_SUB;
    last.present &= ~(1u << FTA_CLAIM_IAT | 1u << FTA_CLAIM_NBF);
    last.actor = text_of("x\"");
    CHECK(writes(&last, usual_rules(),
                 WHO "," FUTURE ",\"role\":\"admin\","
                     "\"act\":{\"sub\":\"x\\\"\"}"));
}

/* What is written is read again as it was, under the same rules. */
static void
test_written_claims_are_read_again(void)
{
    const fta_text ours[] = {{"api\xff", 4}, {"m\xe2\x80\xae", 4}};
    const fta_text read[] = {{"api\xef\xbf\xbd", 6}, {"m\xe2\x80\xae", 4}};
    fta_claim_rules *rules = make_rules("u\\s", ours, 2, 0);
    fta_claim_rules *other = make_rules("u\\s", read, 2, 0);
    fta_claims claims;
    CHECK(read_one("{" GOOD ",\"role\":\"admin\"}") == FTA_OK);
    claims = last;
    char *payload = malloc(fta_claims_room(&claims, rules) + 2);
    size_t length = fta_claims_write(&claims, rules, payload + 1) + 2;
    payload[0] = '{';
    payload[length - 1] = '}';
    const fta_claim_reader how = {other, &seed, NULL, NULL, NOW, NULL};
    CHECK(fta_claims_read(&how, payload, length, &last) == FTA_OK);
    CHECK(fta_uuid_equal(&last.tenant_id, &claims.tenant_id));
    CHECK(fta_uuid_equal(&last.user_id, &claims.user_id));
    CHECK(last.role == claims.role && last.expires_at == claims.expires_at);
    free(payload);
    fta_claim_rules_free(other);
    fta_claim_rules_free(rules);
}

/* Without a time, exp and nbf are not compared, and the rest is. */
static void
test_a_reader_without_a_time_compares_none(void)
{
    fta_claim_rules *rules = usual_rules();
    const fta_claim_reader how = {rules, &seed, NULL, NULL, NAN, NULL};
    char expired[] = "{" WHO ",\"exp\":1,\"nbf\":9e9}";
    char invalid[] = "{" WHO ",\"exp\":1,\"nbf\":\"\"}";
    CHECK(fta_claims_read(&how, expired, sizeof expired - 1, &last) == FTA_OK);
    CHECK(fta_claims_read(&how, invalid, sizeof invalid - 1, &last) ==
          FTA_NBF_INVALID);
    fta_claim_rules_free(rules);
}

static bool
is_written(const fta_claim_rules *rules, const char *name)
{
    uint16_t node = FTA_CLAIM_ROOT;
    while ((node = fta_claims_next_written(rules, node)) != FTA_CLAIM_ROOT) {
        if (fta_text_equal(rules->tree.nodes[node].name, text_of(name))) {
            return true;
        }
    }
    return false;
}

static void
test_the_core_names_the_claims_it_writes(void)
{
    static const char *const core[] = {"tenant_id", "user_id", "exp",
                                       "role",      "nbf",     "iat",
                                       "iss",       "aud",     "act"};
    static const char *const others[] = {
        "sub", "jti", "sid", "permissions", "type", "typ", "token_use", ""};
    fta_claim_rules *rules = usual_rules();
    for (size_t i = 0; i < sizeof core / sizeof *core; i++) {
        CHECK(is_written(rules, core[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK(!is_written(rules, others[i]));
    }
    fta_claim_rules_free(rules);
}

int
main(void)
{
    test_claims_become_values();
    test_each_claim_has_its_kind();
    test_leeway_moves_exp_and_nbf();
    test_the_issuer_must_be_ours();
    test_one_audience_must_be_ours();
    test_ids_are_seen_in_lower_case();
    test_a_sink_stops_the_reading();
    test_claims_are_written_as_members();
    test_written_claims_are_read_again();
    test_a_reader_without_a_time_compares_none();
    test_the_core_names_the_claims_it_writes();
    return check_report("test_claims");
}
