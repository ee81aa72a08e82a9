#include "token/hmac.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/alloc.h"
#include "base/crypto_error.h"

/* How many contexts are kept ready: about as many as threads that compute at
 * the same instant. A thread that finds none makes a copy. */
#define POOL 8

/* A place for a context. It has a cache line of its own: two threads that each
 * use another place do not wait for each other. */
typedef struct place {
    _Atomic(EVP_MAC_CTX *) context;
    char rest_of_line[64 - sizeof(_Atomic(EVP_MAC_CTX *))];
} place;

struct fta_hmac {
    /* It is only copied and never used itself, so that reading it needs no
     * lock. */
    EVP_MAC_CTX *prepared; /* Owned */
    /* Copies that nobody uses now. Whoever takes one out of its place, by an
     * atomic exchange, owns it. So no copy is shared, not even with a suspended
     * thread or a child of fork. */
    place pool[POOL];
    /* Whether a used context can be started again. If not, the pool stays
     * empty. */
    bool restarts;
};

static fta_status
prepare(EVP_MAC *algorithm, const char *digest, const uint8_t *secret,
        size_t size, EVP_MAC_CTX **out)
{
    /* OSSL_PARAM has no const, but OpenSSL writes nothing here. */
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
                               OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
                           OSSL_PARAM_construct_end()};
    *out = EVP_MAC_CTX_new(algorithm);
    return *out != NULL && EVP_MAC_init(*out, secret, size, params)
               ? FTA_OK
               : fta_crypto_error(FTA_CRYPTO);
}

static bool
compute(EVP_MAC_CTX *context, const void *message, size_t length,
        uint8_t tag[FTA_HMAC_SIZE_MAX])
{
    size_t size;
    /* Without a key, init starts again with the key that the context has. */
    return EVP_MAC_init(context, NULL, 0, NULL) &&
           EVP_MAC_update(context, message, length) &&
           EVP_MAC_final(context, tag, &size, FTA_HMAC_SIZE_MAX);
}

/* Finds out whether a used context starts again. In OpenSSL before 3.0.3, init
 * without a key does nothing, and a second tag is wrong. */
static fta_status
try_restart(const EVP_MAC_CTX *prepared, bool *restarts)
{
    uint8_t first[FTA_HMAC_SIZE_MAX] = {0};
    uint8_t second[FTA_HMAC_SIZE_MAX] = {0};
    EVP_MAC_CTX *context = EVP_MAC_CTX_dup(prepared);
    bool computed = context != NULL && compute(context, "", 0, first) &&
                    compute(context, "", 0, second);
    EVP_MAC_CTX_free(context);
    *restarts = memcmp(first, second, sizeof first) == 0;
    return computed ? FTA_OK : fta_crypto_error(FTA_CRYPTO);
}

fta_status
fta_hmac_new(const char *digest, const uint8_t *secret, size_t size,
             fta_hmac **out)
{
    fta_hmac *hmac = fta_calloc(1, sizeof *hmac);
    if (hmac == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status;
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (algorithm == NULL) {
        status = fta_crypto_error(FTA_CRYPTO);
        goto done;
    }
    status = prepare(algorithm, digest, secret, size, &hmac->prepared);
    if (status == FTA_OK) {
        status = try_restart(hmac->prepared, &hmac->restarts);
    }
done:
    EVP_MAC_free(algorithm);
    if (status == FTA_OK) {
        *out = hmac;
    } else {
        fta_hmac_free(hmac);
    }
    return status;
}

void
fta_hmac_free(fta_hmac *hmac)
{
    if (hmac == NULL) {
        return;
    }
    for (size_t i = 0; i < POOL; i++) {
        EVP_MAC_CTX_free(atomic_load(&hmac->pool[i].context));
    }
    EVP_MAC_CTX_free(hmac->prepared);
    fta_free(hmac);
}

/* Where a thread begins to look. Stacks of 8 MiB, which follow each other,
 * begin at places that follow each other; so do those of 128 KiB. */
static size_t
first_place(void)
{
    char on_stack;
    uintptr_t stack = (uintptr_t)&on_stack;
    return (stack >> 23 ^ stack >> 17) % POOL;
}

/* A context that nobody else uses. The acquire here and the release in
 * give_back_context make the last user's writes visible. */
static EVP_MAC_CTX *
take_context(fta_hmac *hmac)
{
    size_t first = first_place();
    for (size_t i = 0; i < POOL; i++) {
        EVP_MAC_CTX *context =
            atomic_exchange_explicit(&hmac->pool[(first + i) % POOL].context,
                                     NULL, memory_order_acquire);
        if (context != NULL) {
            return context;
        }
    }
    return EVP_MAC_CTX_dup(hmac->prepared);
}

static void
give_back_context(fta_hmac *hmac, EVP_MAC_CTX *context)
{
    size_t first = first_place();
    for (size_t i = 0; hmac->restarts && i < POOL; i++) {
        EVP_MAC_CTX *nothing = NULL;
        if (atomic_compare_exchange_strong_explicit(
                &hmac->pool[(first + i) % POOL].context, &nothing, context,
                memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    EVP_MAC_CTX_free(context);
}

fta_status
fta_hmac_compute(fta_hmac *hmac, const void *message, size_t length,
                 uint8_t tag[FTA_HMAC_SIZE_MAX])
{
    EVP_MAC_CTX *context = take_context(hmac);
    if (context == NULL) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    if (!compute(context, message, length, tag)) {
        EVP_MAC_CTX_free(context);
        return fta_crypto_error(FTA_CRYPTO);
    }
    give_back_context(hmac, context);
    return FTA_OK;
}
