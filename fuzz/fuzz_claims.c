/* Any octets as the payload of a token with a valid signature, under rules that
 * the first octets choose. The status is the same with and without sinks. It
 * is a JSON error exactly if fta_json_digest() gives the same error. What is
 * read can be written, and is read again. */
#include "signed_token.h"

#include <math.h>

#include "base/alloc.h"
#include "token/claims_write.h"
#include "token/payload.h"

/* How many octets choose the rules. */
#define CHOICE 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Which objects and arrays are open. Each end has to close the one that was
 * opened last, and a name has to be inside an object. */
typedef struct nesting {
    uint64_t objects;
    unsigned depth;
} nesting;

static bool
accept(void *context, const fta_json_event *event)
{
    nesting *at = context;
    switch (event->kind) {
    case FTA_JSON_OBJECT:
    case FTA_JSON_ARRAY:
        require(at->depth < FTA_JSON_DEPTH);
        at->objects = at->objects << 1 | (event->kind == FTA_JSON_OBJECT);
        at->depth++;
        break;
    case FTA_JSON_OBJECT_END:
    case FTA_JSON_ARRAY_END:
        require(at->depth > 0);
        require((at->objects & 1) == (event->kind == FTA_JSON_OBJECT_END));
        at->objects >>= 1;
        at->depth--;
        break;
    case FTA_JSON_NAME:
        require((at->objects & 1) == 1);
        break;
    default:
        require(at->depth > 0);
        break;
    }
    return true;
}

/* --- rules -------------------------------------------------------------- */

/* Takes so many values from the octets that choose the rules. */
static unsigned
choose(uint32_t *choice, unsigned count)
{
    unsigned chosen = *choice % count;
    *choice /= count;
    return chosen;
}

static void
add_places(fta_claim_rules *rules, fta_claim claim, uint32_t *choice)
{
    static const char *const places[] = {
        "sub", "/a/b", "https://x/y", "/a/0", "/a/b/~1", "c", "/", "/act/sub"};
    const unsigned count = sizeof places / sizeof *places;
    for (unsigned i = choose(choice, 3); i > 0; i--) {
        const char *place = places[choose(choice, count)];
        require(fta_claim_rules_add_place(
                    rules, claim, (fta_text){place, strlen(place)}) == FTA_OK);
    }
}

/* A claim that is required, at a place that another claim may have too. */
static void
require_something(fta_claim_rules *rules, uint32_t *choice)
{
    static const fta_text places[] = {
        {"/a/b", 4}, {"typ", 3}, {"user_id", 7}, {"/a/0", 4}};
    static const struct {
        fta_json_kind kind;
        fta_text text;
    } values[] = {
        {FTA_JSON_STRING, {"x", 1}},
        {FTA_JSON_STRING, {"550E8400-E29B-41D4-A716-446655440000", 36}},
        {FTA_JSON_STRING, {"refresh", 7}},
        {FTA_JSON_INTEGER, {"7", 1}},
        {FTA_JSON_TRUE, {"", 0}},
    };
    uint8_t which;
    unsigned place = choose(choice, 4), value = choose(choice, 5);
    require(fta_claim_rules_require(rules, places[place], &which) == FTA_OK);
    require(fta_claim_rules_add_value(rules, which, values[value].kind,
                                      values[value].text) == FTA_OK);
}

/* The rules that eight octets choose. */
static fta_claim_rules *
choose_rules(const uint8_t octets[CHOICE])
{
    uint32_t places, rest;
    memcpy(&places, octets, 4);
    memcpy(&rest, octets + 4, 4);
    fta_claim_rules *rules = begin_rules();
    bool without_identity = choose(&rest, 4) == 3;
    rules->without_identity = without_identity;
    add_places(rules, FTA_CLAIM_TENANT_ID, &places);
    add_places(rules, FTA_CLAIM_USER_ID, &places);
    add_places(rules, FTA_CLAIM_ROLE, &rest);
    add_places(rules, FTA_CLAIM_PERMISSIONS, &rest);
    if (choose(&rest, 2) == 1) {
        require(fta_claim_rules_add_word(rules, (fta_text){"Owner", 5},
                                         ROLE_ADMIN) == FTA_OK);
    }
    rules->has_default_role = choose(&rest, 2) == 0;
    rules->has_namespace = choose(&rest, 2) == 1;
    if (choose(&rest, 3) == 2) {
        require_something(rules, &rest);
    }
    if (choose(&rest, 2) == 1) {
        require(fta_claim_rules_set_issuer(rules, (fta_text){"us", 2}) ==
                FTA_OK);
        require(fta_claim_rules_add_audience(rules, (fta_text){"api", 3}) ==
                FTA_OK);
    }
    return finish_rules(rules);
}

static fta_keyring *
choose_keyring(const uint8_t octets[CHOICE])
{
    fta_keyring *keyring;
    require(fta_keyring_new(fuzz_keyring()->keys, 1, choose_rules(octets),
                            (size_t)1 << 20, &keyring) == FTA_OK);
    keyring->seed = fuzz_keyring()->seed;
    return keyring;
}

/* --- what must hold ----------------------------------------------------- */

/* A digest of the permissions that a payload names; names of a place that does
 * not count in the end are taken back. */
typedef struct named {
    uint64_t digest;
    bool known[2];
} named;

static void
name_permission(void *context, fta_text name)
{
    named *so_far = context;
    if (name.data == NULL) {
        *so_far = (named){0};
        return;
    }
    so_far->digest =
        so_far->digest * 31 +
        fta_json_hash(&fuzz_keyring()->seed, 1, name.data, name.length);
    so_far->known[0] = so_far->known[0] || fta_text_is(name, "mail:read");
    so_far->known[1] = so_far->known[1] || fta_text_is(name, "a/b");
}

/* Reads a payload as a token's is read, but so that it lives on. */
static fta_status
read_payload(const fta_keyring *keyring, char *payload, size_t size, double now,
             const fta_json_sink *sink, named *permissions, fta_claims *out)
{
    const fta_permission_sink names = {name_permission, permissions};
    const fta_claim_reader how = {
        .rules = keyring->rules,
        .seed = &keyring->seed,
        .sink = sink,
        .permissions = permissions != NULL ? &names : NULL,
        .now = now,
    };
    return fta_claims_read(&how, payload, size, out);
}

/* What is made of claims is read again as they were, but for fractions. Under
 * the usual rules it can be made of all claims that can be read. */
static void
require_written(const fta_keyring *keyring, const fta_claims *claims)
{
    const fta_claim_rules *rules = keyring->rules;
    const fta_text nothing = {"{}", 2};
    char *payload = NULL;
    size_t size;
    size_t room = fta_claims_room(claims, rules);
    char *members = malloc(room);
    require(members != NULL);
    require(fta_claims_write(claims, rules, members) <= room);
    free(members);
    fta_status status =
        fta_payload_make(keyring, claims, nothing, &payload, &size);
    bool usual = true;
    for (size_t i = 0; i < FTA_CLAIM_COUNT; i++) {
        usual = usual && rules->places[i] == 0;
    }
    if (usual && rules->required == 0) {
        require(status == FTA_OK || rules->word_count != 0);
    }
    if (status != FTA_OK) {
        require(!is_about_json(status) && status != FTA_NO_MEMORY);
        return;
    }
    fta_claims again;
    require(read_payload(keyring, payload, size, NAN, NULL, NULL, &again) ==
            FTA_OK);
    if (!rules->without_identity) {
        require(fta_uuid_equal(&again.tenant_id, &claims->tenant_id));
        require(fta_uuid_equal(&again.user_id, &claims->user_id));
        require(again.role == claims->role);
        require(fta_text_equal(again.actor, claims->actor));
    }
    fta_free(payload);
}

static void
require_equal(const fta_claims *a, const fta_claims *b)
{
    require(fta_uuid_equal(&a->tenant_id, &b->tenant_id));
    require(fta_uuid_equal(&a->user_id, &b->user_id));
    require(a->role == b->role && a->role <= ROLE_ADMIN);
    require(a->expires_at == b->expires_at && a->present == b->present);
    require(memcmp(&a->permissions, &b->permissions, sizeof a->permissions) ==
            0);
}

/* The numbers of two permissions, which they get before the first payload. */
static void
number_permissions(size_t numbers[2])
{
    static const fta_text names[] = {{"mail:read", 9}, {"a/b", 3}};
    for (size_t i = 0; i < 2; i++) {
        require(fta_permission_names_add(test_permissions(), names[i],
                                         &numbers[i]) == FTA_OK);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nesting at = {0, 0};
    fta_json_sink sink = {accept, &at};
    fta_claims token, with, without;
    named permissions = {0}, again = {0};
    uint64_t digest;
    size_t numbers[2];
    if (size <= CHOICE) {
        return 0; /* An empty segment makes the token malformed. */
    }
    number_permissions(numbers);
    fta_keyring *keyring = choose_keyring(data);
    data += CHOICE;
    size -= CHOICE;
    char *first = malloc(size), *second = malloc(size);
    require(first != NULL && second != NULL);
    memcpy(first, data, size);
    memcpy(second, data, size);
    fta_status status =
        read_payload(keyring, first, size, 2e9, NULL, &permissions, &without);
    require(read_payload(keyring, second, size, 2e9, &sink, &again, &with) ==
            status);
    fta_status json = status_of_digest(data, size, &digest);
    require(is_about_json(status) ? json == status : json == FTA_OK);
    /* Only the times differ: a token is read at the time of the clock. */
    fta_status of_token = status_under(keyring, HEADER, sizeof HEADER - 1, data,
                                       size, NULL, &token);
    bool is_late = of_token == FTA_EXPIRED || of_token == FTA_NOT_YET_VALID ||
                   status == FTA_EXPIRED || status == FTA_NOT_YET_VALID;
    require(of_token == status || is_late);
    if (status == FTA_OK) {
        require(at.depth == 0);
        require_equal(&with, &without);
        require(of_token != FTA_OK || (require_equal(&with, &token), true));
        /* Its place may be that of an id, which the sink sees in lower case. */
        require(with.actor.length == without.actor.length);
        require(permissions.digest == again.digest);
        for (size_t i = 0; i < 2; i++) {
            require(fta_permission_set_has(&without.permissions, numbers[i]) ==
                    permissions.known[i]);
        }
        require_written(keyring, &without);
    }
    free(second);
    free(first);
    fta_keyring_free(keyring);
    return 0;
}
