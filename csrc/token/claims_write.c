#include "token/claims_write.h"

#include <stdio.h>

#include "base/json_write.h"

/* Any UUID, date, or punctuation of a member. */
#define VALUE_ROOM ((size_t)64)

static size_t
text_room(size_t length)
{
    return 2 + length * FTA_JSON_ESCAPED_MAX + 1;
}

size_t
fta_claims_room(const fta_claims *claims, const fta_claim_rules *rules)
{
    size_t room = text_room(rules->issuer.length) +
                  text_room(claims->actor.length) + text_room(FTA_ROLE_BYTES);
    for (size_t i = 0; i < rules->tree.node_count; i++) {
        room += text_room(rules->tree.nodes[i].name.length) + VALUE_ROOM;
    }
    for (size_t i = 0; i < rules->word_count; i++) {
        room += text_room(rules->words[i].word.length);
    }
    for (size_t i = 0; i < rules->audience_count; i++) {
        room += text_room(rules->audiences[i].length);
    }
    return room;
}

/* --- values of each kind ------------------------------------------------ */

/* The largest integer up to which a double has every integer. */
#define DATE_MAX 9007199254740992.0

static char *
write_date(char *out, double seconds)
{
    double bounded = seconds > DATE_MAX    ? DATE_MAX
                     : seconds < -DATE_MAX ? -DATE_MAX
                                           : seconds;
    return out + snprintf(out, VALUE_ROOM / 2, "%lld", (long long)bounded);
}

static char *
write_uuid(char *out, const fta_uuid *uuid)
{
    *out++ = '"';
    fta_uuid_format(uuid, out);
    out += FTA_UUID_TEXT;
    *out++ = '"';
    return out;
}

/* data NULL: no word stands for the role. */
static fta_text
word_of(const fta_claim_rules *rules, fta_role role)
{
    if (rules->word_count == 0) {
        return fta_roles_at(rules->roles, role);
    }
    for (size_t i = 0; i < rules->word_count; i++) {
        if (rules->words[i].role == role) {
            return rules->words[i].word;
        }
    }
    return (fta_text){NULL, 0};
}

/* One as a string, several as an array (RFC 7519, section 4.1.3). */
static char *
write_audiences(char *out, const fta_claim_rules *rules)
{
    if (rules->audience_count == 1) {
        return fta_json_write_string(out, rules->audiences[0]);
    }
    for (size_t i = 0; i < rules->audience_count; i++) {
        *out++ = i == 0 ? '[' : ',';
        out = fta_json_write_string(out, rules->audiences[i]);
    }
    *out++ = ']';
    return out;
}

/* Whether a claim of each kind is said. TEXT, USE and PERMISSIONS are the
 * caller's. An OBJECT is said by what is inside it. */
#define HAVE(name) fta_claims_have(claims, FTA_CLAIM_##name)
#define SAID_ID(name) HAVE(name)
#define SAID_DATE(name) HAVE(name)
#define SAID_ROLE(name)                                                        \
    (HAVE(name) && word_of(rules, claims->role).data != NULL)
#define SAID_ACTOR(name) HAVE(name)
#define SAID_TEXT(name) false
#define SAID_TOKEN(name) false
#define SAID_SESSION(name) false
#define SAID_USE(name) false
#define SAID_PERMISSIONS(name) false
#define SAID_OBJECT(name) false
#define SAID_ISSUER(name) (rules->issuer.data != NULL)
#define SAID_AUDIENCE(name) (rules->audience_count != 0)

static bool
is_said(const fta_claims *claims, const fta_claim_rules *rules, uint8_t claim)
{
    switch ((fta_claim)claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        return SAID_##kind(name);
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return false;
}

#define WRITE_ID(member) write_uuid(out, &claims->member)
#define WRITE_DATE(member) write_date(out, claims->member)
#define WRITE_ROLE(member)                                                     \
    fta_json_write_string(out, word_of(rules, claims->member))
#define WRITE_ACTOR(member) fta_json_write_string(out, claims->member)
#define WRITE_TEXT(member) out
#define WRITE_TOKEN(member) out
#define WRITE_SESSION(member) out
#define WRITE_USE(member) out
#define WRITE_PERMISSIONS(member) out
#define WRITE_OBJECT(member) out
#define WRITE_ISSUER(member) fta_json_write_string(out, rules->issuer)
#define WRITE_AUDIENCE(member) write_audiences(out, rules)

static char *
write_claim(char *out, const fta_claims *claims, const fta_claim_rules *rules,
            uint8_t claim)
{
    switch ((fta_claim)claim) {
#define X(name, text, kind, need, writer, view, member)                        \
    case FTA_CLAIM_##name:                                                     \
        return WRITE_##kind(member);
        FTA_CLAIM_LIST(X)
#undef X
    case FTA_CLAIM_COUNT:
        break;
    }
    return out;
}

/* --- the tree ----------------------------------------------------------- */

/* The claim that is written at a node itself; FTA_CLAIM_COUNT for none. Each
 * is written at the first of its places. */
static uint8_t
claim_said_at(const fta_claims *claims, const fta_claim_rules *rules,
              const fta_claim_node *node)
{
    const fta_claim_use *uses = rules->tree.uses;
    for (uint16_t next = node->first_use; next != FTA_CLAIM_NO_USE;
         next = uses[next].next) {
        const fta_claim_use *use = &uses[next];
        if (use->rank == 0 && use->what < FTA_CLAIM_COUNT &&
            is_said(claims, rules, use->what)) {
            return use->what;
        }
    }
    return FTA_CLAIM_COUNT;
}

/* Writes the members of an object that are said, each with a comma before it
 * if it is not the first. The tree is FTA_CLAIM_DEPTH_MAX deep at most. */
static char *
write_members(char *out, const fta_claims *claims, const fta_claim_rules *rules,
              uint16_t object)
{
    const fta_claim_node *nodes = rules->tree.nodes;
    bool first = true;
    for (uint16_t each = nodes[object].first_child; each != 0;
         each = nodes[each].sibling) {
        const fta_claim_node *node = &nodes[each];
        char *start = out;
        if (!first) {
            *out++ = ',';
        }
        out = fta_json_write_string(out, node->name);
        *out++ = ':';
        uint8_t claim = claim_said_at(claims, rules, node);
        if (claim != FTA_CLAIM_COUNT) {
            out = write_claim(out, claims, rules, claim);
            first = false;
            continue;
        }
        *out++ = '{';
        char *inside = out;
        out = write_members(out, claims, rules, each);
        if (out == inside) {
            out = start; /* nothing is said in it */
            continue;
        }
        *out++ = '}';
        first = false;
    }
    return out;
}

size_t
fta_claims_write(const fta_claims *claims, const fta_claim_rules *rules,
                 char *out)
{
    return (size_t)(write_members(out, claims, rules, FTA_CLAIM_ROOT) - out);
}

/* --- who may write what ------------------------------------------------- */

static bool
core_writes(uint8_t claim)
{
#define WRITES_CORE true
#define WRITES_INSIDE true
#define WRITES_CALLER false
    static const bool writes[] = {
#define X(name, text, kind, need, writer, view, member) WRITES_##writer,
        FTA_CLAIM_LIST(X)
#undef X
    };
    return claim < FTA_CLAIM_COUNT && writes[claim];
}

static bool
is_written(const fta_claim_rules *rules, uint16_t node)
{
    const fta_claim_tree *tree = &rules->tree;
    for (uint16_t next = tree->nodes[node].first_use; next != FTA_CLAIM_NO_USE;
         next = tree->uses[next].next) {
        const fta_claim_use *use = &tree->uses[next];
        if (use->rank == 0 && core_writes(use->what)) {
            return true;
        }
    }
    for (uint16_t each = tree->nodes[node].first_child; each != 0;
         each = tree->nodes[each].sibling) {
        if (is_written(rules, each)) {
            return true;
        }
    }
    return false;
}

uint16_t
fta_claims_next_written(const fta_claim_rules *rules, uint16_t node)
{
    const fta_claim_node *nodes = rules->tree.nodes;
    uint16_t next = node == FTA_CLAIM_ROOT ? nodes[FTA_CLAIM_ROOT].first_child
                                           : nodes[node].sibling;
    while (next != 0 && !is_written(rules, next)) {
        next = nodes[next].sibling;
    }
    return next;
}
