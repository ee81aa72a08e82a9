/* Any octets as the payload of a token with a valid signature. The status is
 * the same with and without a sink. It is a JSON error exactly if
 * fta_json_digest() gives the same error. */
#include "signed_token.h"

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

/* What is written of claims is read again as they were, but for fractions. */
static void
require_written(const fta_claims *claims)
{
    const size_t header_size = sizeof HEADER - 1;
    const fta_claim_rules *rules = &fuzz_keyring()->rules;
    fta_claims again;
    char *payload = malloc(fta_claims_room(rules) + 2);
    require(payload != NULL);
    payload[0] = '{';
    size_t size = fta_claims_write(claims, rules, payload + 1) + 1;
    payload[size++] = '}';
    fta_status status =
        status_of_signed(HEADER, header_size, payload, size, NULL, &again);
    free(payload);
    require(status == FTA_OK || status == FTA_EXPIRED);
    if (status == FTA_OK) {
        require(fta_uuid_equal(&again.tenant_id, &claims->tenant_id));
        require(fta_uuid_equal(&again.user_id, &claims->user_id));
        require(again.role == claims->role);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t header_size = sizeof HEADER - 1;
    nesting at = {0, 0};
    fta_json_sink sink = {accept, &at};
    fta_claims with, without;
    uint64_t digest;
    if (size == 0) {
        return 0; /* An empty segment makes the token malformed. */
    }
    fta_status status =
        status_of_signed(HEADER, header_size, data, size, NULL, &without);
    require(status_of_signed(HEADER, header_size, data, size, &sink, &with) ==
            status);
    fta_status json = status_of_digest(data, size, &digest);
    require(is_about_json(status) ? json == status : json == FTA_OK);
    if (status == FTA_OK) {
        require(at.depth == 0);
        require(fta_uuid_equal(&with.tenant_id, &without.tenant_id));
        require(fta_uuid_equal(&with.user_id, &without.user_id));
        require(with.role == without.role && with.role < FTA_ROLE_COUNT);
        require(with.expires_at == without.expires_at);
        require(with.present == without.present);
        require_written(&with);
    }
    return 0;
}
