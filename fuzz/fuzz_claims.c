/* Any octets as the payload of a token with a valid signature, under rules that
 * the first octets choose. The status is the same with and without a sink. It
 * is a JSON error exactly if fta_json_digest() gives the same error. */
#include "signed_token.h"
#include "token/claims_write.h"

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

/* The rules that eight octets choose. */
static fta_claim_rules *
choose_rules(const uint8_t octets[CHOICE])
{
    uint32_t places, rest;
    uint8_t which;
    memcpy(&places, octets, 4);
    memcpy(&rest, octets + 4, 4);
    fta_claim_rules *rules = begin_rules();
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
    rules->without_identity = choose(&rest, 4) == 3;
    if (choose(&rest, 3) == 2) {
        require(fta_claim_rules_require(rules, (fta_text){"/a/b", 4}, &which) ==
                FTA_OK);
        require(fta_claim_rules_add_value(rules, which, FTA_JSON_STRING,
                                          (fta_text){"x", 1}) == FTA_OK);
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

/* What is written of claims is read again as they were, but for fractions; if
 * not, the places leave no room for them. */
static void
require_written(const fta_keyring *keyring, const fta_claims *claims)
{
    const fta_claim_rules *rules = keyring->rules;
    fta_claims again, written = *claims;
    written.present &= ~(1u << FTA_CLAIM_ACT_SUB); /* its text is gone */
    written.actor = (fta_text){NULL, 0};
    size_t room = fta_claims_room(&written, rules);
    char *payload = malloc(room + 2);
    require(payload != NULL);
    payload[0] = '{';
    size_t size = fta_claims_write(&written, rules, payload + 1) + 1;
    require(size <= room + 1);
    payload[size++] = '}';
    fta_status status = status_under(keyring, HEADER, sizeof HEADER - 1,
                                     payload, size, NULL, &again);
    require(!is_about_json(status));
    bool usual = true;
    for (size_t i = 0; i < FTA_CLAIM_COUNT; i++) {
        usual = usual && rules->places[i] == 0;
    }
    if (usual && rules->required == 0 && !rules->without_identity) {
        require(status == FTA_OK || status == FTA_EXPIRED ||
                (rules->word_count != 0 && status == FTA_ROLE_MISSING));
        require(status != FTA_OK ||
                (fta_uuid_equal(&again.tenant_id, &claims->tenant_id) &&
                 fta_uuid_equal(&again.user_id, &claims->user_id)));
    }
    free(payload);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t header_size = sizeof HEADER - 1;
    nesting at = {0, 0};
    fta_json_sink sink = {accept, &at};
    fta_claims with, without;
    uint64_t digest;
    if (size <= CHOICE) {
        return 0; /* An empty segment makes the token malformed. */
    }
    fta_keyring *keyring = choose_keyring(data);
    data += CHOICE;
    size -= CHOICE;
    fta_status status =
        status_under(keyring, HEADER, header_size, data, size, NULL, &without);
    require(status_under(keyring, HEADER, header_size, data, size, &sink,
                         &with) == status);
    fta_status json = status_of_digest(data, size, &digest);
    require(is_about_json(status) ? json == status : json == FTA_OK);
    if (status == FTA_OK) {
        require(at.depth == 0);
        require(fta_uuid_equal(&with.tenant_id, &without.tenant_id));
        require(fta_uuid_equal(&with.user_id, &without.user_id));
        require(with.role == without.role && with.role <= ROLE_ADMIN);
        require(with.expires_at == without.expires_at);
        require(with.present == without.present);
        require(memcmp(&with.permissions, &without.permissions,
                       sizeof with.permissions) == 0);
        require_written(keyring, &with);
    }
    fta_keyring_free(keyring);
    return 0;
}
