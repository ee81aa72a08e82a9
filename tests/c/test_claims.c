#include "token/claims.h"

#include <string.h>

#include "check.h"
#include "guarded.h"
#include "tokens.h"

#define NOW 2000000000.0

static const fta_json_seed seed = {{1, 2}};
static fta_claims last;

static fta_status
read_with(const char *payload, const fta_claim_rules *rules)
{
    guarded copy = guarded_copy(payload, strlen(payload));
    fta_status status = fta_claims_read(copy.text, strlen(payload), rules,
                                        &seed, NOW, NULL, &last);
    guarded_free(&copy);
    return status;
}

static fta_status
read_one(const char *payload)
{
    static const fta_claim_rules none = {.leeway = 0};
    return read_with(payload, &none);
}

static void
test_only_exact_names_of_roles_are_read(void)
{
    fta_role role = FTA_ROLE_USER;
    CHECK(fta_role_parse(text_of("admin"), &role) && role == FTA_ROLE_ADMIN);
    CHECK(fta_role_parse(text_of("user"), &role) && role == FTA_ROLE_USER);
    CHECK(!fta_role_parse(text_of("Admin"), &role));
    CHECK(!fta_role_parse(text_of("admi"), &role));
    CHECK(!fta_role_parse(text_of("admins"), &role));
    CHECK(!fta_role_parse(text_of(""), &role));
    CHECK(strcmp(fta_role_text(FTA_ROLE_ADMIN), "admin") == 0);
    CHECK(strcmp(fta_role_text(FTA_ROLE_COUNT), "") == 0);
}

static void
test_the_claims_are_returned(void)
{
    char text[FTA_UUID_TEXT];
    CHECK(read_one("{\"tenant_id\":\"6F0B1C2E-3D4A-4B5C-8D6E-7F8091A2B3C4\","
                   "\"user_id\":\"" USER "\",\"role\":\"admin\","
                   "\"exp\":2000000000.5}") == FTA_OK);
    fta_uuid_format(&last.tenant_id, text);
    CHECK(memcmp(text, TENANT, FTA_UUID_TEXT) == 0);
    fta_uuid_format(&last.user_id, text);
    CHECK(memcmp(text, USER, FTA_UUID_TEXT) == 0);
    CHECK(last.role == FTA_ROLE_ADMIN);
    CHECK(last.expires_at == 2000000000.5);
    CHECK(read_one("{" GOOD "}") == FTA_OK && last.role == FTA_ROLE_USER);
}

typedef struct example {
    const char *payload;
    fta_status expected;
} example;

static void
test_each_claim_follows_its_rule(void)
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
        {"{" GOOD ",\"role\":\"root\"}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":\"ADMIN\"}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":\"admin\\u0000\"}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":\"\"}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":null}", FTA_ROLE_INVALID},
        {"{" GOOD ",\"role\":[\"admin\"]}", FTA_ROLE_INVALID},
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
        /* broken JSON outweighs a wrong claim, a wrong claim expiry */
        {"{" WHO ",\"exp\":\"\",\"x\":}", FTA_JSON_INVALID},
        {"{" WHO ",\"exp\":1,\"role\":\"root\"}", FTA_ROLE_INVALID},
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
test_leeway_moves_expiry_and_not_before(void)
{
    const fta_claim_rules rules = {.leeway = 10};
    CHECK(read_with("{" WHO ",\"exp\":1999999990.5}", &rules) == FTA_OK);
    CHECK(read_with("{" WHO ",\"exp\":1999999990}", &rules) == FTA_EXPIRED);
    CHECK(read_with("{" GOOD ",\"nbf\":2000000010}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"nbf\":2000000010.5}", &rules) ==
          FTA_NOT_YET_VALID);
}

static void
test_the_issuer_must_be_the_configured_one(void)
{
    const fta_claim_rules rules = {.issuer = {"us", 2}};
    CHECK(read_with("{" GOOD ",\"iss\":\"us\"}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"iss\":\"\\u0075s\"}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"iss\":\"US\"}", &rules) == FTA_ISS_MISMATCH);
    CHECK(read_with("{" GOOD ",\"iss\":\"us\\u0000\"}", &rules) ==
          FTA_ISS_MISMATCH);
    CHECK(read_with("{" GOOD "}", &rules) == FTA_ISS_MISMATCH);
}

static void
test_one_audience_must_be_a_configured_one(void)
{
    const fta_text ours[] = {{"api", 3}, {"mail", 4}};
    const fta_claim_rules rules = {.audiences = ours, .audience_count = 2};
    CHECK(read_with("{" GOOD ",\"aud\":\"api\"}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":\"mail\"}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":[\"x\",\"mail\"]}", &rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"aud\":\"x\"}", &rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[]}", &rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[\"ap\",\"apis\"]}", &rules) ==
          FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD "}", &rules) == FTA_AUD_MISMATCH);
    CHECK(read_with("{" GOOD ",\"aud\":[\"api\",1]}", &rules) ==
          FTA_AUD_INVALID);
    CHECK(read_with("{" GOOD ",\"x\":{\"aud\":\"api\"}}", &rules) ==
          FTA_AUD_MISMATCH);
}

/* Whether both ids came in lower case, and another claim as it was. */
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
    const fta_claim_rules rules = {.leeway = 0};
    int seen = 0;
    fta_json_sink sink = {see_ids, &seen};
    CHECK(fta_claims_read(payload, sizeof payload - 1, &rules, &seed, NOW,
                          &sink, &last) == FTA_OK);
    CHECK(seen == 3);
}

static bool
refuse(void *context, const fta_json_event *event)
{
    return event->kind != *(const fta_json_kind *)context;
}

/* A sink may stop anywhere, the insides of claims included. */
static void
test_a_sink_can_stop_at_any_event(void)
{
    static const fta_json_kind kinds[] = {
        FTA_JSON_OBJECT, FTA_JSON_NAME,       FTA_JSON_STRING,
        FTA_JSON_ARRAY,  FTA_JSON_OBJECT_END, FTA_JSON_ARRAY_END,
        FTA_JSON_TRUE,   FTA_JSON_NULL,
    };
    const fta_claim_rules rules = {.leeway = 0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char payload[] = "{\"aud\":[[true]],\"x\":[null],\"role\":\"user\"}";
        fta_json_kind kind = kinds[i];
        fta_json_sink sink = {refuse, &kind};
        CHECK(fta_claims_read(payload, sizeof payload - 1, &rules, &seed, NOW,
                              &sink, &last) == FTA_STOPPED);
    }
}

int
main(void)
{
    test_only_exact_names_of_roles_are_read();
    test_the_claims_are_returned();
    test_each_claim_follows_its_rule();
    test_leeway_moves_expiry_and_not_before();
    test_the_issuer_must_be_the_configured_one();
    test_one_audience_must_be_a_configured_one();
    test_ids_are_seen_in_lower_case();
    test_a_sink_can_stop_at_any_event();
    return check_report("test_claims");
}
