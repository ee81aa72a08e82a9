#include "token/pair_pem.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/crypto_error.h"
#include "token/pair_der.h"
#include "token/pair_text.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}

static const fta_text no_passphrase = {NULL, 0};

/* Where a text begins in another; NULL if it does not. */
static const char *
find(const char *from, const char *end, const char *wanted)
{
    size_t length = strlen(wanted);
    return from < end ? memmem(from, (size_t)(end - from), wanted, length)
                      : NULL;
}

#define BEGIN "-----BEGIN "
#define DASHES "-----"
#define LABEL_MAX 40

typedef struct pem_block {
    fta_text label;
    fta_text body;
} pem_block;

/* The next block from *at on. *at is moved to its end. FTA_KEY_NOT_FOUND if
 * there is none. */
static fta_status
next_block(const char **at, const char *end, pem_block *out)
{
    char footer[LABEL_MAX + 16];
    const char *begin = find(*at, end, BEGIN);
    if (begin == NULL) {
        return FTA_KEY_NOT_FOUND;
    }
    const char *label = begin + sizeof BEGIN - 1;
    const char *body = find(label, end, DASHES);
    if (body == NULL || body - label > LABEL_MAX) {
        return FTA_KEY_DAMAGED;
    }
    out->label = (fta_text){label, (size_t)(body - label)};
    body += sizeof DASHES - 1;
    (void)snprintf(footer, sizeof footer, "-----END %.*s-----",
                   (int)out->label.length, out->label.data);
    const char *last = find(body, end, footer);
    const char *another = find(body, end, BEGIN);
    if (last == NULL || (another != NULL && another < last)) {
        return FTA_KEY_DAMAGED;
    }
    out->body = (fta_text){body, (size_t)(last - body)};
    *at = last + strlen(footer);
    return FTA_OK;
}

/* What a block is, by its label. FTA_OK for any kind of key or certificate. */
static fta_status
status_of_label(fta_text label)
{
    static const struct {
        fta_text label;
        fta_status status;
    } labels[] = {
        {TEXT("PUBLIC KEY"), FTA_OK},
        {TEXT("RSA PUBLIC KEY"), FTA_OK},
        {TEXT("EC PUBLIC KEY"), FTA_OK},
        {TEXT("PRIVATE KEY"), FTA_OK},
        {TEXT("ENCRYPTED PRIVATE KEY"), FTA_OK},
        {TEXT("RSA PRIVATE KEY"), FTA_OK},
        {TEXT("EC PRIVATE KEY"), FTA_OK},
        {TEXT("CERTIFICATE"), FTA_OK},
        {TEXT("X509 CERTIFICATE"), FTA_OK},
        {TEXT("TRUSTED CERTIFICATE"), FTA_OK},
        {TEXT("OPENSSH PRIVATE KEY"), FTA_KEY_IS_OPENSSH},
        {TEXT("CERTIFICATE REQUEST"), FTA_KEY_IS_REQUEST},
        {TEXT("NEW CERTIFICATE REQUEST"), FTA_KEY_IS_REQUEST},
    };
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        if (fta_text_equal(label, labels[i].label)) {
            return labels[i].status;
        }
    }
    return FTA_KEY_IS_OTHER;
}

/* The content of a block: the header of traditional encryption, and the base64.
 */
typedef struct pem_content {
    fta_text encryption; /* of DEK-Info; data NULL if there is none */
    char *base64;        /* Owned, wiped */
    size_t length;
} pem_content;

static bool
read_content(fta_text body, pem_content *out)
{
    const char *at = body.data, *end = body.data + body.length;
    fta_text word;
    while (fta_key_next_word(&at, end, &word)) {
        if (fta_text_is(word, "Proc-Type:")) {
            if (!fta_key_next_word(&at, end, &word) ||
                !fta_text_is(word, "4,ENCRYPTED")) {
                return false;
            }
        } else if (fta_text_is(word, "DEK-Info:")) {
            if (!fta_key_next_word(&at, end, &out->encryption)) {
                return false;
            }
        } else {
            memcpy(out->base64 + out->length, word.data, word.length);
            out->length += word.length;
        }
    }
    /* The padding is dropped: it is at the end, and the decoder needs none. */
    for (int i = 0; i < 2 && out->length > 0; i++) {
        out->length -= out->base64[out->length - 1] == '=';
    }
    return true;
}

static int
give_passphrase(char *buffer, int size, int writing, void *context)
{
    const fta_text *passphrase = context;
    (void)writing;
    if (passphrase->data == NULL || passphrase->length > (size_t)size) {
        return -1;
    }
    memcpy(buffer, passphrase->data, passphrase->length);
    return (int)passphrase->length;
}

/* The encryption of RFC 1421, in which OpenSSL writes "traditional" private
 * keys. */
static fta_status
open_traditional(fta_text encryption, uint8_t *der, size_t size,
                 fta_text passphrase, fta_pair_found *out)
{
    char header[160];
    EVP_CIPHER_INFO cipher;
    long length = (long)size;
    if (passphrase.data == NULL) {
        return FTA_KEY_ENCRYPTED;
    }
    int written = snprintf(
        header, sizeof header, "Proc-Type: 4,ENCRYPTED\nDEK-Info: %.*s\n",
        (int)(encryption.length < sizeof header ? encryption.length
                                                : sizeof header),
        encryption.data);
    if (written < 0 || (size_t)written >= sizeof header) {
        return FTA_KEY_DAMAGED;
    }
    if (!PEM_get_EVP_CIPHER_INFO(header, &cipher) ||
        !PEM_do_header(&cipher, der, &length, give_passphrase, &passphrase)) {
        return fta_crypto_error(FTA_KEY_PASSPHRASE);
    }
    fta_status status =
        fta_pair_read_element(der, (size_t)length, no_passphrase, out);
    /* With a wrong passphrase, one padding in 256 looks right by chance. */
    return status == FTA_OK || status == FTA_NO_MEMORY ? status
                                                       : FTA_KEY_PASSPHRASE;
}

static fta_status
read_block(fta_text body, fta_text passphrase, fta_pair_found *out)
{
    pem_content content = {.encryption = {NULL, 0}};
    uint8_t *der = NULL;
    size_t size = 0;
    fta_status status = FTA_NO_MEMORY;
    content.base64 = fta_malloc(body.length + 1);
    der = fta_malloc(body.length + 1);
    if (content.base64 == NULL || der == NULL) {
        goto done;
    }
    status = FTA_KEY_DAMAGED;
    if (!read_content(body, &content) || content.length == 0 ||
        !fta_base64_decode(content.base64, content.length, der)) {
        goto done;
    }
    size = FTA_BASE64_SIZE(content.length);
    status =
        content.encryption.data != NULL
            ? open_traditional(content.encryption, der, size, passphrase, out)
            : fta_pair_read_element(der, size, passphrase, out);
done:
    fta_free_secret(content.base64, body.length + 1);
    fta_free_secret(der, body.length + 1);
    return status;
}

fta_status
fta_pair_read_pem(fta_text text, fta_text passphrase, fta_pair_found *out)
{
    const char *at = text.data, *end = text.data + text.length;
    pem_block block, found = {.label = {NULL, 0}};
    fta_status status;
    size_t blocks = 0;
    while ((status = next_block(&at, end, &block)) == FTA_OK) {
        /* The key that follows says the same. */
        if (fta_text_is(block.label, "EC PARAMETERS")) {
            continue;
        }
        found = block;
        blocks++;
    }
    if (status != FTA_KEY_NOT_FOUND) {
        return status;
    }
    if (blocks != 1) {
        return blocks == 0 ? FTA_KEY_IS_OTHER : FTA_KEYS_MANY;
    }
    status = status_of_label(found.label);
    return status == FTA_OK ? read_block(found.body, passphrase, out) : status;
}

bool
fta_has_pem(fta_text text)
{
    return find(text.data, text.data + text.length, BEGIN) != NULL;
}
