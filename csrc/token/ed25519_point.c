#include "token/ed25519_point.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/bn.h>

#include "base/crypto_error.h"

/* RFC 8032, section 5.1. */
#define P "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"
#define D "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"

typedef struct numbers {
    BN_CTX *context; /* Owned */
    BIGNUM *p;       /* Borrowed of context, as all below */
    BIGNUM *d;
    BIGNUM *y;
    BIGNUM *square; /* of y */
    BIGNUM *left;
    BIGNUM *right;
} numbers;

static bool
numbers_start(numbers *n)
{
    n->context = BN_CTX_new();
    if (n->context == NULL) {
        return false;
    }
    BN_CTX_start(n->context);
    n->p = BN_CTX_get(n->context);
    n->d = BN_CTX_get(n->context);
    n->y = BN_CTX_get(n->context);
    n->square = BN_CTX_get(n->context);
    n->left = BN_CTX_get(n->context);
    n->right = BN_CTX_get(n->context);
    /* The last is NULL if any is. */
    return n->right != NULL && BN_hex2bn(&n->p, P) != 0 &&
           BN_hex2bn(&n->d, D) != 0;
}

/* y of the encoding, without the sign of x. */
static bool
read_y(numbers *n, const uint8_t point[FTA_ED25519_SIZE])
{
    uint8_t octets[FTA_ED25519_SIZE];
    memcpy(octets, point, sizeof octets);
    octets[FTA_ED25519_SIZE - 1] &= 0x7F;
    return BN_lebin2bn(octets, sizeof octets, n->y) != NULL &&
           BN_mod_sqr(n->square, n->y, n->p, n->context);
}

/* Orders 1 and 2 have y^2 = 1, order 4 has y = 0. The double of a point of
 * order 8 has y = 0, which by the doubling formula is x^2 = -y^2, and with the
 * equation of the curve d y^4 + 2 y^2 - 1 = 0. The sign of x makes no
 * difference to any of them. */
static bool
is_of_small_order(numbers *n, bool *out)
{
    *out = BN_is_zero(n->y) || BN_is_one(n->square);
    if (*out) {
        return true;
    }
    if (!BN_mod_mul(n->left, n->d, n->square, n->p, n->context) ||
        !BN_add_word(n->left, 2) ||
        !BN_mod_mul(n->left, n->left, n->square, n->p, n->context)) {
        return false;
    }
    *out = BN_is_one(n->left);
    return true;
}

/* x^2 = (y^2 - 1) / (d y^2 + 1) has a root if and only if the product of the
 * two is a square; the second is never 0. */
static bool
is_on_curve(numbers *n, bool *out)
{
    if (!BN_mod_mul(n->right, n->d, n->square, n->p, n->context) ||
        !BN_add_word(n->right, 1) || !BN_copy(n->left, n->square) ||
        !BN_sub_word(n->left, 1) ||
        !BN_mod_mul(n->left, n->left, n->right, n->p, n->context)) {
        return false;
    }
    int symbol = BN_kronecker(n->left, n->p, n->context);
    *out = symbol == 1;
    return symbol != -2;
}

fta_status
fta_ed25519_check(const uint8_t point[FTA_ED25519_SIZE])
{
    numbers n = {.context = NULL};
    bool small = true, on_curve = false;
    fta_status status = FTA_OK;
    if (!numbers_start(&n) || !read_y(&n, point)) {
        status = fta_crypto_error(FTA_CRYPTO);
    } else if (BN_cmp(n.y, n.p) >= 0) {
        status = FTA_ED25519_POINT;
    } else if (!is_of_small_order(&n, &small) || !is_on_curve(&n, &on_curve)) {
        status = fta_crypto_error(FTA_CRYPTO);
    } else if (small || !on_curve) {
        status = FTA_ED25519_POINT;
    }
    if (n.context != NULL) {
        BN_CTX_end(n.context);
        BN_CTX_free(n.context);
    }
    return status;
}
