/* From claims to a payload and back, under rules of any kind. */
#include "token/payload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "failing_alloc.h"
#include "token/claims_read.h"
#include "token/claims_write.h"
#include "tokens.h"

static const fta_claims someone = {
    .tenant_id = {{1, 2, 3}},
    .user_id = {{4, 5, 6}},
    .actor_tenant = {{1, 2, 3}},
    .role = ROLE_ADMIN,
    .expires_at = 9e9,
    .present = 1u << FTA_CLAIM_TENANT_ID | 1u << FTA_CLAIM_USER_ID |
               1u << FTA_CLAIM_ROLE | 1u << FTA_CLAIM_EXP,
};
#define SOMEONE                                                                \
    "\"tenant_id\":\"01020300-0000-0000-0000-000000000000\","                  \
    "\"user_id\":\"04050600-0000-0000-0000-000000000000\","                    \
    "\"exp\":9000000000,\"role\":\"admin\""

/* The status of a payload, which is what is expected if it is FTA_OK. */
static fta_status
make(const fta_keyring *keyring, const fta_claims *claims, const char *further,
     const char *expected)
{
    char *payload = NULL;
    size_t length = 0;
    fta_status status =
        fta_payload_make(keyring, claims, text_of(further), &payload, &length);
    if (status == FTA_OK && expected != NULL) {
        bool same =
            fta_text_equal((fta_text){payload, length}, text_of(expected));
        CHECK(same);
        if (!same) {
            fprintf(stderr, "  %.*s\n", (int)length, payload);
        }
    }
    CHECK((payload != NULL) == (status == FTA_OK));
    fta_free(payload);
    return status;
}

static void
test_a_payload_has_the_claims_and_what_the_caller_says(void)
{
    static const struct {
        const char *further;
        fta_status expected;
        const char *payload;
    } examples[] = {
        {"{}", FTA_OK, "{" SOMEONE "}"},
        {" \t\r\n{ } ", FTA_OK, "{" SOMEONE "} "},
        {"{ \"x\" : [1] }", FTA_OK, "{" SOMEONE ",\"x\" : [1] }"},
        {"{\"permissions\":[\"a\"],\"sub\":\"b\"}", FTA_OK, NULL},
        {"", FTA_JSON_NOT_OBJECT, NULL},
        {"  ", FTA_JSON_NOT_OBJECT, NULL},
        {"[]", FTA_JSON_NOT_OBJECT, NULL},
        {"x", FTA_JSON_NOT_OBJECT, NULL},
        {"{", FTA_JSON_INVALID, NULL},
        {"{,}", FTA_JSON_INVALID, NULL},
        {"{\"x\":1", FTA_JSON_INVALID, NULL},
        {"{\"x\":1}}", FTA_JSON_INVALID, NULL},
        {"{\"x\":1,}", FTA_JSON_INVALID, NULL},
        {"{\"x\":\"\xff\"}", FTA_JSON_NOT_UTF8, NULL},
        {"{\"x\":1,\"x\":1}", FTA_JSON_NAME_REPEATED, NULL},
        {"{\"exp\":1}", FTA_JSON_NAME_REPEATED, NULL},
        {"{\"\\u0065xp\":1}", FTA_JSON_NAME_REPEATED, NULL},
        {"{\"role\":\"user\"}", FTA_JSON_NAME_REPEATED, NULL},
        {"{\"sub\":1}", FTA_SUB_INVALID, NULL},
        {"{\"type\":\"refresh\"}", FTA_TOKEN_USE_REFUSED, NULL},
        {"{\"aud\":\"x\"}", FTA_AUD_UNEXPECTED, NULL},
        /* An actor that the claims do not have. */
        {"{\"act\":{\"sub\":\"x\"}}", FTA_CLAIMS_CONFLICT, NULL},
        {"{\"act\":{\"sub\":\"\"}}", FTA_CLAIMS_CONFLICT, NULL},
        {"{\"act\":{}}", FTA_OK, NULL},
    };
    fta_keyring *keyring = make_keyring(NULL, 8192);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_status status =
            make(keyring, &someone, examples[i].further, examples[i].payload);
        CHECK(status == examples[i].expected);
        if (status != examples[i].expected) {
            fprintf(stderr, "  %s: %s\n", examples[i].further,
                    fta_status_name(status));
        }
    }
    free_keyring(keyring);
}

/* exp and nbf are not compared: a token may be made that has expired. */
static void
test_a_payload_may_be_of_another_time(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    fta_claims claims = someone;
    claims.expires_at = 1;
    claims.not_before = 8e9;
    claims.present |= 1u << FTA_CLAIM_NBF;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_OK);
    claims.present &= ~(1u << FTA_CLAIM_EXP);
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_EXP_MISSING);
    free_keyring(keyring);
}

static void
test_an_actor_is_said_with_its_tenant(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    fta_claims claims = someone;
    claims.actor = text_of("a \"b\"");
    claims.present |= 1u << FTA_CLAIM_ACT_SUB | 1u << FTA_CLAIM_ACT_TENANT_ID;
    CHECK(make(keyring, &claims, "{}",
               "{" SOMEONE ",\"act\":{\"sub\":\"a \\\"b\\\"\",\"tenant_id\":"
               "\"01020300-0000-0000-0000-000000000000\"}}") == FTA_OK);
    CHECK(make(keyring, &claims, "{\"act\":{}}", NULL) ==
          FTA_JSON_NAME_REPEATED);
    claims.actor_tenant = claims.user_id;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_ACTOR_FOREIGN);
    free_keyring(keyring);
}

static void
test_claims_that_have_no_room_are_a_conflict(void)
{
    static const struct {
        const char *tenant, *user, *role;
        fta_status expected;
    } examples[] = {
        {"tenant_id", "sub", "role", FTA_OK},
        {"/a/t", "/a/u", "/a/r/0", FTA_OK},
        {"/a/0", "/a/1", "/a/2", FTA_OK},
        {"a", "a", "role", FTA_CLAIMS_CONFLICT},
        {"a", "b", "a", FTA_CLAIMS_CONFLICT},
        {"a", "/a/b", "role", FTA_USER_ID_MISSING},
        {"/a/b", "a", "role", FTA_TENANT_ID_MISSING},
        {"a", "act", "role", FTA_ACT_INVALID},
        {"a", "/act/sub", "role", FTA_CLAIMS_CONFLICT},
        {"a", "b", "/act/sub", FTA_CLAIMS_CONFLICT},
        {"a", "/act/tenant_id", "role", FTA_ACTOR_FOREIGN},
        {"exp", "b", "role", FTA_EXP_INVALID},
        {"aud", "b", "role", FTA_AUD_UNEXPECTED},
        {"jti", "b", "role", FTA_OK},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_claim_rules *rules = begin_rules();
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_TENANT_ID,
                                        text_of(examples[i].tenant)) == FTA_OK);
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_USER_ID,
                                        text_of(examples[i].user)) == FTA_OK);
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_ROLE,
                                        text_of(examples[i].role)) == FTA_OK);
        fta_keyring *keyring = make_keyring(finish_rules(rules), 8192);
        fta_status status = make(keyring, &someone, "{}", NULL);
        CHECK(status == examples[i].expected);
        if (status != examples[i].expected) {
            fprintf(stderr, "  %s %s %s: %s\n", examples[i].tenant,
                    examples[i].user, examples[i].role,
                    fta_status_name(status));
        }
        free_keyring(keyring);
    }
}

/* The members that issue() keeps for itself: what is inside one counts too. */
static void
test_members_with_a_claim_inside_are_the_cores(void)
{
    static const struct {
        const char *place;
        const char *name;
        bool is_written;
    } examples[] = {
        {"/a/b/0", "a", true},     {"/a/b/0", "b", false},
        {"/a/b/0", "role", false}, {"/exp/x", "exp", true},
        {"/~01", "~1", true},      {"/", "", true},
        {"role", "role", true},    {"role", "permissions", false},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        fta_claim_rules *rules = begin_rules();
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_ROLE,
                                        text_of(examples[i].place)) == FTA_OK);
        /* Only the first of its places is written. */
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_ROLE,
                                        text_of("second")) == FTA_OK);
        CHECK(fta_claim_rules_add_place(rules, FTA_CLAIM_PERMISSIONS,
                                        text_of("/scope/b")) == FTA_OK);
        finish_rules(rules);
        bool found = false;
        uint16_t node = FTA_CLAIM_ROOT;
        while ((node = fta_claims_next_written(rules, node)) != 0) {
            fta_text name = rules->tree.nodes[node].name;
            found = found || fta_text_equal(name, text_of(examples[i].name));
            CHECK(!fta_text_is(name, "second") && !fta_text_is(name, "scope"));
        }
        CHECK(found == examples[i].is_written);
        fta_claim_rules_free(rules);
    }
}

/* A role without a word can be said only by saying none. */
static void
test_a_role_needs_a_word(void)
{
    fta_claim_rules *rules = begin_rules();
    CHECK(fta_claim_rules_add_word(rules, text_of("Staff"), ROLE_USER) ==
          FTA_OK);
    fta_keyring *keyring = make_keyring(finish_rules(rules), 8192);
    fta_claims claims = someone;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_CLAIMS_CONFLICT);
    rules->default_role = ROLE_ADMIN;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_OK);
    /* What the caller says for it is none of its words either. */
    CHECK(make(keyring, &claims, "{\"role\":\"Staff\"}", NULL) ==
          FTA_CLAIMS_CONFLICT);
    claims.role = ROLE_USER;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_OK);
    rules->has_default_role = false;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_OK);
    claims.role = ROLE_ADMIN;
    CHECK(make(keyring, &claims, "{}", NULL) == FTA_ROLE_MISSING);
    free_keyring(keyring);
}

static void
test_a_long_payload_is_not_made(void)
{
    fta_keyring *keyring = make_keyring(NULL, 100);
    char further[300];
    memset(further, ' ', sizeof further);
    memcpy(further, "{}", 2);
    further[203] = '\0';
    CHECK(make(keyring, &someone, further, NULL) == FTA_TOO_LONG);
    further[200] = '\0';
    CHECK(make(keyring, &someone, further, NULL) == FTA_OK);
    free_keyring(keyring);
}

static void
test_a_failing_allocation_makes_no_payload(void)
{
    fta_keyring *keyring = make_keyring(NULL, 8192);
    long n = 0;
    for (;; n++) {
        char *payload = NULL;
        size_t length;
        failing_alloc_start(n);
        fta_status status = fta_payload_make(keyring, &someone, text_of("{}"),
                                             &payload, &length);
        bool failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        CHECK((payload == NULL) == failed);
        fta_free(payload);
        if (!failed) {
            break;
        }
    }
    CHECK(n >= 2);
    free_keyring(keyring);
}

/* --- random rules ------------------------------------------------------- */

static uint64_t state = 7;

/* A number below count (xorshift64*). */
static unsigned
below(unsigned count)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (unsigned)(state * 0x2545F4914F6CDD1Du >> 33) % count;
}

static void
add_random_places(fta_claim_rules *rules, fta_claim claim)
{
    static const char *const places[] = {
        "a",
        "/a/b",
        "/a/0",
        "/a/b/~1~0",
        "b\"\\",
        "\xc3\xa9",
        "/",
        "sub",
        "c",
        "/c/d",
        "/d/e/f/g/h/i/j/k",
        "/d/e/",
        "d",
        "/act/x",
        "org",
        "the same head 1 and tail",
    };
    for (unsigned n = below(3); n > 0; n--) {
        CHECK(fta_claim_rules_add_place(
                  rules, claim,
                  text_of(places[below(sizeof places / sizeof *places)])) ==
              FTA_OK);
    }
}

static fta_claim_rules *
random_rules(void)
{
    static const char *const words[] = {"Owner", "\"", "\x01\x02\x03", "admin"};
    fta_claim_rules *rules = begin_rules();
    add_random_places(rules, FTA_CLAIM_TENANT_ID);
    add_random_places(rules, FTA_CLAIM_USER_ID);
    add_random_places(rules, FTA_CLAIM_ROLE);
    add_random_places(rules, FTA_CLAIM_PERMISSIONS);
    if (below(2) == 0) {
        for (size_t i = 0; i < 4; i++) {
            CHECK(fta_claim_rules_add_word(rules, text_of(words[i]),
                                           (fta_role)below(2)) == FTA_OK);
        }
    }
    if (below(2) == 0) {
        CHECK(fta_claim_rules_set_issuer(rules, text_of("\x7f\"us\x1f")) ==
              FTA_OK);
    }
    for (unsigned n = below(3); n > 0; n--) {
        CHECK(fta_claim_rules_add_audience(
                  rules, text_of(n == 1 ? "api" : "\xe2\x80\xae")) == FTA_OK);
    }
    rules->has_default_role = below(4) != 0;
    rules->has_namespace = below(2) == 0;
    return finish_rules(rules);
}

static fta_claims
random_claims(void)
{
    fta_claims claims = someone;
    for (size_t i = 0; i < FTA_UUID_BYTES; i++) {
        claims.tenant_id.bytes[i] = (uint8_t)below(256);
        claims.user_id.bytes[i] = (uint8_t)below(256);
    }
    claims.actor_tenant = claims.tenant_id;
    claims.role = (fta_role)below(2);
    claims.issued_at = below(1u << 30);
    claims.present |= below(2) << FTA_CLAIM_IAT;
    if (below(2) == 0) {
        claims.actor = text_of("\x1f\x1f\"who\"");
        claims.present |=
            1u << FTA_CLAIM_ACT_SUB | 1u << FTA_CLAIM_ACT_TENANT_ID;
    }
    return claims;
}

/* What is written fits the room that was asked for, which is a block of its
 * own here, so that ASan finds an octet too many. What is made is read again,
 * and says the same. */
static void
test_what_is_made_is_read_again_under_any_rules(void)
{
    const fta_json_seed seed = {{1, 2}};
    const fta_key *key = make_key("HS256", NULL);
    int made = 0, refused = 0;
    for (int n = 0; n < 20000; n++) {
        fta_keyring *keyring = NULL;
        CHECK(fta_keyring_new(&key, 1, random_rules(), 8192, &keyring) ==
              FTA_OK);
        const fta_claims claims = random_claims();
        size_t room = fta_claims_room(&claims, keyring->rules);
        char *out = malloc(room), *payload = NULL;
        size_t length = 0;
        CHECK(fta_claims_write(&claims, keyring->rules, out) <= room);
        free(out);
        fta_status status = fta_payload_make(
            keyring, &claims, text_of("{\"x\":1}"), &payload, &length);
        CHECK(status < FTA_JSON_INVALID || status > FTA_JSON_NUMBER_TOO_LONG);
        if (status == FTA_OK) {
            fta_claims again;
            const fta_claim_reader how = {
                .rules = keyring->rules, .seed = &seed, .now = 2e9};
            CHECK(fta_claims_read(&how, payload, length, &again) == FTA_OK);
            CHECK(fta_uuid_equal(&again.tenant_id, &claims.tenant_id));
            CHECK(fta_uuid_equal(&again.user_id, &claims.user_id));
            CHECK(again.role == claims.role);
            CHECK(again.expires_at == claims.expires_at);
            CHECK(fta_text_equal(again.actor, claims.actor));
        }
        made += status == FTA_OK;
        refused += status != FTA_OK;
        fta_free(payload);
        fta_keyring_free(keyring);
    }
    CHECK(made > 10000);
    CHECK(refused > 1000);
    fta_key_free((fta_key *)(uintptr_t)key);
}

int
main(void)
{
    test_a_payload_has_the_claims_and_what_the_caller_says();
    test_a_payload_may_be_of_another_time();
    test_an_actor_is_said_with_its_tenant();
    test_claims_that_have_no_room_are_a_conflict();
    test_members_with_a_claim_inside_are_the_cores();
    test_a_role_needs_a_word();
    test_a_long_payload_is_not_made();
    test_a_failing_allocation_makes_no_payload();
    test_what_is_made_is_read_again_under_any_rules();
    return check_report("test_payload");
}
