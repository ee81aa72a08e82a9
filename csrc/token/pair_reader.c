#include "token/pair_reader.h"

#include <limits.h>
#include <stdio.h>

#include <openssl/asn1t.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "base/crypto_error.h"

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

static bool
starts_with(fta_text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* --- DER ---------------------------------------------------------------- */

/* OpenSSL's own way to get a passphrase asks on the terminal. It is never
 * reached: whatever is encrypted is opened here, with the passphrase given. */
static int
refuse_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static EVP_PKEY *
decode(const uint8_t *der, size_t size, const char *structure, const char *type,
       int selection)
{
    EVP_PKEY *pair = NULL;
    const unsigned char *data = der;
    size_t left = size;
    OSSL_DECODER_CTX *decoder = OSSL_DECODER_CTX_new_for_pkey(
        &pair, "DER", structure, type, selection, NULL, NULL);
    if (decoder == NULL ||
        !OSSL_DECODER_CTX_set_pem_password_cb(decoder, refuse_passphrase,
                                              NULL) ||
        !OSSL_DECODER_from_data(decoder, &data, &left) || left != 0) {
        EVP_PKEY_free(pair);
        pair = NULL;
    }
    OSSL_DECODER_CTX_free(decoder);
    return pair;
}

static EVP_PKEY *
decode_private(const uint8_t *der, size_t size)
{
    static const struct {
        const char *structure;
        const char *type;
    } forms[] = {{"PrivateKeyInfo", NULL},
                 {"type-specific", "RSA"},
                 {"type-specific", "EC"}};
    EVP_PKEY *pair = NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && pair == NULL; i++) {
        pair = decode(der, size, forms[i].structure, forms[i].type,
                      EVP_PKEY_KEYPAIR);
    }
    return pair;
}

static EVP_PKEY *
decode_public(const uint8_t *der, size_t size)
{
    EVP_PKEY *pair =
        decode(der, size, "SubjectPublicKeyInfo", NULL, EVP_PKEY_PUBLIC_KEY);
    return pair != NULL
               ? pair
               : decode(der, size, "type-specific", "RSA", EVP_PKEY_PUBLIC_KEY);
}

static EVP_PKEY *
decode_certificate(const uint8_t *der, size_t size)
{
    const unsigned char *end = der;
    EVP_PKEY *pair = NULL;
    /* With what "TRUSTED CERTIFICATE" adds behind it, if that is there. */
    X509 *certificate = d2i_X509_AUX(NULL, &end, (long)size);
    if (certificate != NULL && end == der + size) {
        pair = X509_get_pubkey(certificate);
    }
    X509_free(certificate);
    return pair;
}

/* A private key is opened with at most so many rounds of its hash: a few
 * seconds. */
#define ITERATIONS_MAX 10000000
/* and with at most so many blocks of scrypt, times the size of one. */
#define SCRYPT_MAX ((uint64_t)1 << 22)

static bool
is_at_most(const ASN1_INTEGER *number, uint64_t most, uint64_t *out)
{
    return ASN1_INTEGER_get_uint64(out, number) == 1 && *out <= most;
}

static bool
pbkdf2_is_affordable(const ASN1_TYPE *parameter)
{
    uint64_t iterations;
    PBKDF2PARAM *p =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), parameter);
    bool affordable =
        p != NULL && is_at_most(p->iter, ITERATIONS_MAX, &iterations);
    PBKDF2PARAM_free(p);
    return affordable;
}

static bool
scrypt_is_affordable(const ASN1_TYPE *parameter)
{
    uint64_t n, r, p;
    SCRYPT_PARAMS *s =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), parameter);
    bool affordable =
        s != NULL && is_at_most(s->costParameter, SCRYPT_MAX, &n) &&
        is_at_most(s->blockSize, SCRYPT_MAX, &r) && n * r <= SCRYPT_MAX &&
        is_at_most(s->parallelizationParameter, SCRYPT_MAX, &p) &&
        n * r * p <= SCRYPT_MAX;
    SCRYPT_PARAMS_free(s);
    return affordable;
}

/* Whether a key derivation ends soon, whatever the file says. One that is not
 * known here is not tried. */
static bool
is_affordable(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    const void *value;
    int type;
    X509_ALGOR_get0(&object, &type, &value, algorithm);
    if (OBJ_obj2nid(object) != NID_pbes2) {
        uint64_t iterations;
        PBEPARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM),
                                                algorithm->parameter);
        bool affordable =
            p != NULL && is_at_most(p->iter, ITERATIONS_MAX, &iterations);
        PBEPARAM_free(p);
        return affordable;
    }
    PBE2PARAM *scheme = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM),
                                                  algorithm->parameter);
    bool affordable = false;
    if (scheme != NULL) {
        X509_ALGOR_get0(&object, &type, &value, scheme->keyfunc);
        switch (OBJ_obj2nid(object)) {
        case NID_id_pbkdf2:
            affordable = pbkdf2_is_affordable(scheme->keyfunc->parameter);
            break;
        case NID_id_scrypt:
            affordable = scrypt_is_affordable(scheme->keyfunc->parameter);
            break;
        default:
            break;
        }
    }
    PBE2PARAM_free(scheme);
    return affordable;
}

static fta_status
open_encrypted(const X509_SIG *encrypted, fta_text passphrase, EVP_PKEY **out)
{
    const X509_ALGOR *algorithm;
    X509_SIG_get0(encrypted, &algorithm, NULL);
    if (passphrase.data == NULL) {
        return FTA_KEY_ENCRYPTED;
    }
    if (!is_affordable(algorithm)) {
        return fta_crypto_error(FTA_KEY_COSTLY);
    }
    PKCS8_PRIV_KEY_INFO *info =
        PKCS8_decrypt(encrypted, passphrase.data, (int)passphrase.length);
    *out = info == NULL ? NULL : EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return *out != NULL ? FTA_OK : fta_crypto_error(FTA_KEY_PASSPHRASE);
}

/* What else people have in such a file. */
static fta_status
name_der(const uint8_t *der, size_t size)
{
    const unsigned char *p = der;
    PKCS12 *store = d2i_PKCS12(NULL, &p, (long)size);
    p = der;
    X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)size);
    p = der;
    X509_CRL *revoked = d2i_X509_CRL(NULL, &p, (long)size);
    p = der;
    PKCS7 *message = d2i_PKCS7(NULL, &p, (long)size);
    fta_status status = store != NULL     ? FTA_KEY_IS_PKCS12
                        : request != NULL ? FTA_KEY_IS_REQUEST
                        : revoked != NULL || message != NULL
                            ? FTA_KEY_IS_OTHER
                            : fta_crypto_error(FTA_KEY_DAMAGED);
    PKCS12_free(store);
    X509_REQ_free(request);
    X509_CRL_free(revoked);
    PKCS7_free(message);
    return status;
}

fta_status
fta_pair_read_der(const uint8_t *der, size_t size, fta_text passphrase,
                  EVP_PKEY **out)
{
    const unsigned char *end = der;
    X509_SIG *encrypted = d2i_X509_SIG(NULL, &end, (long)size);
    fta_status status;
    *out = NULL;
    if (encrypted != NULL && end == der + size) {
        status = open_encrypted(encrypted, passphrase, out);
    } else {
        *out = decode_private(der, size);
        *out = *out != NULL ? *out : decode_public(der, size);
        *out = *out != NULL ? *out : decode_certificate(der, size);
        status = *out != NULL ? FTA_OK : fta_crypto_error(FTA_OK);
        if (*out == NULL && status == FTA_OK) {
            status = name_der(der, size);
        }
    }
    X509_SIG_free(encrypted);
    ERR_clear_error();
    return status;
}

/* How many octets the SEQUENCE at the start of der fills, header included; 0
 * if there is none, or not all of it. */
static size_t
sequence_size(const uint8_t *der, size_t size)
{
    if (size < 2 || der[0] != 0x30) {
        return 0;
    }
    size_t header = 2, length = der[1];
    if (length > 0x80 && length <= 0x84) {
        size_t octets = length - 0x80;
        header += octets;
        if (size < header) {
            return 0;
        }
        length = 0;
        for (size_t i = 0; i < octets; i++) {
            length = length << 8 | der[2 + i];
        }
    } else if (length == 0x80) {
        return size; /* PKCS #12 may have it: the end is marked */
    } else if (length > 0x84) {
        return 0;
    }
    return length <= size - header ? header + length : 0;
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* DER with nothing behind it but the line end that a text tool has added. */
static fta_status
read_whole_der(const uint8_t *der, size_t size, fta_text passphrase,
               EVP_PKEY **out)
{
    size_t filled = sequence_size(der, size);
    if (filled == 0) {
        return FTA_KEY_NOT_FOUND;
    }
    fta_status status = fta_pair_read_der(der, filled, passphrase, out);
    size_t end = filled;
    while (end < size && is_space((char)der[end])) {
        end++;
    }
    if (end == size || *out == NULL) {
        return end == size ? status : FTA_KEY_DAMAGED;
    }
    EVP_PKEY_free(*out);
    *out = NULL;
    return sequence_size(der + end, size - end) != 0 ? FTA_KEYS_MANY
                                                     : FTA_KEY_DAMAGED;
}

/* --- PEM ---------------------------------------------------------------- */

#define BEGIN "-----BEGIN "
#define DASHES "-----"
#define LABEL_MAX 40

typedef struct pem_block {
    fta_text label;
    fta_text body;
} pem_block;

/* The next block from *at on, which is moved behind it. FTA_KEY_NOT_FOUND
 * when there is none left. */
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

/* What a block is, by its label: FTA_OK for a key or certificate, whatever
 * kind of it. */
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

/* White space, and what people put around lines. */
static bool
is_between(char c)
{
    return is_space(c) || c == '"' || c == '\'' || c == '`' || c == '\\';
}

/* The next word from *at on, which is moved behind it. */
static bool
next_word(const char **at, const char *end, fta_text *out)
{
    while (*at < end && is_between(**at)) {
        (*at)++;
    }
    const char *start = *at;
    while (*at < end && !is_between(**at)) {
        (*at)++;
    }
    *out = (fta_text){start, (size_t)(*at - start)};
    return *at > start;
}

/* The header of the traditional encryption, and the base64 behind it. */
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
    while (next_word(&at, end, &word)) {
        if (fta_text_is(word, "Proc-Type:")) {
            if (!next_word(&at, end, &word) ||
                !fta_text_is(word, "4,ENCRYPTED")) {
                return false;
            }
        } else if (fta_text_is(word, "DEK-Info:")) {
            if (!next_word(&at, end, &out->encryption)) {
                return false;
            }
        } else {
            memcpy(out->base64 + out->length, word.data, word.length);
            out->length += word.length;
        }
    }
    /* Padding is not needed, and stands at the end alone. */
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

/* RFC 1421, as OpenSSL writes "traditional" private keys. */
static fta_status
open_traditional(fta_text encryption, uint8_t *der, size_t size,
                 fta_text passphrase, EVP_PKEY **out)
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
        fta_pair_read_der(der, (size_t)length, no_passphrase, out);
    /* A wrong passphrase makes one padding in 256 look right. */
    return status == FTA_OK || status == FTA_NO_MEMORY ? status
                                                       : FTA_KEY_PASSPHRASE;
}

static fta_status
read_block(fta_text body, fta_text passphrase, EVP_PKEY **out)
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
            : fta_pair_read_der(der, size, passphrase, out);
done:
    fta_free_secret(content.base64, body.length + 1);
    fta_free_secret(der, body.length + 1);
    return status;
}

static fta_status
read_pem(fta_text text, fta_text passphrase, EVP_PKEY **out)
{
    const char *at = text.data, *end = text.data + text.length;
    pem_block block, found = {.label = {NULL, 0}};
    fta_status status;
    size_t blocks = 0;
    while ((status = next_block(&at, end, &block)) == FTA_OK) {
        /* They say again what the key that follows says. */
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

/* --- text --------------------------------------------------------------- */

/* Copies text as its author meant it: UTF-16 and a byte order mark are taken
 * away, and line ends that are written as backslash-n become such. Returns the
 * length, which is at most the text's. */
static size_t
copy_plainly(fta_text text, char *out)
{
    size_t length = 0, at = 0, step = 1;
    if (starts_with(text, "\xEF\xBB\xBF")) {
        at = 3;
    } else if (starts_with(text, "\xFF\xFE")) {
        at = 2;
        step = 2;
    } else if (starts_with(text, "\xFE\xFF")) {
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

/* The octets of base64 or base64url with anything of is_between in it; 0 if
 * the text is not that. */
static size_t
decode_bare_base64(fta_text text, char *work, uint8_t *out)
{
    const char *at = text.data, *end = text.data + text.length;
    fta_text word;
    size_t length = 0;
    while (next_word(&at, end, &word)) {
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

/* What text without a key in it is. */
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
    while (text.length > 0 && is_between(*text.data)) {
        text.data++;
        text.length--;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (starts_with(text, prefixes[i].prefix)) {
            return prefixes[i].status;
        }
    }
    return FTA_KEY_NOT_FOUND;
}

/* PEM text, unless it is only quoted in something else: a key in a page or in
 * a document is an example as often as it is the key. */
static fta_status
read_text(fta_text text, fta_text passphrase, EVP_PKEY **out)
{
    fta_status status = name_text(text);
    if (status == FTA_KEY_NOT_FOUND &&
        find(text.data, text.data + text.length, BEGIN) != NULL) {
        status = read_pem(text, passphrase, out);
    }
    return status;
}

static fta_status
read_bare_base64(fta_text text, fta_text passphrase, EVP_PKEY **out)
{
    fta_status status = FTA_NO_MEMORY;
    size_t room = text.length + 1;
    char *work = fta_malloc(room);
    uint8_t *octets = fta_malloc(room);
    if (work != NULL && octets != NULL) {
        size_t size = decode_bare_base64(text, work, octets);
        status = read_whole_der(octets, size, passphrase, out);
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
read_encoded(fta_text encoded, fta_text passphrase, EVP_PKEY **out)
{
    fta_status der = read_whole_der((const uint8_t *)encoded.data,
                                    encoded.length, passphrase, out);
    /* Text can begin with a 0 too. */
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
fta_pair_read(fta_text encoded, fta_text passphrase, EVP_PKEY **out)
{
    *out = NULL;
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
