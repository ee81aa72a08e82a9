/* Places that several claims share, and claims that several places have: which
 * of them counts, in whatever order a payload has them. */
#include "token/claims_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "tokens.h"

#define NOW 2000000000.0
#define UPPER "6F0B1C2E-3D4A-4B5C-8D6E-7F8091A2B3C4"
#define THIRD "0d9f8e7d-6c5b-4a39-9827-16f5e4d3c2b1"

static const fta_json_seed seed = {{1, 2}};
static fta_claims last;

static bool
accept_all(void *context, const fta_json_event *event)
{
    (void)event;
    ++*(int *)context;
    return true;
}

/* The status, which a sink must not change. */
static fta_status
read_with(const char *payload, fta_claim_rules *rules)
{
    int seen = 0;
    const fta_json_sink sink = {accept_all, &seen};
    char *copy = strdup(payload), *shown = strdup(payload);
    fta_claim_reader how = {.rules = rules, .seed = &seed, .now = NOW};
    fta_claims ignored;
    fta_status status = fta_claims_read(&how, copy, strlen(payload), &last);
    how.sink = &sink;
    CHECK(fta_claims_read(&how, shown, strlen(payload), &ignored) == status);
    CHECK(seen > 0);
    free(shown);
    free(copy);
    return status;
}

static void
place(fta_claim_rules *rules, fta_claim claim, const char *text)
{
    CHECK(fta_claim_rules_add_place(rules, claim, text_of(text)) == FTA_OK);
}

static bool
is_uuid(const fta_uuid *uuid, const char *expected)
{
    char text[FTA_UUID_TEXT];
    fta_uuid_format(uuid, text);
    return memcmp(text, expected, FTA_UUID_TEXT) == 0;
}

/* Three places, in each of the six orders of a payload. */
static void
test_the_first_of_three_places_counts_in_any_order(void)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    /* What stands at the places a, /b/0 and /c/d; which counts, or none. */
    static const struct {
        const char *members[3];
        int counts;
        fta_status expected;
    } examples[] = {
        {{"\"a\":\"" USER "\"", "\"b\":[\"" THIRD "\"]",
          "\"c\":{\"d\":\"" TENANT "\"}"},
         0,
         FTA_OK},
        {{"\"A\":\"" USER "\"", "\"b\":[\"" THIRD "\"]", "\"c\":{\"d\":1}"},
         1,
         FTA_OK},
        {{"\"a\":\"" USER "\"", "\"b\":[1]", "\"c\":{\"d\":{}}"}, 0, FTA_OK},
        {{"\"x\":0", "\"b\":[]", "\"c\":{\"d\":\"" TENANT "\"}"}, 2, FTA_OK},
        {{"\"x\":0", "\"b\":{\"0\":\"" THIRD "\"}", "\"c\":{\"d\":null}"},
         1,
         FTA_OK},
        {{"\"a\":null", "\"b\":[\"" THIRD "\"]",
          "\"c\":{\"d\":\"" TENANT "\"}"},
         -1,
         FTA_USER_ID_INVALID},
        {{"\"x\":0", "\"b\":[[\"" THIRD "\"]]", "\"c\":{\"d\":\"" TENANT "\"}"},
         -1,
         FTA_USER_ID_INVALID},
        {{"\"x\":0", "\"b\":\"" THIRD "\"", "\"c\":[\"" TENANT "\"]"},
         -1,
         FTA_USER_ID_MISSING},
    };
    static const char *const ids[] = {USER, THIRD, TENANT};
    fta_claim_rules *rules = begin_rules();
    place(rules, FTA_CLAIM_USER_ID, "a");
    place(rules, FTA_CLAIM_USER_ID, "/b/0");
    place(rules, FTA_CLAIM_USER_ID, "/c/d");
    finish_rules(rules);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        for (size_t n = 0; n < 6; n++) {
            char payload[1024];
            snprintf(payload, sizeof payload,
                     "{%s,\"tenant_id\":\"" TENANT "\",%s,%s," FUTURE "}",
                     examples[i].members[orders[n][0]],
                     examples[i].members[orders[n][1]],
                     examples[i].members[orders[n][2]]);
            fta_status status = read_with(payload, rules);
            CHECK(status == examples[i].expected);
            CHECK(status != FTA_OK ||
                  is_uuid(&last.user_id, ids[examples[i].counts]));
        }
    }
    fta_claim_rules_free(rules);
}

/* A list that is no longer asked for does not grow what counts. */
static void
test_lists_at_several_places_do_not_mix(void)
{
    static const struct {
        const char *members;
        fta_status expected;
        fta_role role;
        bool is_default;
    } examples[] = {
        {"\"r\":[\"user\"],\"s\":[\"admin\"]", FTA_OK, ROLE_USER, false},
        {"\"s\":[\"admin\"],\"r\":[\"user\"]", FTA_OK, ROLE_USER, false},
        {"\"s\":[\"admin\"],\"r\":[]", FTA_OK, ROLE_USER, true},
        {"\"r\":[\"x\"],\"s\":\"admin\"", FTA_OK, ROLE_USER, true},
        {"\"s\":\"admin\"", FTA_OK, ROLE_ADMIN, false},
        {"\"s\":[1],\"r\":\"admin\"", FTA_OK, ROLE_ADMIN, false},
        {"\"r\":\"admin\",\"s\":[1]", FTA_OK, ROLE_ADMIN, false},
        {"\"r\":[\"admin\",1],\"s\":\"user\"", FTA_ROLE_INVALID, 0, false},
        {"\"s\":\"user\",\"r\":[\"admin\",[]]", FTA_ROLE_INVALID, 0, false},
        /* /r/1/x is a place inside a list that is another place. */
        {"\"r\":[\"admin\",{\"x\":\"user\"}]", FTA_OK, ROLE_USER, false},
        {"\"r\":{\"1\":{\"x\":\"admin\"}}", FTA_OK, ROLE_ADMIN, false},
        {"\"r\":[\"user\",{\"x\":[\"user\",\"admin\"]},\"user\"]", FTA_OK,
         ROLE_ADMIN, false},
        {"\"r\":[\"user\",{\"x\":[1]},\"user\"]", FTA_ROLE_INVALID, 0, false},
    };
    fta_claim_rules *rules = begin_rules();
    place(rules, FTA_CLAIM_ROLE, "/r/1/x");
    place(rules, FTA_CLAIM_ROLE, "r");
    place(rules, FTA_CLAIM_ROLE, "s");
    finish_rules(rules);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char payload[512];
        snprintf(payload, sizeof payload, "{" GOOD ",%s}", examples[i].members);
        fta_status status = read_with(payload, rules);
        CHECK(status == examples[i].expected);
        CHECK(status != FTA_OK || last.role == examples[i].role);
        CHECK(status != FTA_OK ||
              fta_claims_have(&last, FTA_CLAIM_ROLE) != examples[i].is_default);
    }
    fta_claim_rules_free(rules);
}

static void
test_one_value_serves_several_claims(void)
{
    fta_claim_rules *rules = begin_rules();
    uint8_t which;
    place(rules, FTA_CLAIM_TENANT_ID, "x");
    place(rules, FTA_CLAIM_USER_ID, "/x");
    place(rules, FTA_CLAIM_ROLE, "x");
    CHECK(fta_claim_rules_add_word(rules, text_of(UPPER), ROLE_ADMIN) ==
          FTA_OK);
    CHECK(fta_claim_rules_require(rules, text_of("x"), &which) == FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                    text_of(UPPER)) == FTA_OK);
    rules->has_default_role = false;
    finish_rules(rules);
    /* Every claim reads the text as it was written, with a sink and without. */
    CHECK(read_with("{\"x\":\"" UPPER "\"," FUTURE "}", rules) == FTA_OK);
    CHECK(is_uuid(&last.tenant_id, TENANT) && is_uuid(&last.user_id, TENANT));
    CHECK(last.role == ROLE_ADMIN);
    CHECK(read_with("{\"x\":\"" TENANT "\"," FUTURE "}", rules) ==
          FTA_ROLE_INVALID);
    fta_claim_rules_free(rules);
}

static void
test_each_required_claim_has_its_value(void)
{
    fta_claim_rules *rules = begin_rules();
    char text[16], payload[1024];
    uint8_t which;
    for (int i = 0; i < FTA_REQUIRED_MAX; i++) {
        snprintf(text, sizeof text, "/q/%d", i);
        CHECK(fta_claim_rules_require(rules, text_of(text), &which) == FTA_OK);
        CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_INTEGER,
                                        text_of(text + 3)) == FTA_OK);
    }
    finish_rules(rules);
    /* One of them is wrong, or none. */
    for (int wrong = -1; wrong < FTA_REQUIRED_MAX; wrong++) {
        size_t length =
            (size_t)snprintf(payload, sizeof payload, "{" GOOD ",\"q\":[0");
        for (int i = 1; i < FTA_REQUIRED_MAX; i++) {
            length +=
                (size_t)snprintf(payload + length, sizeof payload - length,
                                 ",%d", i == wrong ? i + 1 : i);
        }
        snprintf(payload + length, sizeof payload - length, "]}");
        if (wrong == 0) {
            strstr(payload, "[0")[1] = '7';
        }
        CHECK(read_with(payload, rules) ==
              (wrong < 0 ? FTA_OK : FTA_REQUIRED_CLAIM));
    }
    fta_claim_rules_free(rules);
}

static void
test_a_use_may_be_required_by_a_pointer(void)
{
    fta_claim_rules *rules = begin_rules();
    uint8_t which;
    CHECK(fta_claim_rules_require(rules, text_of("/token_use"), &which) ==
          FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                    text_of("id")) == FTA_OK);
    finish_rules(rules);
    CHECK(read_with("{" GOOD ",\"token_use\":\"id\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"token_use\":\"ID\"}", rules) ==
          FTA_REQUIRED_CLAIM);
    CHECK(read_with("{" GOOD ",\"token_use\":\"id\",\"typ\":\"id\"}", rules) ==
          FTA_TOKEN_USE_REFUSED);
    CHECK(read_with("{" GOOD ",\"x\":{\"token_use\":\"id\"}}", rules) ==
          FTA_REQUIRED_CLAIM);
    fta_claim_rules_free(rules);
}

/* Who else says who it is has no use for the places. */
static void
test_places_are_not_read_without_identity(void)
{
    fta_claim_rules *rules = begin_rules();
    rules->without_identity = true;
    place(rules, FTA_CLAIM_TENANT_ID, "org");
    place(rules, FTA_CLAIM_ROLE, "/a/b");
    finish_rules(rules);
    CHECK(read_with("{" FUTURE ",\"org\":1,\"a\":{\"b\":{}}}", rules) ==
          FTA_OK);
    CHECK(read_with("{" FUTURE ",\"exp\":1}", rules) == FTA_JSON_NAME_REPEATED);
    fta_claim_rules_free(rules);
}

/* The tree of the rules remembers the order of the last payload. That must not
 * show: the same payloads are read in random orders of each other. */
static void
test_what_was_read_before_makes_no_difference(void)
{
    static const struct {
        const char *payload;
        fta_status expected;
    } examples[] = {
        {"{" GOOD ",\"role\":\"admin\"}", FTA_OK},
        {"{\"role\":\"admin\"," FUTURE "," WHO "}", FTA_OK},
        {"{\"x\":{\"role\":1,\"exp\":\"\"}," GOOD "}", FTA_OK},
        {"{\"act\":{\"sub\":\"a\",\"role\":1,\"exp\":1}," GOOD "}", FTA_OK},
        {"{\"sub\":\"b\",\"act\":{\"act\":{\"sub\":1}}," GOOD "}", FTA_OK},
        {"{\"\":{},\"act\":{\"sub\":1}," GOOD "}", FTA_ACT_SUB_INVALID},
        {"{\"tenant_id\":{\"user_id\":\"" USER "\"}," FUTURE "}",
         FTA_TENANT_ID_INVALID},
        {"{" FUTURE ",\"user_id\":\"" USER "\"}", FTA_TENANT_ID_MISSING},
        {"{}", FTA_TENANT_ID_MISSING},
    };
    const size_t count = sizeof examples / sizeof *examples;
    fta_claim_rules *rules = usual_rules();
    uint32_t state = 5;
    for (int n = 0; n < 5000; n++) {
        state = state * 1664525u + 1013904223u;
        size_t i = (state >> 16) % count;
        CHECK(read_with(examples[i].payload, rules) == examples[i].expected);
    }
    fta_claim_rules_free(rules);
}

int
main(void)
{
    test_the_first_of_three_places_counts_in_any_order();
    test_lists_at_several_places_do_not_mix();
    test_one_value_serves_several_claims();
    test_each_required_claim_has_its_value();
    test_a_use_may_be_required_by_a_pointer();
    test_places_are_not_read_without_identity();
    test_what_was_read_before_makes_no_difference();
    return check_report("test_claim_uses");
}
