/* Any octets as a key pair and as a secret. Octets that are read as a key pair
 * are never an HMAC key, neither as an encoded key nor as a secret. The first
 * octet says whether there is a passphrase. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "token/key.h"
#include "token/key_search.h"
#include "token/pair_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fta_text none = {NULL, 0};

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static const fta_algorithm *
algorithm(const char *name)
{
    return fta_algorithm_find((fta_text){name, strlen(name)});
}

static void
check_key(const char *name, fta_text encoded, fta_text passphrase)
{
    fta_key *key = NULL;
    fta_status status =
        fta_key_from_encoded(algorithm(name), none, encoded, passphrase, &key);
    require(status != FTA_CRYPTO && status != FTA_NO_MEMORY);
    require((status == FTA_OK) == (key != NULL));
    require(key == NULL || fta_key_pair(key) != NULL);
    require(ERR_peek_error() == 0);
    fta_key_free(key);
}

static bool
is_in_range(int64_t seconds)
{
    return seconds >= FTA_VALIDITY_FIRST && seconds <= FTA_VALIDITY_LAST;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    fta_text passphrase = data[0] % 2 == 0 ? none : (fta_text){"open", 4};
    fta_text encoded = {(const char *)data + 1, size - 1};
    fta_pair_found found;
    fta_status status = fta_pair_read(encoded, passphrase, &found);
    require(status != FTA_CRYPTO && status != FTA_NO_MEMORY);
    require((status == FTA_OK) == (found.pair != NULL));
    require(!found.validity.is_known ||
            (found.pair != NULL && is_in_range(found.validity.begins) &&
             is_in_range(found.validity.ends)));
    require(ERR_peek_error() == 0);
    EVP_PKEY_free(found.pair);
    if (status == FTA_OK) {
        static const char *const names[] = {"RS256", "PS256", "ES256",
                                            "ES384", "ES512", "EdDSA"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            check_key(names[i], encoded, passphrase);
        }
    }
    fta_key *secret = NULL;
    require(fta_key_from_encoded(algorithm("HS256"), none, encoded, passphrase,
                                 &secret) == FTA_ALGORITHM_HMAC);
    fta_status as_secret = fta_key_from_secret(
        algorithm("HS256"), none, data + 1, size - 1, true, &secret);
    require(as_secret != FTA_CRYPTO && as_secret != FTA_NO_MEMORY);
    require(status != FTA_OK || as_secret != FTA_OK);
    require(ERR_peek_error() == 0);
    fta_key_free(as_secret == FTA_OK ? secret : NULL);
    return 0;
}
