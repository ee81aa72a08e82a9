/* What libjwt itself reads of a token, on both of its interfaces. The core
 * never reads a token with libjwt. */
#ifndef FTA_TESTS_LIBJWT_READER_H
#define FTA_TESTS_LIBJWT_READER_H

#include <stdlib.h>

#include "token/jwk.h"
#include "token/libjwt.h"
#include "tokens.h"

#if FTA_LIBJWT == 1

/* The payload of a token of HS256 and SECRET, as JSON in memory from malloc.
 * NULL: libjwt does not accept the token. */
static inline char *
libjwt_payload(const char *token)
{
    jwt_t *jwt = NULL;
    char *payload = NULL;
    if (jwt_decode(&jwt, token, (const unsigned char *)SECRET,
                   (int)sizeof SECRET - 1) == 0) {
        payload = jwt_get_grants_json(jwt, NULL);
    }
    jwt_free(jwt);
    return payload;
}

#else

/* libjwt 3 shows the claims to a callback, before it verifies the token. */
static inline int
libjwt_keep_payload(jwt_t *jwt, jwt_config_t *config)
{
    jwt_value_t all = {.type = JWT_VALUE_JSON};
    if (jwt_claim_get(jwt, &all) != JWT_VALUE_ERR_NONE) {
        return 1;
    }
    *(char **)config->ctx = all.json_val;
    return 0;
}

static inline char *
libjwt_payload(const char *token)
{
    char *payload = NULL, *text;
    size_t length;
    expect(fta_jwk_text_of_secret(fta_algorithm_find(text_of("HS256")),
                                  (const uint8_t *)SECRET, sizeof SECRET - 1,
                                  &text, &length) == FTA_OK);
    jwk_set_t *keys = jwks_create(text);
    jwt_checker_t *checker = jwt_checker_new();
    if (jwt_checker_setkey(checker, JWT_ALG_HS256, jwks_item_get(keys, 0)) !=
            0 ||
        jwt_checker_setcb(checker, libjwt_keep_payload, &payload) != 0 ||
        /* libjwt 1 looks at no times. libjwt 3 takes whole seconds only. */
        jwt_checker_time_leeway(checker, JWT_CLAIM_EXP, -1) != 0 ||
        jwt_checker_time_leeway(checker, JWT_CLAIM_NBF, -1) != 0) {
        abort();
    }
    if (jwt_checker_verify(checker, token) != 0) {
        free(payload);
        payload = NULL;
    }
    jwt_checker_free(checker);
    jwks_free(keys);
    free(text);
    return payload;
}

#endif
#endif
