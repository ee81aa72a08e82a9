#include "token/algorithm.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}

const fta_algorithm fta_algorithms[] = {
    {TEXT("HS256"), FTA_HMAC, "SHA256", 32, {NULL, 0}, NULL, 0},
    {TEXT("HS384"), FTA_HMAC, "SHA384", 48, {NULL, 0}, NULL, 0},
    {TEXT("HS512"), FTA_HMAC, "SHA512", 64, {NULL, 0}, NULL, 0},
    {TEXT("RS256"), FTA_RSA_PKCS1, "SHA256", 32, {NULL, 0}, NULL, 0},
    {TEXT("RS384"), FTA_RSA_PKCS1, "SHA384", 48, {NULL, 0}, NULL, 0},
    {TEXT("RS512"), FTA_RSA_PKCS1, "SHA512", 64, {NULL, 0}, NULL, 0},
    {TEXT("PS256"), FTA_RSA_PSS, "SHA256", 32, {NULL, 0}, NULL, 0},
    {TEXT("PS384"), FTA_RSA_PSS, "SHA384", 48, {NULL, 0}, NULL, 0},
    {TEXT("PS512"), FTA_RSA_PSS, "SHA512", 64, {NULL, 0}, NULL, 0},
    {TEXT("ES256"), FTA_ECDSA, "SHA256", 32, TEXT("P-256"), "prime256v1", 32},
    {TEXT("ES384"), FTA_ECDSA, "SHA384", 48, TEXT("P-384"), "secp384r1", 48},
    {TEXT("ES512"), FTA_ECDSA, "SHA512", 64, TEXT("P-521"), "secp521r1", 66},
    {TEXT("EdDSA"), FTA_EDDSA, NULL, 0, TEXT("Ed25519"), NULL, 0},
};

const fta_words fta_algorithm_words = FTA_WORDS(fta_algorithms);

const fta_algorithm *
fta_algorithm_find(fta_text name)
{
    size_t place;
    return fta_words_find(&fta_algorithm_words, name, &place)
               ? &fta_algorithms[place]
               : NULL;
}

const fta_algorithm *
fta_algorithm_of_curve(fta_text curve)
{
    for (size_t i = 0; i < fta_algorithm_words.count; i++) {
        if (fta_algorithms[i].curve.data != NULL &&
            fta_text_equal(curve, fta_algorithms[i].curve)) {
            return &fta_algorithms[i];
        }
    }
    return NULL;
}
