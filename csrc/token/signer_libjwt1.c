#include "token/libjwt.h"

#if FTA_LIBJWT == 1

#include <errno.h>
#include <pthread.h>

#include "base/alloc.h"
#include "token/key_pair.h"
#include "token/signer.h"

struct fta_signer {
    const fta_algorithm *algorithm;
    char *text; /* Owned, wiped: the secret, or the private key as PEM text */
    size_t length;
};

/* libjwt reads names in any case; ours are exact. */
static jwt_alg_t
libjwt_algorithm(const fta_algorithm *algorithm)
{
    return jwt_str_alg(algorithm->name.data);
}

/* Later versions list PS and EdDSA too. But the signatures that 1.17 makes with
 * them, if it makes any, fail our check. */
bool
fta_signer_knows(const fta_algorithm *algorithm)
{
    switch (algorithm->family) {
    case FTA_HMAC:
    case FTA_RSA_PKCS1:
    case FTA_ECDSA:
        return libjwt_algorithm(algorithm) != JWT_ALG_INVAL;
    case FTA_RSA_PSS:
    case FTA_EDDSA:
        break;
    }
    return false;
}

/* --- made and freed ----------------------------------------------------- */

/* Takes the text, which is in memory from fta_malloc. */
static fta_status
from_text(const fta_algorithm *algorithm, char *text, size_t length,
          fta_signer **out)
{
    fta_signer *signer = fta_malloc(sizeof *signer);
    if (signer == NULL) {
        fta_free_secret(text, length + 1);
        return FTA_NO_MEMORY;
    }
    *signer = (fta_signer){algorithm, text, length};
    *out = signer;
    return FTA_OK;
}

fta_status
fta_signer_from_secret(const fta_algorithm *algorithm, const uint8_t *secret,
                       size_t size, fta_signer **out)
{
    char *text = fta_malloc(size + 1);
    if (text == NULL) {
        return FTA_NO_MEMORY;
    }
    memcpy(text, secret, size);
    text[size] = '\0';
    return from_text(algorithm, text, size, out);
}

fta_status
fta_signer_from_pair(const fta_algorithm *algorithm, EVP_PKEY *pair,
                     fta_signer **out)
{
    char *text;
    size_t length;
    fta_status status = fta_pair_to_pem(pair, &text, &length);
    return status == FTA_OK ? from_text(algorithm, text, length, out) : status;
}

void
fta_signer_free(fta_signer *signer)
{
    if (signer != NULL) {
        fta_free_secret(signer->text, signer->length + 1);
        fta_free(signer);
    }
}

/* --- signing ------------------------------------------------------------ */

/* A call of libjwt: what goes in, and what comes out. */
typedef struct task {
    const fta_signer *signer; /* Borrowed */
    const char *kid;          /* Borrowed */
    const char *payload;      /* Borrowed */
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
    const fta_signer *signer = todo->signer;
    fta_status status = status_of(
        jwt_set_alg(jwt, libjwt_algorithm(signer->algorithm),
                    (const unsigned char *)signer->text, (int)signer->length));
    if (status != FTA_OK) {
        return status;
    }
    status = status_of(jwt_add_header(jwt, "kid", todo->kid));
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

fta_status
fta_signer_sign(fta_signer *signer, const char *kid, fta_text payload,
                char **out)
{
    task todo = {.signer = signer, .kid = kid, .payload = payload.data};
    run_with_stack(&todo, payload.length);
    *out = todo.token;
    return todo.status;
}

#endif
