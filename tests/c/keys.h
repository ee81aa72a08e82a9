/* Key pairs for tests, made with OpenSSL directly, and their signatures. */
#ifndef FTA_TESTS_KEYS_H
#define FTA_TESTS_KEYS_H

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "token/algorithm.h"
#include "token/key_pair.h"

static inline const fta_algorithm *
algorithm_named(const char *name)
{
    return fta_algorithm_find((fta_text){name, strlen(name)});
}

/* A pair that fits the algorithm; 2048 bits for RSA. */
static inline EVP_PKEY *
new_pair(const fta_algorithm *algorithm)
{
    EVP_PKEY *pair;
    switch (algorithm->family) {
    case FTA_ECDSA:
        pair = EVP_EC_gen(algorithm->group);
        break;
    case FTA_EDDSA:
        pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    default:
        pair = EVP_RSA_gen(2048);
        break;
    }
    if (pair == NULL) {
        abort();
    }
    return pair;
}

/* PEM text in memory from malloc, NUL at its end. */
static inline char *
pem_of(EVP_PKEY *pair, bool is_private)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    if ((is_private
             ? PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL)
             : PEM_write_bio_PUBKEY(bio, pair)) != 1) {
        abort();
    }
    size_t size = (size_t)BIO_get_mem_data(bio, &data);
    char *copy = calloc(1, size + 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, data, size);
    BIO_free(bio);
    return copy;
}

/* Signs as RFC 7518 says. Another padding or salt length makes a signature that
 * must not verify. Returns the size. */
static inline size_t
sign_with(EVP_PKEY *pair, const fta_algorithm *algorithm, int padding,
          int salt_length, const void *message, size_t length,
          uint8_t out[FTA_SIGNATURE_MAX])
{
    EVP_PKEY_CTX *settings;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = FTA_SIGNATURE_MAX;
    if (EVP_DigestSignInit_ex(context, &settings, algorithm->digest, NULL, NULL,
                              pair, NULL) != 1) {
        abort();
    }
    if (padding != 0) {
        EVP_PKEY_CTX_set_rsa_padding(settings, padding);
    }
    if (padding == RSA_PKCS1_PSS_PADDING) {
        EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, salt_length);
    }
    if (EVP_DigestSign(context, out, &size, message, length) != 1) {
        abort();
    }
    EVP_MD_CTX_free(context);
    if (algorithm->family == FTA_ECDSA) {
        const uint8_t *der = out;
        ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long)size);
        int half = (int)algorithm->element_size;
        BN_bn2binpad(ECDSA_SIG_get0_r(parts), out, half);
        BN_bn2binpad(ECDSA_SIG_get0_s(parts), out + half, half);
        ECDSA_SIG_free(parts);
        size = 2 * algorithm->element_size;
    }
    return size;
}

/* With the padding and salt length of the algorithm. */
static inline size_t
sign_rightly(EVP_PKEY *pair, const fta_algorithm *algorithm,
             const void *message, size_t length, uint8_t out[FTA_SIGNATURE_MAX])
{
    int padding = algorithm->family == FTA_RSA_PSS     ? RSA_PKCS1_PSS_PADDING
                  : algorithm->family == FTA_RSA_PKCS1 ? RSA_PKCS1_PADDING
                                                       : 0;
    return sign_with(pair, algorithm, padding, RSA_PSS_SALTLEN_DIGEST, message,
                     length, out);
}

#endif
