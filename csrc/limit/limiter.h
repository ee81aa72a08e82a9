/* The front of counting: which counters a request is held against, and which
 * store holds them. */
#ifndef FTA_LIMIT_LIMITER_H
#define FTA_LIMIT_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"
#include "limit/rate.h"
#include "limit/redis/store.h"
#include "limit/shm/table.h"

/* Whose requests a limit counts. */
typedef enum fta_per {
    FTA_PER_USER = 'u',
    FTA_PER_MEMBER = 'm', /* A user, as one who shares a tenant's limit. */
    FTA_PER_TENANT = 't',
    FTA_PER_ADDRESS = 'a',
    FTA_PER_CUSTOM = 'c',
} fta_per;

/* Reads "user", "member", "tenant", "address" or "custom". */
bool fta_per_parse(fta_text text, fta_per *out);

/* The text of a per, never NULL. */
const char *fta_per_text(fta_per per);

/* What a counter is kept for in the end: a limit per user counts a request
 * without an identity by its address. */
typedef enum fta_subject {
    FTA_SUBJECT_USER = 'u',    /* 32 bytes: tenant, user */
    FTA_SUBJECT_TENANT = 't',  /* 16 bytes */
    FTA_SUBJECT_ADDRESS = 'a', /* the text of an address */
    FTA_SUBJECT_NETWORK = 'n', /* 8 bytes: the first half of one of IPv6 */
    FTA_SUBJECT_CUSTOM = 'c',  /* what the application says */
} fta_subject;

/* The key of a counter, the same in every store:
 *
 *     1 byte   strategy: 'f', 's' or 'g'
 *     1 byte   fta_per of the limit
 *     1 byte   fta_subject of this request, as a capital letter if the subject
 *              is the SHA-256 of one longer than FTA_SUBJECT_MAX
 *     4 bytes  limit, big endian
 *     4 bytes  period in seconds, big endian
 *     1 byte   length of the scope; the scope
 *     1 byte   length of the subject; the subject
 *
 * Every part has a fixed or a written length, so no two different lists of
 * parts give the same bytes. The bytes are arbitrary (a Redis key may hold
 * any); a store that several applications share puts its prefix in front. */
#define FTA_SCOPE_MAX 255
#define FTA_SUBJECT_MAX 128
#define FTA_KEY_MAX (13 + FTA_SCOPE_MAX + FTA_SUBJECT_MAX)

/* One rule: how many, whose, counted under which name. */
typedef struct fta_limit {
    fta_rate rate;
    uint32_t cost; /* 1 .. rate.limit; any from 1 if that is 0 */
    fta_per per;
    fta_text scope; /* Borrowed; at most FTA_SCOPE_MAX bytes. */
} fta_limit;

/* The limit per member that keeps one user within this fraction (0 to 1) of a
 * limit per tenant: rounded down, so that what is left to the others is never
 * less than the rest, but enough for one request (of a limit of 0: 0). */
fta_limit fta_limit_share(const fta_limit *limit, double fraction);

/* Who asks. */
typedef struct fta_requester {
    const fta_uuid *tenant_id; /* Borrowed; NULL when nobody is known, */
    const fta_uuid *user_id;   /* and so is this. */
    fta_text address;
    /* What the limits per custom count, in their order. Where one is missing
     * or empty, the address counts. */
    const fta_text *custom; /* Borrowed. */
    size_t custom_count;
} fta_requester;

/* Which store answered. */
typedef enum fta_store {
    FTA_STORE_NONE,   /* Nothing was to be counted. */
    FTA_STORE_MEMORY, /* This host's table. */
    FTA_STORE_REDIS,
} fta_store;

typedef enum fta_on_store_error {
    FTA_ON_STORE_ERROR_MEMORY, /* This host counts on alone. */
    FTA_ON_STORE_ERROR_ALLOW,
    FTA_ON_STORE_ERROR_DENY,
} fta_on_store_error;

/* Reads "memory", "allow" or "deny". */
bool fta_on_store_error_parse(fta_text text, fta_on_store_error *out);

typedef struct fta_limiter_options {
    fta_strategy strategy;
    fta_shm_table_options memory;
    fta_text redis_url;
    int timeout_ms;
    fta_on_store_error on_store_error;
} fta_limiter_options;

typedef struct fta_limiter fta_limiter;

/* Connects to nothing: Redis may be away now and come later. Where the URL is
 * at fault, problem says how, and quotes nothing that could be secret.
 *
 * Where shared memory cannot be had, this process and its children count on
 * their own, and fta_limiter_unshared says why. A name that somebody else has
 * taken is no such case but FTA_SEGMENT_FOREIGN: that is not to be passed over
 * in silence. */
fta_status fta_limiter_open(const fta_limiter_options *options,
                            fta_limiter **out, fta_redis_problem *problem);

/* Ends what runs in the background, and gives up Redis and the table that
 * other processes use too. May be called while other threads are
 * inside; what they count from then on, this process counts alone. */
void fta_limiter_leave(fta_limiter *limiter);

/* NULL is allowed. No other thread may be inside the limiter. */
void fta_limiter_close(fta_limiter *limiter);

/* What a caller wants to be done around a wait for the network, say to let
 * other threads run meanwhile. */
typedef struct fta_waiting {
    void (*begin)(void *context);
    void (*end)(void *context);
    void *context;
} fta_waiting;

/* Holds a request against limits, at most FTA_HITS_MAX of them; none allow
 * everything, with a limit of 0. waiting may be NULL.
 *
 * A rate of 0 denies every request, for the length of its period, and no store
 * is asked.
 *
 * Redis counts where there is one and it answers in time. Else this host's
 * table does, or the request is allowed or denied uncounted, as the options
 * say; only FTA_RESET then returns why Redis did not answer, having reset the
 * table. */
fta_status fta_limiter_hit(fta_limiter *limiter, fta_action action,
                           const fta_limit *const *limits, size_t n,
                           const fta_requester *requester,
                           const fta_waiting *waiting, fta_store *store,
                           fta_verdict *verdict);

fta_strategy fta_limiter_strategy(const fta_limiter *limiter);

/* The errno for which the memory is not shared although it should be, or 0. */
int fta_limiter_unshared(const fta_limiter *limiter);

/* The table of this host, borrowed. */
const fta_shm_table *fta_limiter_memory(const fta_limiter *limiter);

/* Redis, borrowed; NULL where none is used. */
fta_redis_store *fta_limiter_redis(const fta_limiter *limiter);

#endif
