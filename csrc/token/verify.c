#include "token/verify.h"

#include <math.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/clock.h"
#include "token/key_pair.h"
#include "token/peek.h"

/* --- header ------------------------------------------------------------- */

typedef struct header {
    fta_text alg; /* data NULL: absent */
    fta_text kid;
    fta_text typ;
} header;

static fta_status
read_string(const fta_json_event *event, fta_status invalid, fta_text *out)
{
    if (event->kind != FTA_JSON_STRING) {
        return invalid;
    }
    *out = event->text;
    return FTA_OK;
}

/* A parameter and the first event of its value. Parameters that are not named
 * here are ignored (RFC 7515, section 4). jwk, jku, x5u and x5c are among them:
 * a token does not bring its own key. */
static fta_status
read_parameter(header *found, fta_text name, const fta_json_event *event)
{
    if (fta_text_is(name, "alg")) {
        return read_string(event, FTA_ALGORITHM_MISSING, &found->alg);
    }
    if (fta_text_is(name, "kid")) {
        return read_string(event, FTA_KID_INVALID, &found->kid);
    }
    if (fta_text_is(name, "typ")) {
        return read_string(event, FTA_TYP_INVALID, &found->typ);
    }
    if (fta_text_is(name, "crit")) {
        return FTA_CRIT_REFUSED;
    }
    return fta_text_is(name, "b64") ? FTA_B64_REFUSED : FTA_OK;
}

/* The whole header, as strictly as claims are read. */
static fta_status
read_parameters(fta_json *reader, header *found)
{
    fta_status first_wrong = FTA_OK;
    fta_json_event event;
    fta_status status = fta_json_next(reader, &event);
    if (status == FTA_OK && event.kind != FTA_JSON_OBJECT) {
        return FTA_JSON_NOT_OBJECT;
    }
    while (status == FTA_OK) {
        status = fta_json_next(reader, &event);
        if (status != FTA_OK || event.kind == FTA_JSON_OBJECT_END) {
            break;
        }
        fta_text name = event.text;
        status = fta_json_next(reader, &event);
        if (status != FTA_OK) {
            break;
        }
        fta_status wrong = read_parameter(found, name, &event);
        if (first_wrong == FTA_OK) {
            first_wrong = wrong;
        }
        if (event.kind == FTA_JSON_OBJECT || event.kind == FTA_JSON_ARRAY) {
            status = fta_json_leave(reader, NULL);
        }
    }
    if (status == FTA_OK) {
        status = fta_json_next(reader, &event); /* FTA_JSON_END, or too much */
    }
    return status == FTA_OK ? first_wrong : status;
}

/* RFC 8725, section 3.11: other kinds of JWT are invalid. RFC 7515, section
 * 4.1.9: a media type, with or without "application/". */
static bool
typ_is_accepted(fta_text typ)
{
    static const char prefix[] = "application/";
    const size_t prefix_length = sizeof prefix - 1;
    fta_text start = {typ.data, prefix_length};
    if (typ.length > prefix_length && fta_text_is_in_any_case(start, prefix)) {
        typ.data += prefix_length;
        typ.length -= prefix_length;
    }
    return fta_text_is_in_any_case(typ, "jwt") ||
           fta_text_is_in_any_case(typ, "at+jwt");
}

/* Finds the key, or the algorithm of the keys, that the header names. The kid
 * is a hint (RFC 7515, section 4.1.4): one that no key has names a key whose id
 * this application does not know, if there is such a key. */
static fta_status
select_key(const fta_keyring *keyring, const header *found, fta_token *token)
{
    if (found->alg.data == NULL) {
        return FTA_ALGORITHM_MISSING;
    }
    if (found->typ.data != NULL && !typ_is_accepted(found->typ)) {
        return FTA_TYP_INVALID;
    }
    bool kid_is_known = false;
    token->key = NULL;
    token->algorithm = NULL;
    token->kid_is_foreign = false;
    for (size_t i = 0; i < keyring->key_count; i++) {
        const fta_key *key = keyring->keys[i];
        bool has_kid = found->kid.data != NULL &&
                       fta_text_equal(found->kid, fta_key_id(key));
        bool has_algorithm =
            fta_text_equal(found->alg, fta_key_algorithm(key)->name);
        if (has_kid && has_algorithm) {
            token->key = key;
            token->algorithm = fta_key_algorithm(key);
            return FTA_OK;
        }
        kid_is_known = kid_is_known || has_kid;
        if (has_algorithm &&
            (found->kid.data == NULL || !fta_key_id_is_given(key))) {
            token->algorithm = fta_key_algorithm(key);
        }
    }
    token->kid_is_foreign = found->kid.data != NULL;
    if (kid_is_known || (token->algorithm == NULL && found->kid.data == NULL)) {
        return FTA_ALGORITHM_MISMATCH;
    }
    return token->algorithm == NULL ? FTA_KID_UNKNOWN : FTA_OK;
}

/* --- the three steps ---------------------------------------------------- */

/* Room for so many octets: the scratch, or allocated memory if it is too small.
 */
static char *
make_room(fta_token *token, size_t size)
{
    if (size <= sizeof token->scratch) {
        return token->scratch;
    }
    return fta_malloc(size);
}

static void
free_room(fta_token *token, char *room)
{
    if (room != token->scratch) {
        fta_free(room);
    }
}

static fta_status
read_header(const fta_keyring *keyring, fta_text segment, fta_token *token)
{
    const fta_known_header *known = fta_keyring_find_header(keyring, segment);
    if (known != NULL) {
        token->algorithm = known->algorithm;
        token->key = known->key;
        token->kid_is_foreign = false;
        return FTA_OK;
    }
    size_t size = FTA_BASE64_SIZE(segment.length);
    char *text = make_room(token, size);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_BASE64URL_INVALID;
    if (fta_base64url_decode(segment.data, segment.length, (uint8_t *)text)) {
        header found = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
        fta_json reader;
        fta_json_start(&reader, text, size, &keyring->seed);
        status = read_parameters(&reader, &found);
        if (status == FTA_OK) {
            status = select_key(keyring, &found, token);
        }
        fta_json_finish(&reader);
    }
    free_room(token, text);
    return status;
}

fta_status
fta_token_open(const fta_keyring *keyring, fta_text text, fta_token *token)
{
    token->payload = NULL;
    if (text.length > keyring->max_token_bytes) {
        return FTA_TOO_LONG;
    }
    fta_token_segments segments;
    fta_status status = fta_token_split(text, &segments);
    if (status != FTA_OK) {
        return status;
    }
    status = read_header(keyring, segments.header, token);
    if (status != FTA_OK) {
        return status;
    }
    token->text = text.data;
    token->signed_length = segments.header.length + 1 + segments.payload.length;
    token->signature = segments.signature;
    token->payload_size = FTA_BASE64_SIZE(segments.payload.length);
    token->payload = make_room(token, token->payload_size);
    if (token->payload == NULL) {
        return FTA_NO_MEMORY;
    }
    return fta_base64url_decode(segments.payload.data, segments.payload.length,
                                (uint8_t *)token->payload)
               ? FTA_OK
               : FTA_BASE64URL_INVALID;
}

bool
fta_token_is_slow(const fta_token *token)
{
    return token->algorithm->family != FTA_HMAC;
}

/* The status of a token that none of its keys verifies. */
static fta_status
mismatch_of(const fta_token *token)
{
    return token->kid_is_foreign ? FTA_KID_UNKNOWN : FTA_SIGNATURE_MISMATCH;
}

/* Tries the keys that may have signed a token whose kid names none. */
static fta_status
try_keys(const fta_keyring *keyring, const fta_token *token,
         const uint8_t *signature, size_t size)
{
    unsigned tries = 0;
    for (size_t i = 0; i < keyring->key_count && tries < FTA_TOKEN_TRIES; i++) {
        const fta_key *key = keyring->keys[i];
        if (fta_key_algorithm(key) != token->algorithm ||
            (token->kid_is_foreign && fta_key_id_is_given(key))) {
            continue;
        }
        tries++;
        fta_status status = fta_key_verify(
            key, token->text, token->signed_length, signature, size);
        if (status != FTA_SIGNATURE_MISMATCH) {
            return status;
        }
    }
    return mismatch_of(token);
}

fta_status
fta_token_check(const fta_keyring *keyring, const fta_token *token)
{
    uint8_t signature[FTA_SIGNATURE_MAX];
    size_t size = FTA_BASE64_SIZE(token->signature.length);
    if (size > sizeof signature) {
        return mismatch_of(token);
    }
    if (!fta_base64url_decode(token->signature.data, token->signature.length,
                              signature)) {
        return FTA_BASE64URL_INVALID;
    }
    if (token->key != NULL) {
        return fta_key_verify(token->key, token->text, token->signed_length,
                              signature, size);
    }
    return try_keys(keyring, token, signature, size);
}

fta_status
fta_token_claims(const fta_keyring *keyring, fta_token *token,
                 const fta_token_sinks *sinks, fta_claims *out)
{
    token->now = (double)fta_clock_realtime_us() / 1e6;
    const fta_claim_reader how = {
        .rules = keyring->rules,
        .seed = &keyring->seed,
        .sink = sinks->events,
        .permissions = sinks->permissions,
        .now = sinks->any_time ? NAN : token->now,
        .ids = sinks->ids,
    };
    return fta_claims_read(&how, token->payload, token->payload_size, out);
}

void
fta_token_close(fta_token *token)
{
    if (token->payload != NULL) {
        free_room(token, token->payload);
    }
}
