#include "token/payload.h"

#include <math.h>

#include "base/alloc.h"
#include "token/claims_read.h"
#include "token/claims_write.h"

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static fta_text
skip_space(fta_text text)
{
    while (text.length > 0 && is_space(*text.data)) {
        text.data++;
        text.length--;
    }
    return text;
}

static bool
is_same_identity(const fta_claims *a, const fta_claims *b)
{
    return fta_uuid_equal(&a->tenant_id, &b->tenant_id) &&
           fta_uuid_equal(&a->user_id, &b->user_id) && a->role == b->role &&
           fta_claims_have(a, FTA_CLAIM_ACT_SUB) ==
               fta_claims_have(b, FTA_CLAIM_ACT_SUB) &&
           fta_text_equal(a->actor, b->actor);
}

/* Whether this application would read these claims in the payload. */
static fta_status
check_claims(const fta_keyring *keyring, const fta_claims *claims,
             fta_text payload)
{
    const fta_claim_reader how = {
        .rules = keyring->rules, .seed = &keyring->seed, .now = NAN};
    fta_claims read;
    char *text = fta_malloc(payload.length);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(text, payload.data, payload.length);
    fta_status status = fta_claims_read(&how, text, payload.length, &read);
    if (status == FTA_OK && !keyring->rules->without_identity &&
        !is_same_identity(&read, claims)) {
        status = FTA_CLAIMS_CONFLICT;
    }
    fta_free(text);
    return status;
}

fta_status
fta_payload_make(const fta_keyring *keyring, const fta_claims *claims,
                 fta_text further, char **out, size_t *length)
{
    /* White space and escapes do not go into the token. A payload that is
     * mostly that is not expected. */
    if (further.length / 2 > keyring->max_token_bytes) {
        return FTA_TOO_LONG;
    }
    /* The members and the closing brace, which check_claims checks. */
    fta_text rest = skip_space(further);
    if (rest.length == 0 || *rest.data != '{') {
        return FTA_JSON_NOT_OBJECT;
    }
    rest = skip_space((fta_text){rest.data + 1, rest.length - 1});
    char *payload =
        fta_malloc(fta_claims_room(claims, keyring->rules) + rest.length + 2);
    if (payload == NULL) {
        return FTA_NO_MEMORY;
    }
    size_t size = 0;
    payload[size++] = '{';
    size += fta_claims_write(claims, keyring->rules, payload + size);
    if (size > 1 && rest.length > 0 && *rest.data != '}') {
        payload[size++] = ',';
    }
    memcpy(payload + size, rest.data, rest.length);
    size += rest.length;
    fta_status status =
        check_claims(keyring, claims, (fta_text){payload, size});
    if (status != FTA_OK) {
        fta_free(payload);
        return status;
    }
    *out = payload;
    *length = size;
    return FTA_OK;
}
