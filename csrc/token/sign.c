#include "token/sign.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <jwt.h>
#include <openssl/err.h>

#include "base/alloc.h"
#include "token/json_digest.h"
#include "token/verify.h"

/* libjwt reads names in any case; ours are exact. */
static jwt_alg_t
libjwt_algorithm(const fta_algorithm *algorithm)
{
    return jwt_str_alg(algorithm->name.data);
}

/* Later versions list PS and EdDSA too. But the signatures that 1.17 makes with
 * them, if it makes any, fail our check. */
static bool
libjwt_signs(const fta_algorithm *algorithm)
{
    switch (algorithm->family) {
    case FTA_HMAC:
    case FTA_RSA_PKCS1:
    case FTA_ECDSA:
        return libjwt_algorithm(algorithm) != JWT_ALG_TERM; /* it knows it */
    case FTA_RSA_PSS:
    case FTA_EDDSA:
        break;
    }
    return false;
}

bool
fta_key_can_sign(const fta_key *key)
{
    return fta_key_signing_text(key).data != NULL &&
           libjwt_signs(fta_key_algorithm(key));
}

/* --- libjwt ------------------------------------------------------------- */

/* A call of libjwt: what goes in, and what comes out. */
typedef struct task {
    const fta_key *key;  /* Borrowed */
    const char *payload; /* Borrowed; ends with a NUL */
    char *token; /* Owned, from malloc: libjwt's allocator is never replaced */
    fta_status status;
} task;

static fta_status
status_of(int error)
{
    switch (error) {
    case 0:
        return FTA_OK;
    case ENOMEM:
        return FTA_NO_MEMORY;
    default:
        return FTA_CRYPTO;
    }
}

static fta_status
fill_and_encode(jwt_t *jwt, task *todo)
{
    fta_text secret = fta_key_signing_text(todo->key);
    fta_status status = status_of(
        jwt_set_alg(jwt, libjwt_algorithm(fta_key_algorithm(todo->key)),
                    (const unsigned char *)secret.data, (int)secret.length));
    if (status != FTA_OK) {
        return status;
    }
    status = status_of(jwt_add_header(jwt, "kid", fta_key_id(todo->key).data));
    if (status != FTA_OK) {
        return status;
    }
    /* It returns EINVAL for every failure. The payload is valid JSON, so unless
     * malloc has failed, it holds a value that libjwt cannot hold. */
    errno = 0;
    if (jwt_add_grants_json(jwt, todo->payload) != 0) {
        return errno == ENOMEM ? FTA_NO_MEMORY : FTA_SIGNED_OTHERWISE;
    }
    errno = 0;
    todo->token = jwt_encode_str(jwt);
    return todo->token != NULL ? FTA_OK : status_of(errno != 0 ? errno : EIO);
}

static void *
run(void *context)
{
    task *todo = context;
    jwt_t *jwt = NULL;
    todo->status = status_of(jwt_new(&jwt));
    if (todo->status == FTA_OK) {
        todo->status = fill_and_encode(jwt, todo);
    }
    jwt_free(jwt);
    return NULL;
}

/* libjwt takes twice the size of the rewritten payload from the stack. A small
 * payload fits every stack. A large one is signed in a thread with a stack of
 * that size. */
#define SMALL_PAYLOAD 8192
#define BASE_STACK ((size_t)256 * 1024)
/* The worst case: "1e15," becomes 1000000000000000.0. */
#define STACK_PER_OCTET 16

static void
run_with_stack(task *todo, size_t length)
{
    if (length <= SMALL_PAYLOAD) {
        run(todo);
        return;
    }
    pthread_attr_t attributes;
    pthread_t thread;
    todo->status = FTA_SYSTEM;
    if (pthread_attr_init(&attributes) != 0) {
        return;
    }
    size_t size = (BASE_STACK + STACK_PER_OCTET * length) & ~(size_t)0xFFFF;
    if (pthread_attr_setstacksize(&attributes, size) == 0 &&
        pthread_create(&thread, &attributes, run, todo) == 0) {
        pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attributes);
}

/* --- signing ------------------------------------------------------------ */

/* Verifies the token of libjwt. If OpenSSL fails, libjwt 1.10 makes a token
 * without a signature and reports success. */
static fta_status
check_signature(const fta_keyring *keyring, fta_text text, fta_token *token)
{
    fta_status status = fta_token_open(keyring, text, token);
    if (status == FTA_OK) {
        status = fta_token_check(keyring, token);
    }
    switch (status) {
    case FTA_OK:
    case FTA_TOO_LONG:
    case FTA_NO_MEMORY:
        return status;
    default:
        return FTA_CRYPTO;
    }
}

/* A token is given out only if it verifies and says what the payload says. */
static fta_status
check_token(const fta_keyring *keyring, fta_text text, uint64_t expected)
{
    fta_token token;
    uint64_t digest = 0;
    fta_status status = check_signature(keyring, text, &token);
    if (status == FTA_OK) {
        status = fta_json_digest(token.payload, token.payload_size,
                                 &keyring->seed, &digest);
    }
    fta_token_close(&token);
    if (status != FTA_OK) {
        return status;
    }
    return digest == expected ? FTA_OK : FTA_SIGNED_OTHERWISE;
}

static fta_status
sign_text(const fta_keyring *keyring, fta_text payload, char *text, task *todo,
          char **out, size_t *length)
{
    uint64_t digest;
    memcpy(text, payload.data, payload.length);
    fta_status status =
        fta_json_digest(text, payload.length, &keyring->seed, &digest);
    if (status != FTA_OK) {
        return status;
    }
    /* Reading has changed it. */
    memcpy(text, payload.data, payload.length);
    text[payload.length] = '\0';
    run_with_stack(todo, payload.length);
    if (todo->status != FTA_OK) {
        return todo->status;
    }
    fta_text token = {todo->token, strlen(todo->token)};
    status = check_token(keyring, token, digest);
    if (status != FTA_OK) {
        return status;
    }
    *out = fta_malloc(token.length);
    if (*out == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(*out, token.data, token.length);
    *length = token.length;
    return FTA_OK;
}

fta_status
fta_token_sign(const fta_keyring *keyring, fta_text payload, char **out,
               size_t *length)
{
    const fta_key *key = keyring->keys[0];
    if (fta_key_signing_text(key).data == NULL) {
        return FTA_KEY_IS_PUBLIC;
    }
    if (!libjwt_signs(fta_key_algorithm(key))) {
        return FTA_CANNOT_SIGN;
    }
    /* White space and escapes do not go into the token. A payload that is
     * mostly that is not expected. */
    if (payload.length / 2 > keyring->max_token_bytes) {
        return FTA_TOO_LONG;
    }
    char *text = fta_malloc(payload.length + 1);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    task todo = {.key = key, .payload = text};
    fta_status status = sign_text(keyring, payload, text, &todo, out, length);
    free(todo.token);
    fta_free(text);
    ERR_clear_error(); /* libjwt leaves errors in the queue */
    return status;
}
