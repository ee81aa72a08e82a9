/* Sixteen threads use the same keyrings; a key keeps contexts for fewer, and
 * its first signature prepares it. Every verdict is right, and ThreadSanitizer
 * finds no race. */
#include <pthread.h>

#include "check.h"
#include "keys.h"
#include "token/sign.h"
#include "tokens.h"

#include "base/alloc.h"

#define THREADS 16
#define ROUNDS 400

typedef struct shared {
    const fta_keyring *keyring;
    const fta_keyring *of_pair; /* signs with ES256 */
    char *good;
    char *expired;
    char *by_pair;
    char *wrong;
} shared;

static void
sign_and_verify(const fta_keyring *keyring)
{
    fta_claims claims;
    char *token;
    size_t length;
    CHECK(fta_token_sign(keyring, text_of("{" GOOD "}"), &token, &length) ==
          FTA_OK);
    CHECK(verify_token(keyring, (fta_text){token, length}, NULL, &claims) ==
          FTA_OK);
    fta_free(token);
}

static void *
work(void *context)
{
    const shared *all = context;
    fta_claims claims;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(verify_token(all->keyring, text_of(all->good), NULL, &claims) ==
              FTA_OK);
        CHECK(verify_token(all->keyring, text_of(all->wrong), NULL, &claims) ==
              FTA_SIGNATURE_MISMATCH);
        CHECK(verify_token(all->keyring, text_of(all->expired), NULL,
                           &claims) == FTA_EXPIRED);
        if (i % 20 == 0) {
            CHECK(verify_token(all->keyring, text_of(all->by_pair), NULL,
                               &claims) == FTA_OK);
            sign_and_verify(all->keyring);
            sign_and_verify(all->of_pair);
        }
    }
    return NULL;
}

int
main(void)
{
    const fta_algorithm *es256 = algorithm_named("ES256");
    EVP_PKEY *pair = new_pair(es256);
    fta_key *keys[2] = {make_key("HS256", NULL), NULL};
    fta_keyring *keyring = NULL, *of_pair = NULL;
    CHECK(fta_key_from_pair(es256, (fta_text){NULL, 0}, pair, &keys[1]) ==
          FTA_OK);
    keyring = keyring_of_keys((const fta_key *const *)keys, 2);
    of_pair = keyring_of_keys((const fta_key *const *)&keys[1], 1);

    shared all = {.keyring = keyring,
                  .of_pair = of_pair,
                  .good = sign_text(HEADER, "{" GOOD "}"),
                  .wrong = sign_text(HEADER, "{" GOOD "}"),
                  .expired = sign_text(HEADER, "{" WHO ",\"exp\":1}"),
                  .by_pair = calloc(1, 1024)};
    char *tail = strrchr(all.wrong, '.') + 1;
    *tail = *tail == 'A' ? 'B' : 'A';
    uint8_t signature[FTA_SIGNATURE_MAX];
    char *model = sign_text("{\"alg\":\"ES256\"}", "{" GOOD "}");
    size_t length = (size_t)(strrchr(model, '.') - model);
    memcpy(all.by_pair, model, length + 1);
    fta_base64url_encode(signature,
                         sign_rightly(pair, es256, model, length, signature),
                         all.by_pair + length + 1);

    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, &all) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }

    free(model);
    free(all.good);
    free(all.wrong);
    free(all.expired);
    free(all.by_pair);
    fta_keyring_free(of_pair);
    fta_keyring_free(keyring);
    fta_key_free(keys[0]);
    fta_key_free(keys[1]);
    EVP_PKEY_free(pair);
    return check_report("test_token_threads");
}
