/* What makes rules and roles, one function at a time: the tree of places, and
 * each allocation that fails. What fails changes nothing, and works when it is
 * tried again. */
#include "token/claim_rules.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_alloc.h"
#include "token/payload.h"
#include "tokens.h"

/* --- the tree ----------------------------------------------------------- */

static fta_claim_tree *
new_tree(void)
{
    fta_claim_tree *tree = calloc(1, sizeof *tree);
    expect(tree != NULL);
    fta_claim_tree_start(tree);
    return tree;
}

static void
free_tree(fta_claim_tree *tree)
{
    fta_claim_tree_clear(tree);
    free(tree);
}

static uint16_t
child(const fta_claim_tree *tree, uint16_t parent, const char *name)
{
    return fta_claim_tree_find(tree, parent, text_of(name));
}

static void
test_a_pointer_is_a_path_of_names(void)
{
    fta_claim_tree *tree = new_tree();
    CHECK(fta_claim_tree_add(tree, text_of("/a~1b/m~0n/~01"), 1, 0) == FTA_OK);
    CHECK(fta_claim_tree_add(tree, text_of("/"), 2, 0) == FTA_OK);
    CHECK(fta_claim_tree_add(tree, text_of("//x"), 3, 0) == FTA_OK);
    CHECK(fta_claim_tree_add(tree, text_of("a/b"), 4, 1) == FTA_OK);
    uint16_t node = child(tree, FTA_CLAIM_ROOT, "a/b");
    CHECK(node != 0 && tree->uses[tree->nodes[node].first_use].what == 4);
    CHECK(tree->uses[tree->nodes[node].first_use].rank == 1);
    node = child(tree, node, "m~n");
    CHECK(node != 0 && tree->nodes[node].first_use == FTA_CLAIM_NO_USE);
    /* ~01 is ~1, and no slash (RFC 6901, section 4). */
    CHECK(child(tree, node, "/") == 0);
    node = child(tree, node, "~1");
    CHECK(node != 0 && tree->uses[tree->nodes[node].first_use].what == 1);
    node = child(tree, FTA_CLAIM_ROOT, "");
    CHECK(node != 0 && tree->uses[tree->nodes[node].first_use].what == 2);
    node = child(tree, node, "x");
    CHECK(node != 0 && tree->uses[tree->nodes[node].first_use].what == 3);
    free_tree(tree);
}

static void
test_a_place_has_each_of_its_uses(void)
{
    fta_claim_tree *tree = new_tree();
    for (uint8_t what = 0; what < 5; what++) {
        CHECK(fta_claim_tree_add(tree, text_of(what % 2 != 0 ? "a" : "/a"),
                                 what, what) == FTA_OK);
    }
    CHECK(tree->node_count == 2);
    uint16_t use = tree->nodes[child(tree, FTA_CLAIM_ROOT, "a")].first_use;
    for (uint8_t what = 0; what < 5; what++) {
        CHECK(use != FTA_CLAIM_NO_USE && tree->uses[use].what == what);
        use = tree->uses[use].next;
    }
    CHECK(use == FTA_CLAIM_NO_USE);
    free_tree(tree);
}

/* An index has no leading zero, and "-" is the element that is not there. */
static void
test_an_element_is_found_by_its_index(void)
{
    fta_claim_tree *tree = new_tree();
    static const char *const places[] = {"/a/0", "/a/10", "/a/01", "/a/-",
                                         "/a/+1"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        CHECK(fta_claim_tree_add(tree, text_of(places[i]), (uint8_t)i, 0) ==
              FTA_OK);
    }
    uint16_t array = child(tree, FTA_CLAIM_ROOT, "a");
    CHECK(fta_claim_tree_find_element(tree, array, 0) ==
          child(tree, array, "0"));
    CHECK(fta_claim_tree_find_element(tree, array, 10) ==
          child(tree, array, "10"));
    static const size_t none[] = {1, 2, 9, 11, 100, SIZE_MAX};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK(fta_claim_tree_find_element(tree, array, none[i]) == 0);
    }
    /* No node below an element without children. */
    CHECK(fta_claim_tree_find_element(tree, child(tree, array, "0"), 0) == 0);
    free_tree(tree);
}

/* As many nodes as there can be, by the hash of each in any slot. */
static void
test_nodes_that_share_slots_are_told_apart(void)
{
    char text[32];
    for (int prefix = 0; prefix < 20; prefix++) {
        fta_claim_tree *tree = new_tree();
        uint16_t nodes[FTA_CLAIM_NODES_MAX] = {0};
        size_t count = 0;
        for (int i = 0; count + 8 < FTA_CLAIM_NODES_MAX; i++) {
            snprintf(text, sizeof text, "/%d/%d/x%d", prefix, i % 9, i);
            CHECK(fta_claim_tree_add(tree, text_of(text), 1, 0) ==
                  (i < FTA_CLAIM_USES_MAX ? FTA_OK : FTA_CLAIM_PATHS_TOO_MANY));
            if (i == FTA_CLAIM_USES_MAX) {
                break;
            }
            snprintf(text, sizeof text, "%d", prefix);
            uint16_t node = child(tree, FTA_CLAIM_ROOT, text);
            snprintf(text, sizeof text, "%d", i % 9);
            node = child(tree, node, text);
            snprintf(text, sizeof text, "x%d", i);
            nodes[count++] = child(tree, node, text);
        }
        CHECK(count == FTA_CLAIM_USES_MAX);
        for (size_t i = 0; i < count; i++) {
            CHECK(nodes[i] != 0);
            for (size_t j = 0; j < i; j++) {
                CHECK(nodes[i] != nodes[j]);
            }
        }
        free_tree(tree);
    }
}

/* Pointers of eight parts have more nodes than places have uses. */
static void
test_a_tree_has_so_many_nodes(void)
{
    fta_claim_tree *tree = new_tree();
    fta_status status = FTA_OK;
    int added = 0;
    while (status == FTA_OK) {
        char text[64];
        snprintf(text, sizeof text, "/%d/2/3/4/5/6/7/8", added);
        status = fta_claim_tree_add(tree, text_of(text), 1, 0);
        added += status == FTA_OK;
    }
    CHECK(status == FTA_CLAIM_PATHS_TOO_MANY);
    CHECK(added == (FTA_CLAIM_NODES_MAX - 1) / 8);
    CHECK(tree->node_count == FTA_CLAIM_NODES_MAX);
    /* A place whose nodes are there needs no other. */
    CHECK(fta_claim_tree_add(tree, text_of("/3/2/3"), 1, 0) == FTA_OK);
    CHECK(fta_claim_tree_add(tree, text_of("new"), 1, 0) ==
          FTA_CLAIM_PATHS_TOO_MANY);
    free_tree(tree);
}

static void
test_a_name_has_so_many_octets(void)
{
    char text[1026];
    fta_claim_tree *tree = new_tree();
    memset(text, 'a', sizeof text);
    text[0] = '/';
    CHECK(fta_claim_tree_add(tree, (fta_text){text, 1025}, 1, 0) ==
          FTA_CLAIM_PATH_MALFORMED);
    CHECK(fta_claim_tree_add(tree, (fta_text){text, 1024}, 1, 0) == FTA_OK);
    CHECK(fta_claim_tree_find(tree, FTA_CLAIM_ROOT,
                              (fta_text){text + 1, 1023}) != 0);
    /* A NUL is an octet as any other. */
    CHECK(fta_claim_tree_add(tree, (fta_text){"b\0c", 3}, 1, 0) == FTA_OK);
    CHECK(fta_claim_tree_find(tree, FTA_CLAIM_ROOT, (fta_text){"b\0c", 3}) !=
          0);
    CHECK(child(tree, FTA_CLAIM_ROOT, "b") == 0);
    free_tree(tree);
}

/* --- one allocation fails ----------------------------------------------- */

/* Each allocation of a call fails in turn, so the call has to say so. In the
 * end it succeeds. expected is the least number of its allocations. */
#define FAILS_AND_WORKS(call, expected)                                        \
    do {                                                                       \
        long n_ = 0;                                                           \
        for (;; n_++) {                                                        \
            failing_alloc_start(n_);                                           \
            fta_status status_ = (call);                                       \
            bool failed_ = failing_alloc_stop();                               \
            CHECK(status_ == (failed_ ? FTA_NO_MEMORY : FTA_OK));              \
            if (!failed_) {                                                    \
                break;                                                         \
            }                                                                  \
        }                                                                      \
        CHECK(n_ >= (expected));                                               \
    } while (0)

static fta_status
new_rules(fta_claim_rules **out)
{
    *out = fta_claim_rules_new(test_roles());
    return *out == NULL ? FTA_NO_MEMORY : FTA_OK;
}

/* Whether a payload is read under these rules. */
static bool
is_valid(const fta_keyring *keyring, const char *payload)
{
    return verdict(keyring, HEADER, payload) == FTA_OK;
}

static void
test_rules_survive_each_allocation_that_fails(void)
{
    fta_claim_rules *rules = NULL;
    uint8_t which = 99;
    (void)test_roles(); /* it is made once, with memory */
    FAILS_AND_WORKS(new_rules(&rules), 1);
    FAILS_AND_WORKS(fta_claim_rules_set_issuer(rules, text_of("us")), 1);
    FAILS_AND_WORKS(fta_claim_rules_add_audience(rules, text_of("api")), 2);
    FAILS_AND_WORKS(fta_claim_rules_add_audience(rules, text_of("mail")), 2);
    CHECK(rules->audience_count == 2);
    FAILS_AND_WORKS(fta_claim_rules_add_word(rules, text_of("w"), ROLE_ADMIN),
                    2);
    CHECK(rules->word_count == 1);
    free_keyring(make_keyring(finish_rules(rules), 8192));

    /* A place or a required claim counts once it is begun: who cannot add it
     * frees the rules. */
    for (long n = 0, failed = 1; failed != 0; n++) {
        rules = begin_rules();
        failing_alloc_start(n);
        fta_status status =
            fta_claim_rules_add_place(rules, FTA_CLAIM_ROLE, text_of("/a/b/c"));
        if (status == FTA_OK) {
            status = fta_claim_rules_require(rules, text_of("/a/d"), &which);
        }
        if (status == FTA_OK) {
            status = fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                               text_of("v"));
        }
        if (status == FTA_OK) {
            status = fta_claim_rules_finish(rules);
        }
        failed = failing_alloc_stop();
        CHECK(status == (failed ? FTA_NO_MEMORY : FTA_OK));
        if (failed) {
            fta_claim_rules_free(rules);
        }
    }
    CHECK(which == 0);
    fta_keyring *keyring = make_keyring(rules, 8192);
    CHECK(is_valid(keyring, "{" GOOD ",\"a\":{\"d\":\"v\"}}"));
    CHECK(!is_valid(keyring, "{" GOOD ",\"a\":{\"d\":\"w\"}}"));
    free_keyring(keyring);
    fta_claim_rules_free(NULL);
}

static fta_status
new_roles(const fta_permission_names *names, fta_roles **out)
{
    *out = fta_roles_new(names);
    return *out == NULL ? FTA_NO_MEMORY : FTA_OK;
}

static fta_status
new_names(fta_permission_names **out)
{
    *out = fta_permission_names_new();
    return *out == NULL ? FTA_NO_MEMORY : FTA_OK;
}

static void
test_roles_survive_each_allocation_that_fails(void)
{
    fta_permission_names *names = NULL;
    fta_roles *roles = NULL;
    size_t number = 99;
    FAILS_AND_WORKS(new_names(&names), 1);
    FAILS_AND_WORKS(fta_permission_names_add(names, text_of("a:b"), &number),
                    1);
    CHECK(number == 0 && fta_permission_names_count(names) == 1);
    FAILS_AND_WORKS(new_roles(names, &roles), 1);
    FAILS_AND_WORKS(fta_roles_add(roles, text_of("user")), 1);
    FAILS_AND_WORKS(fta_roles_add(roles, text_of("admin")), 1);
    CHECK(fta_roles_count(roles) == 2);
    FAILS_AND_WORKS(fta_roles_grant(roles, 1, text_of("a:*")), 2);
    fta_permission_set weak = {{0}}, strong = {{0}};
    fta_roles_join_granted(roles, 0, &weak);
    fta_roles_join_granted(roles, 1, &strong);
    CHECK(fta_permission_set_has(&strong, 0));
    CHECK(!fta_permission_set_has(&weak, 0));
    fta_roles_free(roles);
    fta_permission_names_free(names);
    fta_roles_free(NULL);
    fta_permission_names_free(NULL);
}

static void
test_there_are_so_many_roles(void)
{
    fta_roles *roles = fta_roles_new(test_permissions());
    fta_role role = 0;
    char text[16];
    for (int i = 0; i < FTA_ROLES_MAX; i++) {
        snprintf(text, sizeof text, "r%d", i);
        CHECK(fta_roles_add(roles, text_of(text)) == FTA_OK);
    }
    CHECK(fta_roles_add(roles, text_of("more")) == FTA_ROLES_TOO_MANY);
    CHECK(fta_roles_add(roles, text_of("r7")) == FTA_ROLE_REPEATED);
    CHECK(fta_roles_add(roles, text_of("a,b")) == FTA_ROLE_MALFORMED);
    CHECK(fta_roles_find(roles, text_of("r63"), &role) && role == 63);
    CHECK(!fta_roles_find(roles, text_of("R63"), &role));
    CHECK(fta_roles_find(roles, text_of("r6"), &role) && role == 6);
    fta_roles_let_reach_tenant(roles, 63);
    CHECK(fta_roles_reaches_tenant(roles, 63));
    CHECK(!fta_roles_reaches_tenant(roles, 62));
    /* Its text ends with a NUL. */
    CHECK(strcmp(fta_roles_at(roles, 63).data, "r63") == 0);
    fta_roles_free(roles);
}

static void
test_a_permission_name_has_so_many_octets(void)
{
    char text[256];
    size_t number;
    fta_permission_names *names = fta_permission_names_new();
    memset(text, 'p', sizeof text);
    CHECK(fta_permission_names_add(names, (fta_text){text, 256}, &number) ==
          FTA_PERMISSION_MALFORMED);
    CHECK(fta_permission_names_add(names, (fta_text){text, 255}, &number) ==
          FTA_OK);
    CHECK(!fta_permission_names_find(names, (fta_text){text, 256}, &number));
    CHECK(!fta_permission_names_find(names, (fta_text){text, 254}, &number));
    CHECK(!fta_permission_names_find(names, (fta_text){NULL, 0}, &number));
    CHECK(fta_permission_names_at(names, 0).length == 255);
    fta_permission_names_free(names);
}

int
main(void)
{
    test_a_pointer_is_a_path_of_names();
    test_a_place_has_each_of_its_uses();
    test_an_element_is_found_by_its_index();
    test_nodes_that_share_slots_are_told_apart();
    test_a_tree_has_so_many_nodes();
    test_a_name_has_so_many_octets();
    test_rules_survive_each_allocation_that_fails();
    test_roles_survive_each_allocation_that_fails();
    test_there_are_so_many_roles();
    test_a_permission_name_has_so_many_octets();
    return check_report("test_claim_rules");
}
