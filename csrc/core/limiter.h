/* The front of counting: which counters a request is held against, and which
 * store holds them. */
#ifndef FTA_LIMITER_H
#define FTA_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rate.h"
#include "status.h"

/* Whose requests a limit counts. */
typedef enum fta_per {
    FTA_PER_USER = 'u',
    FTA_PER_TENANT = 't',
    FTA_PER_ADDRESS = 'a',
    FTA_PER_CUSTOM = 'c',
} fta_per;

/* What a counter is kept for in the end: a limit per user counts a request
 * without an identity by its address. */
typedef enum fta_subject {
    FTA_SUBJECT_USER = 'u',    /* 32 bytes: tenant, user */
    FTA_SUBJECT_TENANT = 't',  /* 16 bytes */
    FTA_SUBJECT_ADDRESS = 'a', /* the text of an address */
    FTA_SUBJECT_CUSTOM = 'c',  /* what the application says */
} fta_subject;

/* The key of a counter, the same in every store:
 *
 *     1 byte   strategy: 'f', 's' or 'g'
 *     1 byte   fta_per of the limit
 *     1 byte   fta_subject of this request
 *     4 bytes  limit, big endian
 *     4 bytes  period in seconds, big endian
 *     2 bytes  length of the scope, big endian; the scope
 *     2 bytes  length of the subject, big endian; the subject
 *
 * Every part has a fixed or a written length, so no two different lists of
 * parts give the same bytes. The bytes are arbitrary (a Redis key may hold
 * any); a store that several applications share puts its prefix in front. */
#define FTA_KEY_FIXED 15
#define FTA_SCOPE_MAX 255
#define FTA_SUBJECT_MAX 1024
#define FTA_KEY_MAX (FTA_KEY_FIXED + FTA_SCOPE_MAX + FTA_SUBJECT_MAX)

/* Writes the key, returns its length; 0 where scope or subject is too long. */
size_t fta_key_build(uint8_t out[FTA_KEY_MAX], fta_strategy strategy,
                     fta_per per, fta_subject kind, const fta_rate *rate,
                     const void *scope, size_t scope_length,
                     const void *subject, size_t subject_length);

/* Which store answered. */
typedef enum fta_store {
    FTA_STORE_NONE,   /* Nothing was to be counted. */
    FTA_STORE_MEMORY, /* This host's table. */
    FTA_STORE_REDIS,
} fta_store;

#endif
