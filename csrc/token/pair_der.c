#include "token/pair_der.h"

#include <openssl/asn1t.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "base/crypto_error.h"
#include "token/pair_text.h"

/* Without this, OpenSSL may ask for a passphrase on the terminal. It is never
 * called: encrypted keys are decrypted here, with the given passphrase. */
static int
give_no_passphrase(char *buffer, int size, int writing, void *context)
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
        !OSSL_DECODER_CTX_set_pem_password_cb(decoder, give_no_passphrase,
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

static void
decode_certificate(const uint8_t *der, size_t size, fta_pair_found *out)
{
    const unsigned char *end = der;
    /* AUX: with what "TRUSTED CERTIFICATE" adds at the end, if it is there. */
    X509 *certificate = d2i_X509_AUX(NULL, &end, (long)size);
    if (certificate != NULL && end == der + size) {
        out->pair = X509_get_pubkey(certificate);
    }
    if (out->pair != NULL) {
        fta_validity_read(certificate, &out->validity);
    }
    X509_free(certificate);
}

/* The most iterations of the hash of an encrypted private key: a few seconds.
 */
#define ITERATIONS_MAX 10000000
/* The most blocks of scrypt, multiplied by the size of a block. */
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

/* Whether a key derivation takes seconds at most. One that is not known here is
 * not tried. */
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

/* What the DER is, if it is no key. */
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
fta_pair_read_element(const uint8_t *der, size_t size, fta_text passphrase,
                      fta_pair_found *out)
{
    const unsigned char *end = der;
    X509_SIG *encrypted = d2i_X509_SIG(NULL, &end, (long)size);
    fta_status status;
    *out = (fta_pair_found){.pair = NULL};
    if (encrypted != NULL && end == der + size) {
        status = open_encrypted(encrypted, passphrase, &out->pair);
    } else {
        out->pair = decode_private(der, size);
        if (out->pair == NULL) {
            out->pair = decode_public(der, size);
        }
        if (out->pair == NULL) {
            decode_certificate(der, size, out);
        }
        status = out->pair != NULL ? FTA_OK : fta_crypto_error(FTA_OK);
        if (out->pair == NULL && status == FTA_OK) {
            status = name_der(der, size);
        }
    }
    X509_SIG_free(encrypted);
    ERR_clear_error();
    return status;
}

/* How many octets the SEQUENCE at the start of der fills, with its header; 0 if
 * there is none or its end is missing. */
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
        return size; /* no length but an end mark, as PKCS #12 may have */
    } else if (length > 0x84) {
        return 0;
    }
    return length <= size - header ? header + length : 0;
}

/* DER with nothing behind it but the line end that a text tool has added. */
fta_status
fta_pair_read_der(const uint8_t *der, size_t size, fta_text passphrase,
                  fta_pair_found *out)
{
    size_t filled = sequence_size(der, size);
    if (filled == 0) {
        return FTA_KEY_NOT_FOUND;
    }
    fta_status status = fta_pair_read_element(der, filled, passphrase, out);
    size_t end = filled;
    while (end < size && fta_key_is_space((char)der[end])) {
        end++;
    }
    if (end == size || out->pair == NULL) {
        return end == size ? status : FTA_KEY_DAMAGED;
    }
    EVP_PKEY_free(out->pair);
    *out = (fta_pair_found){.pair = NULL};
    return sequence_size(der + end, size - end) != 0 ? FTA_KEYS_MANY
                                                     : FTA_KEY_DAMAGED;
}
