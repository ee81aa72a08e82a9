/* The forms in which people have keys, and octets that are no key. */
#include "token/pair_reader.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/ui.h>
#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/base64url.h"
#include "check.h"
#include "keys.h"
#include "token/key.h"

#define ROOM 65536

static const fta_text none = {NULL, 0};

static fta_text
text_of(const char *text)
{
    return (fta_text){text, strlen(text)};
}

/* FTA_OK if the reader makes an equal pair of it. */
static fta_status
status_with(fta_text encoded, fta_text passphrase, const EVP_PKEY *pair)
{
    fta_pair_found found;
    fta_status status = fta_pair_read(encoded, passphrase, &found);
    CHECK((status == FTA_OK) == (found.pair != NULL));
    CHECK(found.pair != NULL || !found.validity.is_known);
    CHECK(ERR_peek_error() == 0);
    if (found.pair != NULL && pair != NULL) {
        CHECK(EVP_PKEY_eq(found.pair, pair) == 1);
    }
    EVP_PKEY_free(found.pair);
    return status;
}

static fta_status
status_of(const char *encoded, const EVP_PKEY *pair)
{
    return status_with(text_of(encoded), none, pair);
}

/* Replaces every from in a text by to. */
static const char *
replaced(const char *text, const char *from, const char *to)
{
    static char out[ROOM];
    size_t length = 0;
    while (*text != '\0') {
        if (strncmp(text, from, strlen(from)) == 0) {
            length += (size_t)snprintf(out + length, ROOM - length, "%s", to);
            text += strlen(from);
        } else {
            out[length++] = *text++;
        }
    }
    out[length] = '\0';
    return out;
}

static const char *
around(const char *before, const char *text, const char *after)
{
    static char out[ROOM];
    (void)snprintf(out, sizeof out, "%s%s%s", before, text, after);
    return out;
}

/* Every second octet, as Windows writes text. */
static fta_text
utf16(const char *text, bool big)
{
    static char out[ROOM];
    memcpy(out, big ? "\xFE\xFF" : "\xFF\xFE", 2);
    size_t length = 2;
    for (; *text != '\0'; text++) {
        out[length + (big ? 1 : 0)] = *text;
        out[length + (big ? 0 : 1)] = 0;
        length += 2;
    }
    return (fta_text){out, length};
}

static void
check_forms(const char *pem, const EVP_PKEY *pair)
{
    static const char *const line_ends[] = {"\r\n",   "\r",    " ",      "\\n",
                                            "\\r\\n", "\\\\n", "\n\t  ", "\n\n",
                                            "\"\n\"", " \\\n"};
    CHECK(status_of(pem, pair) == FTA_OK);
    for (size_t i = 0; i < sizeof line_ends / sizeof *line_ends; i++) {
        CHECK(status_of(replaced(pem, "\n", line_ends[i]), pair) == FTA_OK);
    }
    static const struct {
        const char *before;
        const char *after;
    } surroundings[] = {
        {"\xEF\xBB\xBF", ""},
        {"\"", "\""},
        {"'", "'"},
        {"  \n", "\n\n "},
        {"Bag Attributes\n    localKeyID: 01 02\n", ""},
        {"Certificate:\n    Data:\n        Version: 3 (0x2)\n", "see above\n"},
        {"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
         "-----END EC PARAMETERS-----\n",
         ""},
    };
    for (size_t i = 0; i < sizeof surroundings / sizeof *surroundings; i++) {
        CHECK(status_of(
                  around(surroundings[i].before, pem, surroundings[i].after),
                  pair) == FTA_OK);
    }
    CHECK(status_with(utf16(pem, false), none, pair) == FTA_OK);
    CHECK(status_with(utf16(pem, true), none, pair) == FTA_OK);
    char base64[ROOM];
    size_t length =
        fta_base64url_encode((const uint8_t *)pem, strlen(pem), base64);
    CHECK(status_with((fta_text){base64, length}, none, pair) == FTA_OK);
    /* and what is no longer one */
    CHECK(status_of(around(pem, pem, ""), pair) == FTA_KEYS_MANY);
    CHECK(status_of(around("{\"key\": \"", pem, "\"}"), pair) ==
          FTA_KEY_IS_JSON);
    CHECK(status_of(around("<pre>", pem, "</pre>"), pair) == FTA_KEY_IS_HTML);
    CHECK(status_of(replaced(pem, "-----END", "-----ENT"), pair) ==
          FTA_KEY_DAMAGED);
    CHECK(status_of(replaced(pem, "-----BEGIN", "----BEGIN"), pair) ==
          FTA_KEY_NOT_FOUND);
    for (size_t cut = strlen(pem) - 2; cut > 27; cut -= 13) {
        CHECK(status_with((fta_text){pem, cut}, none, pair) != FTA_OK);
    }
}

static void
check_der(uint8_t *der, int size, const EVP_PKEY *pair)
{
    char room[ROOM];
    CHECK(size > 0);
    size_t length = (size_t)size;
    CHECK(status_with((fta_text){(char *)der, length}, none, pair) == FTA_OK);
    memcpy(room, der, length);
    room[length] = '\n';
    CHECK(status_with((fta_text){room, length + 1}, none, pair) == FTA_OK);
    room[length] = 'x';
    CHECK(status_with((fta_text){room, length + 1}, none, pair) ==
          FTA_KEY_DAMAGED);
    memcpy(room + length, der, length);
    CHECK(status_with((fta_text){room, 2 * length}, none, pair) ==
          FTA_KEYS_MANY);
    for (size_t cut = 0; cut < length; cut += 5) {
        CHECK(status_with((fta_text){room, cut}, none, pair) != FTA_OK);
    }
    size_t n = fta_base64url_encode(der, length, room);
    CHECK(status_with((fta_text){room, n}, none, pair) == FTA_OK);
    OPENSSL_free(der);
}

static X509 *
new_certificate(EVP_PKEY *pair)
{
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"issuer", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, pair);
    const EVP_MD *digest = EVP_PKEY_is_a(pair, "ED25519") ? NULL : EVP_sha256();
    if (X509_sign(certificate, pair, digest) <= 0) {
        abort();
    }
    return certificate;
}

/* A text of whatever writes it to a BIO, from malloc. */
#define WRITTEN(call)                                                          \
    do {                                                                       \
        BIO *bio_ = BIO_new(BIO_s_mem());                                      \
        char *data_;                                                           \
        CHECK((call) == 1);                                                    \
        size_t size_ = (size_t)BIO_get_mem_data(bio_, &data_);                 \
        free(pem);                                                             \
        pem = calloc(1, size_ + 1);                                            \
        memcpy(pem, data_, size_);                                             \
        BIO_free(bio_);                                                        \
    } while (0)

static void
check_certificate(EVP_PKEY *pair)
{
    X509 *certificate = new_certificate(pair);
    uint8_t *der = NULL;
    char *pem = NULL;
    int size = i2d_X509(certificate, &der);
    WRITTEN(PEM_write_bio_X509(bio_, certificate));
    check_forms(pem, pair);
    WRITTEN(PEM_write_bio_X509_AUX(bio_, certificate));
    CHECK(status_of(pem, pair) == FTA_OK);
    check_der(der, size, pair);
    free(pem);
    X509_free(certificate);
}

static void
check_encrypted(EVP_PKEY *pair)
{
    char *pem = NULL;
    char wrong[FTA_PASSPHRASE_MAX + 2];
    memset(wrong, 'p', sizeof wrong);
    WRITTEN(PEM_write_bio_PKCS8PrivateKey(bio_, pair, EVP_aes_256_cbc(), "open",
                                          4, NULL, NULL));
    for (int traditional = 0; traditional < 2; traditional++) {
        if (traditional) {
            if (EVP_PKEY_is_a(pair, "ED25519")) {
                break;
            }
            WRITTEN(PEM_write_bio_PrivateKey_traditional(
                bio_, pair, EVP_aes_128_cbc(), (const unsigned char *)"open", 4,
                NULL, NULL));
        }
        CHECK(status_of(pem, pair) == FTA_KEY_ENCRYPTED);
        CHECK(status_with(text_of(pem), text_of("open"), pair) == FTA_OK);
        CHECK(status_with(text_of(replaced(pem, "\n", " ")), text_of("open"),
                          pair) == FTA_OK);
        CHECK(status_with(text_of(replaced(pem, "\n", "\\n")), text_of("open"),
                          pair) == FTA_OK);
        CHECK(status_with(text_of(pem), text_of("opem"), pair) ==
              FTA_KEY_PASSPHRASE);
        CHECK(status_with(text_of(pem), text_of(""), pair) ==
              FTA_KEY_PASSPHRASE);
        CHECK(status_with(text_of(pem), (fta_text){wrong, sizeof wrong},
                          pair) == FTA_KEY_PASSPHRASE);
        CHECK(status_with(text_of(pem), (fta_text){wrong, sizeof wrong - 1},
                          pair) == FTA_KEY_PASSPHRASE);
    }
    free(pem);
}

static void
test_keys_in_every_form_are_read(void)
{
    static const char *const algorithms[] = {"RS256", "ES256", "ES512",
                                             "EdDSA"};
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        EVP_PKEY *pair = new_pair(algorithm_named(algorithms[i]));
        uint8_t *der = NULL;
        for (int is_private = 0; is_private < 2; is_private++) {
            char *pem = pem_of(pair, is_private);
            check_forms(pem, pair);
            free(pem);
        }
        int size = i2d_PUBKEY(pair, &der);
        check_der(der, size, pair);
        der = NULL;
        size = i2d_PrivateKey(pair, &der); /* PKCS #1, SEC 1, PKCS #8 */
        check_der(der, size, pair);
        der = NULL;
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
        size = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        check_der(der, size, pair);
        PKCS8_PRIV_KEY_INFO_free(info);
        if (i == 0) {
            der = NULL;
            size = i2d_PublicKey(pair, &der); /* PKCS #1 */
            check_der(der, size, pair);
        }
        if (!EVP_PKEY_is_a(pair, "ED25519")) {
            char *pem = NULL;
            WRITTEN(PEM_write_bio_PrivateKey_traditional(bio_, pair, NULL, NULL,
                                                         0, NULL, NULL));
            check_forms(pem, pair);
            free(pem);
        }
        check_certificate(pair);
        check_encrypted(pair);
        EVP_PKEY_free(pair);
    }
}

static void
test_octets_that_are_no_key_are_named(void)
{
    static const struct {
        const char *text;
        fta_status expected;
    } texts[] = {
        {"", FTA_KEY_EMPTY},
        {" \n", FTA_KEY_NOT_FOUND},
        {"a password of somebody, or a path", FTA_KEY_NOT_FOUND},
        {"0123456789", FTA_KEY_NOT_FOUND},
        {"0\x08 is text", FTA_KEY_DAMAGED},
        {"{\"realm\":\"x\",\"public_key\":\"MIIB\"}", FTA_KEY_IS_JSON},
        {"[1]", FTA_KEY_IS_JSON},
        {"<!DOCTYPE html><title>404</title>", FTA_KEY_IS_HTML},
        {"\n  <html>", FTA_KEY_IS_HTML},
        {"ssh-rsa AAAAB3NzaC1yc2E", FTA_KEY_IS_OPENSSH},
        {"ecdsa-sha2-nistp256 AAAA", FTA_KEY_IS_OPENSSH},
        {"PuTTY-User-Key-File-2: ssh-rsa", FTA_KEY_IS_OPENSSH},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
         "-----END OPENSSH PRIVATE KEY-----\n",
         FTA_KEY_IS_OPENSSH},
        {"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
         "-----END CERTIFICATE REQUEST-----\n",
         FTA_KEY_IS_REQUEST},
        {"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
         FTA_KEY_IS_OTHER},
        {"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
         "-----END EC PARAMETERS-----\n",
         FTA_KEY_IS_OTHER},
        {"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
         FTA_KEY_DAMAGED},
        {"-----BEGIN PUBLIC KEY-----", FTA_KEY_DAMAGED},
        {"-----BEGIN ", FTA_KEY_DAMAGED},
        {"\xFE\xED\xFE\xED\x01", FTA_KEY_IS_KEYSTORE},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(status_of(texts[i].text, NULL) == texts[i].expected);
    }
    CHECK(status_with((fta_text){"\xFF\xFE", 2}, none, NULL) ==
          FTA_KEY_NOT_FOUND);
    CHECK(status_with((fta_text){"\xFE\xFF", 2}, none, NULL) ==
          FTA_KEY_NOT_FOUND);
    static char large[FTA_ENCODED_PAIR_MAX + 1];
    CHECK(status_with((fta_text){large, sizeof large}, none, NULL) ==
          FTA_KEY_TOO_LONG);
    CHECK(status_with((fta_text){large, sizeof large - 1}, none, NULL) ==
          FTA_KEY_NOT_FOUND);
    /* A store and a request, in DER. */
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    X509 *certificate = new_certificate(pair);
    PKCS12 *store =
        PKCS12_create("open", "name", pair, certificate, NULL, 0, 0, 0, 0, 0);
    uint8_t *der = NULL;
    int size = i2d_PKCS12(store, &der);
    CHECK(status_with((fta_text){(char *)der, (size_t)size}, none, NULL) ==
          FTA_KEY_IS_PKCS12);
    OPENSSL_free(der);
    X509_REQ *request = X509_to_X509_REQ(certificate, pair, EVP_sha256());
    der = NULL;
    size = i2d_X509_REQ(request, &der);
    CHECK(status_with((fta_text){(char *)der, (size_t)size}, none, NULL) ==
          FTA_KEY_IS_REQUEST);
    OPENSSL_free(der);
    X509_REQ_free(request);
    PKCS12_free(store);
    X509_free(certificate);
    EVP_PKEY_free(pair);
}

/* The file says how long its decryption takes. */
static void
test_a_key_derivation_that_costs_too_much_is_refused_at_once(void)
{
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
    static const struct {
        long n, r, p;
        fta_status expected;
    } scrypts[] = {{1024, 8, 1, FTA_OK},
                   {1024, 8, 100000, FTA_KEY_COSTLY},
                   {1 << 23, 1, 1, FTA_KEY_COSTLY},
                   {2, 1 << 23, 1, FTA_KEY_COSTLY}};
    for (size_t i = 0; i < 2 + sizeof scrypts / sizeof *scrypts; i++) {
        uint8_t *der = NULL;
        fta_status expected = FTA_OK;
        X509_ALGOR *scheme;
        if (i < 2) {
            scheme = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), 1000, NULL, 0, NULL,
                                       NID_hmacWithSHA256);
        } else {
            scheme = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL,
                                           1024, 8, 1);
        }
        X509_SIG *encrypted = PKCS8_set0_pbe("open", 4, info, scheme);
        CHECK(encrypted != NULL);
        const X509_ALGOR *algorithm;
        X509_SIG_get0(encrypted, &algorithm, NULL);
        PBE2PARAM *both = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM),
                                                    algorithm->parameter);
        if (i < 2) {
            PBKDF2PARAM *p = ASN1_TYPE_unpack_sequence(
                ASN1_ITEM_rptr(PBKDF2PARAM), both->keyfunc->parameter);
            if (i == 1) {
                ASN1_INTEGER_set(p->iter, 2000000000);
                expected = FTA_KEY_COSTLY;
            }
            ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), p,
                                    &both->keyfunc->parameter);
            PBKDF2PARAM_free(p);
        } else {
            SCRYPT_PARAMS *s = ASN1_TYPE_unpack_sequence(
                ASN1_ITEM_rptr(SCRYPT_PARAMS), both->keyfunc->parameter);
            ASN1_INTEGER_set(s->costParameter, scrypts[i - 2].n);
            ASN1_INTEGER_set(s->blockSize, scrypts[i - 2].r);
            ASN1_INTEGER_set(s->parallelizationParameter, scrypts[i - 2].p);
            ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), s,
                                    &both->keyfunc->parameter);
            SCRYPT_PARAMS_free(s);
            expected = scrypts[i - 2].expected;
        }
        ASN1_TYPE *parameter = algorithm->parameter;
        ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBE2PARAM), both, &parameter);
        PBE2PARAM_free(both);
        int size = i2d_X509_SIG(encrypted, &der);
        CHECK(status_with((fta_text){(char *)der, (size_t)size},
                          text_of("open"), pair) == expected);
        OPENSSL_free(der);
        X509_SIG_free(encrypted);
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pair);
}

/* What the reader and the key that it makes say of these octets. */
static fta_validity
validity_of(const uint8_t *octets, size_t size)
{
    fta_text encoded = {(const char *)octets, size};
    fta_pair_found found;
    fta_key *key = NULL;
    CHECK(fta_pair_read(encoded, none, &found) == FTA_OK);
    CHECK(ERR_peek_error() == 0);
    EVP_PKEY_free(found.pair);
    CHECK(fta_key_from_encoded(algorithm_named("ES256"), none, encoded, none,
                               &key) == FTA_OK);
    const fta_validity *kept = fta_key_validity(key);
    CHECK(found.validity.is_known == (kept != NULL));
    CHECK(kept == NULL || (kept->begins == found.validity.begins &&
                           kept->ends == found.validity.ends));
    fta_key_free(key);
    return found.validity;
}

static ASN1_TIME *
new_time(const char *text)
{
    int type = strlen(text) > 13 ? V_ASN1_GENERALIZEDTIME : V_ASN1_UTCTIME;
    ASN1_TIME *time = ASN1_STRING_type_new(type);
    if (time == NULL || ASN1_STRING_set(time, text, -1) != 1) {
        abort();
    }
    return time;
}

/* OpenSSL 3.6 reads no certificate of which a date is too short. */
static bool
openssl_reads(fta_text certificate)
{
    const uint8_t *der = (const uint8_t *)certificate.data;
    X509 *read = d2i_X509(NULL, &der, (long)certificate.length);
    X509_free(read);
    ERR_clear_error();
    return read != NULL;
}

static void
test_the_dates_of_a_certificate_are_read(void)
{
    static const struct {
        const char *begins;
        const char *ends;
        fta_validity expected;
    } dates[] = {
        {"700101000000Z", "700101000001Z", {true, 0, 1}},
        {"500101000000Z", "491231235959Z", {true, -631152000, 2524607999}},
        {"20500101000000Z",
         "99991231235959Z",
         {true, 2524608000, 253402300799}},
        {"240229120000Z", "21000228120000Z", {true, 1709208000, 4107499200}},
        {"19491231235959Z", "300101000000Z", {false, 0, 0}},
        {"00000101000000Z", "300101000000Z", {false, 0, 0}},
        {"230229000000Z", "300101000000Z", {false, 0, 0}},
        {"200101000000Z", "301301000000Z", {false, 0, 0}},
        {"200101000000Z", "", {false, 0, 0}},
        {"", "300101000000Z", {false, 0, 0}},
        {"200101000000Z", "no time", {false, 0, 0}},
    };
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        X509 *certificate = new_certificate(pair);
        ASN1_TIME *begins = new_time(dates[i].begins);
        ASN1_TIME *ends = new_time(dates[i].ends);
        CHECK(X509_set1_notBefore(certificate, begins) == 1);
        CHECK(X509_set1_notAfter(certificate, ends) == 1);
        CHECK(X509_sign(certificate, pair, EVP_sha256()) > 0);
        uint8_t *der = NULL;
        int size = i2d_X509(certificate, &der);
        fta_text encoded = {(const char *)der, (size_t)size};
        if (openssl_reads(encoded)) {
            fta_validity validity = validity_of(der, (size_t)size);
            CHECK(validity.is_known == dates[i].expected.is_known);
            if (validity.is_known) {
                CHECK(validity.begins == dates[i].expected.begins);
                CHECK(validity.ends == dates[i].expected.ends);
            }
        } else {
            CHECK(!dates[i].expected.is_known);
            CHECK(status_with(encoded, none, pair) == FTA_KEY_DAMAGED);
        }
        OPENSSL_free(der);
        ASN1_TIME_free(begins);
        ASN1_TIME_free(ends);
        X509_free(certificate);
    }
    char *pem = pem_of(pair, true);
    CHECK(!validity_of((const uint8_t *)pem, strlen(pem)).is_known);
    free(pem);
    EVP_PKEY_free(pair);
}

static int prompts;

static int
count_prompt(UI *ui, UI_STRING *string)
{
    (void)ui, (void)string;
    prompts++;
    return 0;
}

/* OpenSSL's own callback would ask on the terminal, and a server would hang. */
static void
test_a_missing_passphrase_is_an_error_without_a_prompt(void)
{
    UI_METHOD *method = UI_create_method("counting");
    UI_method_set_reader(method, count_prompt);
    UI_method_set_writer(method, count_prompt);
    UI_set_default_method(method);
    EVP_PKEY *pair = new_pair(algorithm_named("ES256"));
    char *pem = NULL;
    char passphrase[64];
    CHECK(EVP_read_pw_string(passphrase, 64, "it is counted", 0) != 0);
    CHECK(prompts > 0);
    prompts = 0;
    check_encrypted(pair);
    WRITTEN(PEM_write_bio_PKCS8PrivateKey(bio_, pair, EVP_aes_256_cbc(), "open",
                                          4, NULL, NULL));
    fta_key *key = NULL;
    CHECK(fta_key_from_encoded(algorithm_named("ES256"), none, text_of(pem),
                               none, &key) == FTA_KEY_ENCRYPTED);
    CHECK(fta_key_from_secret(algorithm_named("HS256"), none,
                              (const uint8_t *)pem, strlen(pem), true,
                              &key) == FTA_SECRET_IS_KEY);
    CHECK(prompts == 0);
    free(pem);
    EVP_PKEY_free(pair);
    UI_set_default_method(UI_OpenSSL());
    UI_destroy_method(method);
}

int
main(void)
{
    test_keys_in_every_form_are_read();
    test_octets_that_are_no_key_are_named();
    test_the_dates_of_a_certificate_are_read();
    test_a_key_derivation_that_costs_too_much_is_refused_at_once();
    test_a_missing_passphrase_is_an_error_without_a_prompt();
    return check_report("test_pair_reader");
}
