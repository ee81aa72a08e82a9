#include "token/claim_rules.h"

#include "base/alloc.h"

fta_claim_rules *
fta_claim_rules_new(fta_roles *roles)
{
    fta_claim_rules *rules = fta_calloc(1, sizeof *rules);
    if (rules != NULL) {
        rules->roles = roles;
        rules->has_default_role = true;
        fta_claim_tree_start(&rules->tree);
    }
    return rules;
}

void
fta_claim_rules_free(fta_claim_rules *rules)
{
    if (rules != NULL) {
        fta_claim_tree_clear(&rules->tree);
        fta_text_pool_clear(&rules->pool);
        fta_free(rules->audiences);
        fta_free(rules->words);
        fta_free(rules->values);
        fta_free(rules);
    }
}

fta_status
fta_claim_rules_set_issuer(fta_claim_rules *rules, fta_text issuer)
{
    return fta_text_pool_add(&rules->pool, issuer, &rules->issuer);
}

fta_status
fta_claim_rules_add_audience(fta_claim_rules *rules, fta_text audience)
{
    size_t count = rules->audience_count;
    fta_text *grown =
        fta_realloc(rules->audiences, (count + 1) * sizeof *grown);
    if (grown == NULL) {
        return FTA_NO_MEMORY;
    }
    rules->audiences = grown;
    fta_status status =
        fta_text_pool_add(&rules->pool, audience, &grown[count]);
    rules->audience_count += status == FTA_OK;
    return status;
}

fta_status
fta_claim_rules_add_place(fta_claim_rules *rules, fta_claim claim,
                          fta_text place)
{
    uint8_t rank = rules->places[claim];
    if (rules->without_identity) {
        return FTA_OK;
    }
    if (rank == FTA_PLACES_MAX) {
        return FTA_CLAIM_PATHS_TOO_MANY;
    }
    rules->places[claim]++;
    return fta_claim_tree_add(&rules->tree, place, (uint8_t)claim, rank);
}

fta_status
fta_claim_rules_add_word(fta_claim_rules *rules, fta_text word, fta_role role)
{
    size_t count = rules->word_count;
    for (size_t i = 0; i < count; i++) {
        if (fta_text_equal(rules->words[i].word, word)) {
            return FTA_ROLE_REPEATED;
        }
    }
    fta_role_word *grown =
        fta_realloc(rules->words, (count + 1) * sizeof *grown);
    if (grown == NULL) {
        return FTA_NO_MEMORY;
    }
    rules->words = grown;
    grown[count].role = role;
    fta_status status =
        fta_text_pool_add(&rules->pool, word, &grown[count].word);
    rules->word_count += status == FTA_OK;
    return status;
}

fta_status
fta_claim_rules_require(fta_claim_rules *rules, fta_text place, uint8_t *which)
{
    if (rules->required_count == FTA_REQUIRED_MAX) {
        return FTA_CLAIM_PATHS_TOO_MANY;
    }
    *which = rules->required_count;
    rules->required |= (uint32_t)1 << rules->required_count++;
    return fta_claim_tree_add(&rules->tree, place,
                              (uint8_t)(FTA_USE_REQUIRED + *which), 0);
}

fta_status
fta_claim_rules_add_value(fta_claim_rules *rules, uint8_t which,
                          fta_json_kind kind, fta_text text)
{
    size_t count = rules->value_count;
    fta_required_value *grown =
        fta_realloc(rules->values, (count + 1) * sizeof *grown);
    if (grown == NULL) {
        return FTA_NO_MEMORY;
    }
    rules->values = grown;
    grown[count] = (fta_required_value){.which = which, .kind = kind};
    fta_status status =
        fta_text_pool_add(&rules->pool, text, &grown[count].text);
    rules->value_count += status == FTA_OK;
    return status;
}

/* --- the usual places --------------------------------------------------- */

static bool
is_required(uint8_t what)
{
    return what >= FTA_USE_REQUIRED;
}

static bool
is_id(uint8_t what)
{
    return what == FTA_CLAIM_TENANT_ID || what == FTA_CLAIM_USER_ID;
}

/* Whether a claim of that name has such a use. */
static bool
has_use(const fta_claim_tree *tree, fta_text name, bool (*is_such)(uint8_t))
{
    uint16_t node = fta_claim_tree_find(tree, FTA_CLAIM_ROOT, name);
    uint16_t use = tree->nodes[node].first_use; /* the root has none */
    for (; use != FTA_CLAIM_NO_USE; use = tree->uses[use].next) {
        if (is_such(tree->uses[use].what)) {
            return true;
        }
    }
    return false;
}

/* Whether a claim of each kind has its usual place. */
#define OF_IDENTITY (!rules->without_identity && rules->places[claim] == 0)
#define IS_USUAL_ID OF_IDENTITY
#define IS_USUAL_ROLE OF_IDENTITY
#define IS_USUAL_PERMISSIONS OF_IDENTITY
#define IS_USUAL_ACTOR OF_IDENTITY
#define IS_USUAL_OBJECT OF_IDENTITY
#define IS_USUAL_DATE true
/* A sub that is an id is what an id may be: older programs write a number. */
#define IS_USUAL_TEXT (!has_use(&rules->tree, place, is_id))
#define IS_USUAL_TOKEN (!has_use(&rules->tree, place, is_id))
#define IS_USUAL_SESSION true
#define IS_USUAL_ISSUER true
#define IS_USUAL_AUDIENCE true
/* What is required of it replaces what is refused. */
#define IS_USUAL_USE (!has_use(&rules->tree, place, is_required))

static fta_status
add_usual(fta_claim_rules *rules, fta_claim claim, fta_text place)
{
    bool usual = false;
    switch (claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        usual = IS_USUAL_##kind;                                               \
        break;
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return usual ? fta_claim_tree_add(&rules->tree, place, (uint8_t)claim, 0)
                 : FTA_OK;
}

fta_status
fta_claim_rules_finish(fta_claim_rules *rules)
{
    static const fta_text places[] = {
#define X(name, text, kind, need, writer, view, member)                        \
    {text, sizeof(text) - 1},
        FTA_CLAIM_LIST(X)
#undef X
    };
    fta_status status = FTA_OK;
    for (size_t i = 0; i < FTA_CLAIM_COUNT && status == FTA_OK; i++) {
        status = add_usual(rules, (fta_claim)i, places[i]);
    }
    return status;
}

bool
fta_claim_rules_role(const fta_claim_rules *rules, fta_text word, fta_role *out)
{
    if (rules->word_count == 0) {
        return fta_roles_find(rules->roles, word, out);
    }
    for (size_t i = 0; i < rules->word_count; i++) {
        if (fta_text_equal(rules->words[i].word, word)) {
            *out = rules->words[i].role;
            return true;
        }
    }
    return false;
}
