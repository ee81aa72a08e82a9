#include "token/keyring.h"

#include <stdlib.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/base64url.h"

/* --- known headers ------------------------------------------------------ */

/* Whether every JSON writer writes the text without escapes. */
static bool
is_unescaped(fta_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c < 0x20 || c > 0x7E || c == '"' || c == '\\' || c == '/') {
            return false;
        }
    }
    return true;
}

#define HEADER_MAX (FTA_KID_MAX + 64)

/* The headers that libjwt, PyJWT and others write. A stands for the algorithm,
 * K for the kid. */
static const char *const forms_with_kid[] = {
    "{\"alg\":\"A\",\"kid\":\"K\",\"typ\":\"JWT\"}",
    "{\"alg\":\"A\",\"typ\":\"JWT\",\"kid\":\"K\"}",
};
static const char *const forms_without_kid[] = {
    "{\"alg\":\"A\",\"typ\":\"JWT\"}",
    "{\"typ\":\"JWT\",\"alg\":\"A\"}",
    "{\"alg\":\"A\"}",
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t
fill_form(const char *form, fta_text algorithm, fta_text kid,
          char out[HEADER_MAX])
{
    size_t length = 0;
    for (; *form != '\0'; form++) {
        /* "JWT" has neither of the two letters. */
        fta_text part = *form == 'A'   ? algorithm
                        : *form == 'K' ? kid
                                       : (fta_text){form, 1};
        memcpy(out + length, part.data, part.length);
        length += part.length;
    }
    return length;
}

static fta_status
add_known(fta_keyring *keyring, const char *form, const fta_key *key,
          bool with_kid)
{
    const fta_algorithm *algorithm = fta_key_algorithm(key);
    char header[HEADER_MAX];
    size_t length = fill_form(form, algorithm->name, fta_key_id(key), header);
    fta_known_header *known = &keyring->known[keyring->known_count];
    known->text = fta_malloc(FTA_BASE64_LENGTH(length));
    if (known->text == NULL) {
        return FTA_NO_MEMORY;
    }
    known->length =
        fta_base64url_encode((const uint8_t *)header, length, known->text);
    known->algorithm = algorithm;
    known->key = with_kid ? key : NULL;
    keyring->known_count++;
    return FTA_OK;
}

static bool
algorithm_seen_before(const fta_keyring *keyring, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (fta_key_algorithm(keyring->keys[i]) ==
            fta_key_algorithm(keyring->keys[index])) {
            return true;
        }
    }
    return false;
}

/* The order of known headers: shorter ones first. No two are equal, because no
 * two keys have one algorithm and one kid. */
static int
compare_headers(const void *a, const void *b)
{
    const fta_known_header *left = a, *right = b;
    if (left->length != right->length) {
        return left->length < right->length ? -1 : 1;
    }
    return memcmp(left->text, right->text, left->length);
}

static fta_status
prepare_headers(fta_keyring *keyring)
{
    size_t keys = keyring->key_count;
    keyring->known =
        fta_calloc(keys * (COUNT(forms_with_kid) + COUNT(forms_without_kid)),
                   sizeof *keyring->known);
    if (keyring->known == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_OK;
    for (size_t i = 0; i < keys && status == FTA_OK; i++) {
        const fta_key *key = keyring->keys[i];
        if (is_unescaped(fta_key_id(key))) {
            for (size_t f = 0; f < COUNT(forms_with_kid) && status == FTA_OK;
                 f++) {
                status = add_known(keyring, forms_with_kid[f], key, true);
            }
        }
        if (!algorithm_seen_before(keyring, i)) {
            for (size_t f = 0; f < COUNT(forms_without_kid) && status == FTA_OK;
                 f++) {
                status = add_known(keyring, forms_without_kid[f], key, false);
            }
        }
    }
    qsort(keyring->known, keyring->known_count, sizeof *keyring->known,
          compare_headers);
    return status;
}

const fta_known_header *
fta_keyring_find_header(const fta_keyring *keyring, fta_text segment)
{
    size_t from = 0, to = keyring->known_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const fta_known_header *known = &keyring->known[middle];
        int order = known->length != segment.length
                        ? (segment.length < known->length ? -1 : 1)
                        : memcmp(segment.data, known->text, known->length);
        if (order == 0) {
            return known;
        }
        if (order < 0) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    return NULL;
}

/* --- making one --------------------------------------------------------- */

static bool
kid_is_repeated(const fta_key *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (fta_key_algorithm(keys[i]) == fta_key_algorithm(keys[j]) &&
                fta_text_equal(fta_key_id(keys[i]), fta_key_id(keys[j]))) {
                return true;
            }
        }
    }
    return false;
}

fta_status
fta_keyring_new(const fta_key *const *keys, size_t count,
                fta_claim_rules *rules, size_t max_token_bytes,
                fta_keyring **out)
{
    if (count == 0) {
        return FTA_KEYRING_EMPTY;
    }
    if (max_token_bytes == 0 || max_token_bytes > FTA_TOKEN_MAX ||
        !(rules->leeway >= 0 && rules->leeway <= FTA_LEEWAY_MAX)) {
        return FTA_BAD_ARGUMENT;
    }
    if (kid_is_repeated(keys, count)) {
        return FTA_KID_REPEATED;
    }
    fta_keyring *keyring = fta_calloc(1, sizeof *keyring);
    if (keyring == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_NO_MEMORY;
    keyring->keys = fta_calloc(count, sizeof *keyring->keys);
    if (keyring->keys == NULL) {
        goto done;
    }
    memcpy(keyring->keys, keys, count * sizeof *keys);
    keyring->key_count = count;
    keyring->max_token_bytes = max_token_bytes;
    status = prepare_headers(keyring);
    if (status != FTA_OK) {
        goto done;
    }
    if (RAND_bytes((unsigned char *)&keyring->seed, sizeof keyring->seed) !=
        1) {
        status = FTA_CRYPTO;
    }
done:
    if (status == FTA_OK) {
        keyring->rules = rules;
        *out = keyring;
    } else {
        fta_keyring_free(keyring);
    }
    return status;
}

void
fta_keyring_free(fta_keyring *keyring)
{
    if (keyring == NULL) {
        return;
    }
    for (size_t i = 0; i < keyring->known_count; i++) {
        fta_free(keyring->known[i].text);
    }
    fta_free(keyring->known);
    fta_claim_rules_free(keyring->rules);
    fta_free(keyring->keys);
    fta_free(keyring);
}
