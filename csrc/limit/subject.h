/* The subject of a request under a limit (a user, a tenant, an address), and
 * the key of the counter that it has there. */
#ifndef FTA_LIMIT_SUBJECT_H
#define FTA_LIMIT_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "base/uuid.h"
#include "limit/limit.h"
#include "limit/strategy.h"

/* Who makes a request. */
typedef struct fta_requester {
    const fta_uuid *tenant_id; /* Borrowed; NULL without an identity, */
    const fta_uuid *user_id;   /* and so is this. */
    fta_text api_key;          /* The id of its API key; empty: none. */
    fta_text address;
    /* What the limits per custom count, in their order. Where one is missing
     * or empty, the address counts. */
    const fta_text *custom; /* Borrowed. */
    size_t custom_count;
} fta_requester;

/* A limit per user counts a request without an identity by its address, so the
 * kind is not the per of the limit. */
typedef enum fta_subject_kind {
    FTA_SUBJECT_USER = 'u',    /* 32 bytes: tenant, user */
    FTA_SUBJECT_KEY = 'k',     /* the id of an API key, which counts alone */
    FTA_SUBJECT_TENANT = 't',  /* 16 bytes */
    FTA_SUBJECT_ADDRESS = 'a', /* the text of an address */
    FTA_SUBJECT_NETWORK = 'n', /* 8 bytes: the first half of one of IPv6 */
    FTA_SUBJECT_CUSTOM = 'c',  /* what the application says */
} fta_subject_kind;

#define FTA_SUBJECT_MAX 128

typedef struct fta_subject {
    /* As a capital letter if bytes are the SHA-256 of a subject that is longer
     * than FTA_SUBJECT_MAX. */
    uint8_t kind;
    uint8_t length;
    uint8_t bytes[FTA_SUBJECT_MAX];
} fta_subject;

/* custom_at counts the limits per custom seen so far. False if the crypto
 * library fails. */
bool fta_subject_find(const fta_limit *limit, const fta_requester *requester,
                      size_t *custom_at, fta_subject *out);

/* The names in a key. Returns where they end.
 *
 *     1 byte   length of the scope; the scope
 *     1 byte   length of the subject; the subject
 */
#define FTA_SUBJECT_NAMES_MAX (2 + FTA_SCOPE_MAX + FTA_SUBJECT_MAX)
uint8_t *fta_subject_put_names(const fta_subject *subject, fta_text scope,
                               uint8_t *at);

/* The key of a counter, the same in every store:
 *
 *     1 byte   the letter of the strategy
 *     1 byte   fta_per of the limit
 *     1 byte   kind of the subject
 *     4 bytes  limit, big endian
 *     4 bytes  period in seconds, big endian
 *     the names, as fta_subject_put_names writes them
 *
 * Every part has a fixed or a written length, so no two different lists of
 * parts give the same bytes. The bytes are arbitrary (a Redis key may hold
 * any); a store that several applications share puts its prefix in front. */
#define FTA_KEY_MAX (11 + FTA_SUBJECT_NAMES_MAX)

/* Returns the length of the key. */
size_t fta_subject_key(const fta_subject *subject, const fta_strategy *strategy,
                       const fta_limit *limit, uint8_t out[FTA_KEY_MAX]);

#endif
