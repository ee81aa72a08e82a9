/* Claims that are somewhere else than usual: places, words for roles, names as
 * ids, required claims, roles and permissions. */
#include "token/claims_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "guarded.h"
#include "token/claims_write.h"
#include "token/name_uuid.h"
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
place(fta_claim_rules *rules, fta_claim claim, const char *text)
{
    return fta_claim_rules_add_place(rules, claim, text_of(text));
}

/* --- the tree ----------------------------------------------------------- */

static void
test_places_are_names_or_pointers(void)
{
    static const char *const malformed[] = {
        "", "/~", "/a~", "/~2", "/a/~x", "/a~1~9", "/1/2/3/4/5/6/7/8/9"};
    static const char *const sound[] = {
        "a", "a/b", "~", "/", "//", "/a", "/a/b", "/~0~1", "/1/2/3/4/5/6/7/8"};
    fta_claim_rules *rules = begin_rules();
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        CHECK(place(rules, FTA_CLAIM_ROLE, malformed[i]) ==
              FTA_CLAIM_PATH_MALFORMED);
    }
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        CHECK(place(rules, FTA_CLAIM_USER_ID, sound[i]) == FTA_OK);
    }
    fta_claim_rules_free(rules);
}

/* Every node is found again under its name, and no other name is, however many
 * there are: names that differ in the middle only have the same ends. */
static void
test_each_node_is_found_by_its_name_alone(void)
{
    fta_claim_tree *tree = calloc(1, sizeof *tree);
    char names[FTA_CLAIM_USES_MAX][48];
    fta_claim_tree_start(tree);
    for (int i = 0; i < FTA_CLAIM_USES_MAX; i++) {
        snprintf(names[i], sizeof names[i],
                 i % 3 == 0   ? "%d"
                 : i % 3 == 1 ? "the same head %03d the same tail"
                              : "n%d",
                 i);
        CHECK(fta_claim_tree_add(tree, text_of(names[i]), 1, 0) == FTA_OK);
    }
    CHECK(fta_claim_tree_add(tree, text_of("more"), 1, 0) ==
          FTA_CLAIM_PATHS_TOO_MANY);
    for (int i = 0; i < FTA_CLAIM_USES_MAX; i++) {
        uint16_t node =
            fta_claim_tree_find(tree, FTA_CLAIM_ROOT, text_of(names[i]));
        CHECK(node == i + 1);
        /* A wrong guess changes nothing. */
        CHECK(fta_claim_tree_find_next(tree, FTA_CLAIM_ROOT, text_of(names[i]),
                                       (uint16_t)(i / 2)) == node);
        CHECK(fta_claim_tree_find(tree, node, text_of(names[i])) == 0);
        names[i][strlen(names[i]) / 2] = '#';
        CHECK(fta_claim_tree_find(tree, FTA_CLAIM_ROOT, text_of(names[i])) ==
              0);
    }
    CHECK(fta_claim_tree_find(tree, FTA_CLAIM_ROOT, text_of("")) == 0);
    fta_claim_tree_clear(tree);
    free(tree);
}

static void
test_too_many_places_are_an_error(void)
{
    fta_claim_rules *rules = begin_rules();
    char text[16];
    for (int i = 0; i < FTA_PLACES_MAX; i++) {
        snprintf(text, sizeof text, "r%d", i);
        CHECK(place(rules, FTA_CLAIM_ROLE, text) == FTA_OK);
    }
    CHECK(place(rules, FTA_CLAIM_ROLE, "more") == FTA_CLAIM_PATHS_TOO_MANY);
    uint8_t which;
    for (int i = 0; i < FTA_REQUIRED_MAX; i++) {
        snprintf(text, sizeof text, "q%d", i);
        CHECK(fta_claim_rules_require(rules, text_of(text), &which) == FTA_OK);
        CHECK(which == i);
    }
    CHECK(fta_claim_rules_require(rules, text_of("more"), &which) ==
          FTA_CLAIM_PATHS_TOO_MANY);
    fta_claim_rules_free(rules);
}

/* --- reading ------------------------------------------------------------ */

typedef struct example {
    const char *payload;
    fta_status expected;
} example;

static void
check_examples(const example *examples, size_t count, fta_claim_rules *rules)
{
    for (size_t i = 0; i < count; i++) {
        fta_status status = read_with(examples[i].payload, rules);
        CHECK(status == examples[i].expected);
        if (status != examples[i].expected) {
            fprintf(stderr, "  %s: %s\n", examples[i].payload,
                    fta_status_name(status));
        }
    }
}
#define CHECK_EXAMPLES(examples, rules)                                        \
    check_examples(examples, sizeof(examples) / sizeof *(examples), rules)

#define TENANT_ONLY "\"tenant_id\":\"" TENANT "\"," FUTURE
#define OTHER "\"6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4\""

static void
test_the_first_place_that_is_present_counts(void)
{
    static const example examples[] = {
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0," OTHER "]}}", FTA_OK},
        {"{" TENANT_ONLY ",\"c\":" OTHER "}", FTA_OK},
        {"{" TENANT_ONLY ",\"c\":1,\"a\":{\"b\":[0," OTHER "]}}", FTA_OK},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0," OTHER "]},\"c\":1}", FTA_OK},
        {"{" TENANT_ONLY ",\"c\":" OTHER ",\"a\":{\"b\":[0,1]}}",
         FTA_USER_ID_INVALID},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0,1]},\"c\":" OTHER "}",
         FTA_USER_ID_INVALID},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0]},\"c\":" OTHER "}", FTA_OK},
        {"{" TENANT_ONLY ",\"a\":{\"b\":{\"1\":" OTHER "}}}", FTA_OK},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[[" OTHER "]," OTHER "]}}", FTA_OK},
        {"{" TENANT_ONLY ",\"a\":[{\"b\":[0," OTHER "]}]}",
         FTA_USER_ID_MISSING},
        {"{" TENANT_ONLY ",\"user_id\":" OTHER "}", FTA_USER_ID_MISSING},
        {"{" TENANT_ONLY ",\"x\":{\"a\":{\"b\":[0," OTHER "]}}}",
         FTA_USER_ID_MISSING},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0," OTHER "]", FTA_JSON_INVALID},
        {"{" TENANT_ONLY ",\"a\":{\"b\":[0," OTHER "],\"b\":1}}",
         FTA_JSON_NAME_REPEATED},
    };
    fta_claim_rules *rules = begin_rules();
    CHECK(place(rules, FTA_CLAIM_USER_ID, "/a/b/1") == FTA_OK);
    CHECK(place(rules, FTA_CLAIM_USER_ID, "c") == FTA_OK);
    CHECK_EXAMPLES(examples, finish_rules(rules));
    fta_claim_rules_free(rules);
}

static fta_role
role_of(const char *role, fta_claim_rules *rules)
{
    char payload[512];
    snprintf(payload, sizeof payload, "{" GOOD ",\"role\":%s}", role);
    CHECK(read_with(payload, rules) == FTA_OK);
    return last.role;
}

static void
test_words_stand_for_roles(void)
{
    fta_claim_rules *rules = usual_rules();
    CHECK(role_of("\"admin\"", rules) == ROLE_ADMIN);
    CHECK(role_of("[\"x\",\"admin\",\"user\"]", rules) == ROLE_ADMIN);
    CHECK(role_of("[]", rules) == ROLE_USER);
    CHECK(!fta_claims_have(&last, FTA_CLAIM_ROLE));
    CHECK(role_of("\"user\"", rules) == ROLE_USER);
    CHECK(fta_claims_have(&last, FTA_CLAIM_ROLE));
    fta_claim_rules_free(rules);

    rules = begin_rules();
    CHECK(fta_claim_rules_add_word(rules, text_of("Owner"), ROLE_ADMIN) ==
          FTA_OK);
    CHECK(fta_claim_rules_add_word(rules, text_of("Owner"), ROLE_USER) ==
          FTA_ROLE_REPEATED);
    rules->default_role = ROLE_USER;
    finish_rules(rules);
    CHECK(role_of("\"Owner\"", rules) == ROLE_ADMIN);
    CHECK(role_of("\"admin\"", rules) == ROLE_USER);
    fta_claim_rules_free(rules);

    rules = begin_rules();
    rules->has_default_role = false;
    finish_rules(rules);
    CHECK(read_with("{" GOOD "}", rules) == FTA_ROLE_MISSING);
    CHECK(read_with("{" GOOD ",\"role\":\"x\"}", rules) == FTA_ROLE_INVALID);
    CHECK(role_of("\"user\"", rules) == ROLE_USER);
    fta_claim_rules_free(rules);
}

/* RFC 9562, appendix A.4: www.example.com in the namespace of domain names. */
static void
test_a_name_is_a_uuid_of_version_5(void)
{
    fta_uuid space, made;
    char text[FTA_UUID_TEXT];
    CHECK(fta_uuid_parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 36, &space));
    CHECK(fta_uuid_of_name(&space, text_of("www.example.com"), &made) ==
          FTA_OK);
    fta_uuid_format(&made, text);
    CHECK(memcmp(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2", 36) == 0);

    fta_claim_rules *rules = begin_rules();
    rules->has_namespace = true;
    rules->id_namespace = space;
    finish_rules(rules);
    CHECK(read_with("{" TENANT_ONLY ",\"user_id\":\"www.example.com\"}",
                    rules) == FTA_OK);
    CHECK(fta_uuid_equal(&last.user_id, &made));
    static const example examples[] = {
        {"{" TENANT_ONLY ",\"user_id\":42}", FTA_OK},
        {"{" TENANT_ONLY ",\"user_id\":\"\"}", FTA_USER_ID_INVALID},
        {"{" TENANT_ONLY ",\"user_id\":4.2}", FTA_USER_ID_INVALID},
        {"{" TENANT_ONLY ",\"user_id\":true}", FTA_USER_ID_INVALID},
        {"{" TENANT_ONLY ",\"user_id\":[\"a\"]}", FTA_USER_ID_INVALID},
        {"{" GOOD ",\"act\":{\"tenant_id\":\"x\"}}", FTA_ACTOR_FOREIGN},
    };
    CHECK_EXAMPLES(examples, rules);
    fta_claim_rules_free(rules);
}

static void
test_required_claims_have_one_of_their_values(void)
{
    static const example examples[] = {
        {"{" GOOD ",\"a\":\"x\",\"b\":{\"c\":1}}", FTA_OK},
        {"{" GOOD ",\"a\":true,\"b\":{\"c\":[2,1]}}", FTA_OK},
        {"{" GOOD ",\"a\":false,\"b\":{\"c\":1}}", FTA_REQUIRED_CLAIM},
        {"{" GOOD ",\"a\":\"x\",\"b\":{\"c\":\"1\"}}", FTA_REQUIRED_CLAIM},
        {"{" GOOD ",\"a\":\"x\",\"b\":{\"c\":1.0}}", FTA_REQUIRED_CLAIM},
        {"{" GOOD ",\"a\":\"x\",\"b\":{\"c\":[[1]]}}", FTA_REQUIRED_CLAIM},
        {"{" GOOD ",\"a\":\"x\"}", FTA_REQUIRED_CLAIM},
        {"{" GOOD "}", FTA_REQUIRED_CLAIM},
        /* What is required of type replaces what is refused. */
        {"{" GOOD ",\"a\":\"x\",\"b\":{\"c\":1},\"typ\":\"id\"}",
         FTA_TOKEN_USE_REFUSED},
    };
    uint8_t which;
    fta_claim_rules *rules = begin_rules();
    CHECK(fta_claim_rules_require(rules, text_of("a"), &which) == FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                    text_of("x")) == FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_TRUE, text_of("")) ==
          FTA_OK);
    CHECK(fta_claim_rules_require(rules, text_of("/b/c"), &which) == FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_INTEGER,
                                    text_of("1")) == FTA_OK);
    CHECK_EXAMPLES(examples, finish_rules(rules));
    fta_claim_rules_free(rules);

    rules = begin_rules();
    CHECK(fta_claim_rules_require(rules, text_of("type"), &which) == FTA_OK);
    CHECK(fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                    text_of("refresh")) == FTA_OK);
    finish_rules(rules);
    CHECK(read_with("{" GOOD ",\"type\":\"refresh\"}", rules) == FTA_OK);
    CHECK(read_with("{" GOOD ",\"type\":\"access\"}", rules) ==
          FTA_REQUIRED_CLAIM);
    fta_claim_rules_free(rules);
}

static void
test_rules_without_identity_read_the_rest(void)
{
    static const example examples[] = {
        {"{" FUTURE "}", FTA_OK},
        {"{" FUTURE ",\"tenant_id\":1,\"role\":{},\"act\":5}", FTA_OK},
        {"{\"exp\":1}", FTA_EXPIRED},
        {"{}", FTA_EXP_MISSING},
        {"{" FUTURE ",\"sub\":1}", FTA_SUB_INVALID},
        {"{" FUTURE ",\"type\":\"refresh\"}", FTA_TOKEN_USE_REFUSED},
    };
    fta_claim_rules *rules = begin_rules();
    rules->without_identity = true;
    CHECK_EXAMPLES(examples, finish_rules(rules));
    fta_claim_rules_free(rules);
}

/* --- permissions -------------------------------------------------------- */

static char named[256];

static void
note(void *context, fta_text name)
{
    (void)context;
    if (name.data == NULL) {
        named[0] = '\0';
    } else {
        strncat(named, name.data, name.length);
        strcat(named, ";");
    }
}

static void
test_permissions_are_read_from_lists_and_text(void)
{
    static const struct {
        const char *members;
        const char *named;
        bool read, write;
    } examples[] = {
        {"\"permissions\":[\"mail:read\",\"x\"]", "mail:read;x;", true, false},
        {"\"permissions\":\" mail:write  x \"", "mail:write;x;", false, true},
        {"\"permissions\":[\"mail:read mail:write\"]", "mail:read mail:write;",
         false, false},
        {"\"permissions\":[1,[\"mail:read\"],{},\"mail:write\"]", "mail:write;",
         false, true},
        {"\"permissions\":{\"mail:read\":1}", "", false, false},
        {"\"scope\":\"mail:read\"", "mail:read;", true, false},
        {"\"scope\":\"mail:read\",\"permissions\":[\"mail:write\"]",
         "mail:write;", false, true},
        {"\"permissions\":[\"mail:write\"],\"scope\":\"mail:read\"",
         "mail:write;", false, true},
        {"\"scope\":\"mail:read\",\"permissions\":5", "", false, false},
    };
    size_t read, write;
    CHECK(fta_permission_names_add(test_permissions(), text_of("mail:read"),
                                   &read) == FTA_OK);
    CHECK(fta_permission_names_add(test_permissions(), text_of("mail:write"),
                                   &write) == FTA_OK);
    fta_claim_rules *rules = begin_rules();
    CHECK(place(rules, FTA_CLAIM_PERMISSIONS, "permissions") == FTA_OK);
    CHECK(place(rules, FTA_CLAIM_PERMISSIONS, "scope") == FTA_OK);
    finish_rules(rules);
    const fta_permission_sink sink = {note, NULL};
    const fta_claim_reader how = {rules, &seed, NULL, &sink, NOW, NULL};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char payload[512];
        int length = snprintf(payload, sizeof payload, "{" GOOD ",%s}",
                              examples[i].members);
        named[0] = '\0';
        CHECK(fta_claims_read(&how, payload, (size_t)length, &last) == FTA_OK);
        CHECK(strcmp(named, examples[i].named) == 0);
        CHECK(fta_permission_set_has(&last.permissions, read) ==
              examples[i].read);
        CHECK(fta_permission_set_has(&last.permissions, write) ==
              examples[i].write);
    }
    fta_claim_rules_free(rules);
}

static bool
is_granted(fta_roles *roles, fta_role role, size_t number)
{
    fta_permission_set set = {{0}};
    fta_roles_join_granted(roles, role, &set);
    return fta_permission_set_has(&set, number);
}

static void
test_a_role_has_what_weaker_ones_have(void)
{
    fta_permission_names *names = fta_permission_names_new();
    fta_roles *roles = fta_roles_new(names);
    size_t read, write, other, late;
    CHECK(fta_roles_add(roles, text_of("viewer")) == FTA_OK);
    CHECK(fta_roles_add(roles, text_of("editor")) == FTA_OK);
    CHECK(fta_roles_add(roles, text_of("owner")) == FTA_OK);
    CHECK(fta_roles_add(roles, text_of("viewer")) == FTA_ROLE_REPEATED);
    CHECK(fta_roles_grant(roles, 0, text_of("mail:read")) == FTA_OK);
    CHECK(fta_roles_grant(roles, 1, text_of("mail:*")) == FTA_OK);
    CHECK(fta_permission_names_add(names, text_of("mail:read"), &read) ==
          FTA_OK);
    CHECK(fta_permission_names_add(names, text_of("mail:write"), &write) ==
          FTA_OK);
    CHECK(fta_permission_names_add(names, text_of("mail"), &other) == FTA_OK);
    CHECK(is_granted(roles, 0, read) && !is_granted(roles, 0, write));
    CHECK(is_granted(roles, 1, read) && is_granted(roles, 1, write));
    CHECK(is_granted(roles, 2, write) && !is_granted(roles, 2, other));
    /* What gets a number later, and what is granted later, counts then. */
    CHECK(fta_permission_names_add(names, text_of("mail:late"), &late) ==
          FTA_OK);
    CHECK(is_granted(roles, 1, late) && !is_granted(roles, 0, late));
    CHECK(fta_roles_grant(roles, 2, text_of("*")) == FTA_OK);
    CHECK(is_granted(roles, 2, other) && !is_granted(roles, 1, other));
    CHECK(fta_roles_grants(roles, 2, text_of("never numbered")));
    CHECK(!fta_roles_grants(roles, 1, text_of("mail:")));
    CHECK(fta_roles_grants(roles, 1, text_of("mail:x:y")));
    fta_roles_let_reach_tenant(roles, 2);
    CHECK(fta_roles_reaches_tenant(roles, 2));
    CHECK(!fta_roles_reaches_tenant(roles, 1));
    static const char *const malformed[] = {
        "", "**", "a*", "*a", "a:*b", "a b", "a\"b", "*:a*", "\x80"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        CHECK(fta_roles_grant(roles, 0, text_of(malformed[i])) ==
              FTA_PATTERN_MALFORMED);
    }
    fta_roles_free(roles);
    fta_permission_names_free(names);
}

static void
test_names_of_roles_and_permissions_have_a_form(void)
{
    static const char *const no_roles[] = {
        "",
        " a",
        "a ",
        "a,b",
        "a;b",
        "a=b",
        "a\n",
        "\x7f",
        "12345678901234567890123456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof no_roles / sizeof *no_roles; i++) {
        CHECK(!fta_role_is_sound(text_of(no_roles[i])));
    }
    CHECK(fta_role_is_sound(text_of("a role's name: \xc3\xa9")));
    CHECK(fta_permission_is_sound(text_of("a:b/c-d_e.f")));
    CHECK(!fta_permission_is_sound(text_of("a b")));
    CHECK(!fta_permission_is_sound(text_of("")));
}

static void
test_a_process_knows_so_many_permissions_only(void)
{
    fta_permission_names *names = fta_permission_names_new();
    char text[16];
    size_t number;
    for (size_t i = 0; i < FTA_PERMISSIONS_MAX; i++) {
        snprintf(text, sizeof text, "p%zu", i);
        CHECK(fta_permission_names_add(names, text_of(text), &number) ==
              FTA_OK);
        CHECK(number == i);
    }
    CHECK(fta_permission_names_add(names, text_of("more"), &number) ==
          FTA_PERMISSIONS_FULL);
    CHECK(fta_permission_names_add(names, text_of("p7"), &number) == FTA_OK);
    CHECK(number == 7);
    CHECK(!fta_permission_names_find(names, text_of("more"), &number));
    CHECK(fta_permission_names_find(names, text_of("p511"), &number));
    CHECK(number == 511);
    fta_permission_names_free(names);
}

/* --- writing ------------------------------------------------------------ */

static void
test_claims_are_written_where_they_are_read(void)
{
    fta_claim_rules *rules = begin_rules();
    CHECK(place(rules, FTA_CLAIM_TENANT_ID, "/a~1b/t") == FTA_OK);
    CHECK(place(rules, FTA_CLAIM_USER_ID, "/a~1b/0/u") == FTA_OK);
    CHECK(place(rules, FTA_CLAIM_ROLE, "roles") == FTA_OK);
    CHECK(fta_claim_rules_add_word(rules, text_of("Owner"), ROLE_ADMIN) ==
          FTA_OK);
    finish_rules(rules);
    CHECK(read_with("{\"a/b\":{\"t\":\"" TENANT "\",\"0\":{\"u\":\"" USER
                    "\"}},\"roles\":[\"Owner\"]," FUTURE "}",
                    rules) == FTA_OK);
    char out[8192];
    CHECK(fta_claims_room(&last, rules) < sizeof out);
    size_t length = fta_claims_write(&last, rules, out);
    out[length] = '\0';
    CHECK(strcmp(out, "\"a/b\":{\"t\":\"" TENANT "\",\"0\":{\"u\":\"" USER
                      "\"}},\"roles\":\"Owner\"," FUTURE) == 0);
    last.role = ROLE_USER; /* no word stands for it */
    length = fta_claims_write(&last, rules, out);
    out[length] = '\0';
    CHECK(strstr(out, "roles") == NULL);
    fta_claim_rules_free(rules);
}

int
main(void)
{
    test_places_are_names_or_pointers();
    test_each_node_is_found_by_its_name_alone();
    test_too_many_places_are_an_error();
    test_the_first_place_that_is_present_counts();
    test_words_stand_for_roles();
    test_a_name_is_a_uuid_of_version_5();
    test_required_claims_have_one_of_their_values();
    test_rules_without_identity_read_the_rest();
    test_permissions_are_read_from_lists_and_text();
    test_a_role_has_what_weaker_ones_have();
    test_names_of_roles_and_permissions_have_a_form();
    test_a_process_knows_so_many_permissions_only();
    test_claims_are_written_where_they_are_read();
    return check_report("test_claim_places");
}
