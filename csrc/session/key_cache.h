/* What the store said of API keys, in memory that all processes of this host
 * share. How it works, and why it is right, is at the top of key_cache.c. */
#ifndef FTA_SESSION_KEY_CACHE_H
#define FTA_SESSION_KEY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "session/api_key.h"

#define FTA_KEY_CACHE_SLOTS_MIN ((size_t)4)
#define FTA_KEY_CACHE_SLOTS_MAX ((size_t)1 << 20)

/* The longest value. The store is asked each time for a longer one. */
#define FTA_KEY_CACHE_VALUE_MAX ((size_t)968)

/* The longest life of a value, in milliseconds. */
#define FTA_KEY_CACHE_MS_MAX ((int64_t)60000)

typedef struct fta_key_cache fta_key_cache;

typedef struct fta_key_cache_options {
    fta_text app; /* Those that give the same app and name meet. */
    fta_text name;
    size_t slots;          /* FTA_KEY_CACHE_SLOTS_MIN .. _MAX */
    bool shared;           /* With processes that are not children, too. */
    const char *directory; /* Where they meet; NULL: the usual place. */
} fta_key_cache_options;

/* FTA_BAD_ARGUMENT, FTA_NO_MEMORY; FTA_SYSTEM and FTA_SEGMENT_FOREIGN: see
 * fta_segment_shared. */
fta_status fta_key_cache_open(const fta_key_cache_options *options,
                              fta_key_cache **out, int *error);

/* Frees. NULL is allowed. No other thread may be inside. */
void fta_key_cache_close(fta_key_cache *cache);

/* When the store was asked for a key. */
typedef struct fta_key_cache_ticket {
    uint64_t epoch;
    int64_t us; /* fta_clock_monotonic_us */
} fta_key_cache_ticket;

/* To be called before the store is asked. */
void fta_key_cache_begin(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                         fta_key_cache_ticket *out);

/* Keeps what the store has answered, until `ms` after it was asked. Nothing is
 * kept, and nobody finds it, if the key was dropped since. A value that is too
 * long, and a life that is over, are not kept. */
void fta_key_cache_put(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                       const fta_key_cache_ticket *ticket, int64_t ms,
                       fta_text value);

/* Copies what is known of a key. False: the store has to be asked. */
bool fta_key_cache_find(fta_key_cache *cache, const char id[FTA_API_KEY_ID],
                        char out[FTA_KEY_CACHE_VALUE_MAX], size_t *length);

/* Once it returns, nobody finds what was put of the key, and what the store was
 * asked before that is put later. Cannot fail, and waits for nobody. */
void fta_key_cache_drop(fta_key_cache *cache, const char id[FTA_API_KEY_ID]);

/* Drops all keys. */
void fta_key_cache_clear(fta_key_cache *cache);

#endif
