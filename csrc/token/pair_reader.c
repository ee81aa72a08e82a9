#include "token/pair_reader.h"

#include <openssl/err.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "token/pair_der.h"
#include "token/pair_pem.h"
#include "token/pair_text.h"

static bool
begins_with(fta_text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* Copies the text as UTF-8 without a byte order mark, and with line feeds for
 * backslashes and n. Returns the length, which is at most that of the text. */
static size_t
copy_plainly(fta_text text, char *out)
{
    size_t length = 0, at = 0, step = 1;
    if (begins_with(text, "\xEF\xBB\xBF")) {
        at = 3;
    } else if (begins_with(text, "\xFF\xFE")) {
        at = 2;
        step = 2;
    } else if (begins_with(text, "\xFE\xFF")) {
        at = 3;
        step = 2;
    }
    for (; at < text.length; at += step) {
        char c = text.data[at];
        out[length++] = c;
        if (c != 'n' && c != 'r' && c != 't') {
            continue;
        }
        size_t slashes = 0;
        while (slashes + 1 < length && out[length - 2 - slashes] == '\\') {
            slashes++;
        }
        if (slashes != 0) {
            length -= slashes;
            out[length - 1] = '\n';
        }
    }
    return length;
}

/* The octets of base64 or base64url, also with fillers in it; 0 for any other
 * text. */
static size_t
decode_bare_base64(fta_text text, char *work, uint8_t *out)
{
    const char *at = text.data, *end = text.data + text.length;
    fta_text word;
    size_t length = 0;
    while (fta_key_next_word(&at, end, &word)) {
        for (size_t i = 0; i < word.length; i++) {
            char c = word.data[i];
            work[length++] = c == '-' ? '+' : c == '_' ? '/' : c;
        }
    }
    for (int i = 0; i < 2 && length > 0; i++) {
        length -= work[length - 1] == '=';
    }
    return length != 0 && fta_base64_decode(work, length, out)
               ? FTA_BASE64_SIZE(length)
               : 0;
}

/* What the text is, by how it begins; FTA_KEY_NOT_FOUND if that tells nothing.
 */
static fta_status
name_text(fta_text text)
{
    static const struct {
        const char *prefix;
        fta_status status;
    } prefixes[] = {
        {"{", FTA_KEY_IS_JSON},
        {"[", FTA_KEY_IS_JSON},
        {"<", FTA_KEY_IS_HTML},
        {"ssh-", FTA_KEY_IS_OPENSSH},
        {"ecdsa-sha2-", FTA_KEY_IS_OPENSSH},
        {"sk-ssh-", FTA_KEY_IS_OPENSSH},
        {"sk-ecdsa-", FTA_KEY_IS_OPENSSH},
        {"---- BEGIN SSH2", FTA_KEY_IS_OPENSSH},
        {"PuTTY-User-Key-File", FTA_KEY_IS_OPENSSH},
        {"\xFE\xED\xFE\xED", FTA_KEY_IS_KEYSTORE},
        {"\xCE\xCE\xCE\xCE", FTA_KEY_IS_KEYSTORE},
    };
    while (text.length > 0 && fta_key_is_filler(*text.data)) {
        text.data++;
        text.length--;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (begins_with(text, prefixes[i].prefix)) {
            return prefixes[i].status;
        }
    }
    return FTA_KEY_NOT_FOUND;
}

/* Reads PEM text. A key that is quoted in a page or a document is not read: it
 * may be an example. */
static fta_status
read_text(fta_text text, fta_text passphrase, fta_pair_found *out)
{
    fta_status status = name_text(text);
    if (status == FTA_KEY_NOT_FOUND && fta_has_pem(text)) {
        status = fta_pair_read_pem(text, passphrase, out);
    }
    return status;
}

static fta_status
read_bare_base64(fta_text text, fta_text passphrase, fta_pair_found *out)
{
    fta_status status = FTA_NO_MEMORY;
    size_t room = text.length + 1;
    char *work = fta_malloc(room);
    uint8_t *octets = fta_malloc(room);
    if (work != NULL && octets != NULL) {
        size_t size = decode_bare_base64(text, work, octets);
        status = fta_pair_read_der(octets, size, passphrase, out);
        if (status == FTA_KEY_NOT_FOUND && size != 0) {
            fta_text decoded = {
                work, copy_plainly((fta_text){(char *)octets, size}, work)};
            status = read_text(decoded, passphrase, out);
        }
    }
    fta_free_secret(work, room);
    fta_free_secret(octets, room);
    return status;
}

static fta_status
read_encoded(fta_text encoded, fta_text passphrase, fta_pair_found *out)
{
    fta_status der = fta_pair_read_der((const uint8_t *)encoded.data,
                                       encoded.length, passphrase, out);
    /* DER begins with the octet 0x30, and so does a text that begins with 0. */
    if (der != FTA_KEY_NOT_FOUND && der != FTA_KEY_DAMAGED) {
        return der;
    }
    fta_status status = FTA_NO_MEMORY;
    char *text = fta_malloc(encoded.length);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_text plain = {text, copy_plainly(encoded, text)};
    status = read_text(plain, passphrase, out);
    if (status == FTA_KEY_NOT_FOUND) {
        status = read_bare_base64(plain, passphrase, out);
    }
    fta_free_secret(text, encoded.length);
    return status == FTA_KEY_NOT_FOUND ? der : status;
}

fta_status
fta_pair_read(fta_text encoded, fta_text passphrase, fta_pair_found *out)
{
    *out = (fta_pair_found){.pair = NULL};
    if (encoded.length == 0) {
        return FTA_KEY_EMPTY;
    }
    if (encoded.length > FTA_ENCODED_PAIR_MAX) {
        return FTA_KEY_TOO_LONG;
    }
    if (passphrase.length > FTA_PASSPHRASE_MAX) {
        return FTA_KEY_PASSPHRASE;
    }
    fta_status status = read_encoded(encoded, passphrase, out);
    ERR_clear_error();
    return status;
}
