#include "limit/redis/deny_cache.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/siphash.h"

enum { SETS = 1024, WAYS = 4 }; /* 160 KiB */

/* Every word is written on its own, so a reader may see parts of two entries,
 * or a killed writer leave them. The first word is the key's hash combined
 * (exclusive or) with all the others: whatever does not belong together does
 * not give the hash that is looked for, but by a chance of 2^-64. */
enum word { CHECK, UNTIL, RETRY_AT, RESET_AT, COST_AND_LEFT, WORDS };

typedef struct entry {
    _Atomic uint64_t words[WORDS];
} entry;

struct fta_deny_cache {
    fta_siphash_key secret;
    entry sets[SETS][WAYS];
};

typedef struct content {
    uint64_t words[WORDS];
} content;

static content
load(const entry *e)
{
    content c;
    for (int i = 0; i < WORDS; i++) {
        c.words[i] = atomic_load_explicit(&e->words[i], memory_order_relaxed);
    }
    for (int i = 1; i < WORDS; i++) {
        c.words[CHECK] ^= c.words[i];
    }
    return c;
}

static void
store(entry *e, const content *c)
{
    uint64_t check = c->words[CHECK];
    for (int i = 1; i < WORDS; i++) {
        check ^= c->words[i];
        atomic_store_explicit(&e->words[i], c->words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&e->words[CHECK], check, memory_order_relaxed);
}

fta_status
fta_deny_cache_new(fta_deny_cache **out)
{
    *out = NULL;
    fta_deny_cache *cache = fta_calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return FTA_NO_MEMORY;
    }
    if (RAND_bytes((unsigned char *)&cache->secret, sizeof(cache->secret)) !=
        1) {
        fta_free(cache);
        return FTA_CRYPTO;
    }
    *out = cache;
    return FTA_OK;
}

void
fta_deny_cache_free(fta_deny_cache *cache)
{
    if (cache != NULL) {
        fta_free_secret(cache, sizeof(*cache));
    }
}

static uint64_t
hash_of(const fta_deny_cache *cache, const fta_hit *hit)
{
    return fta_siphash(&cache->secret, hit->key, hit->key_length);
}

void
fta_deny_cache_add(fta_deny_cache *cache, const fta_hit *hit,
                   const fta_verdict *verdict, int64_t asked_us)
{
    /* Counted from the question, so that "until" is never too late. */
    int64_t wait_us = verdict->retry_after_us < FTA_DENY_CACHE_MAX_US
                          ? verdict->retry_after_us
                          : FTA_DENY_CACHE_MAX_US;
    content c = {{
        [CHECK] = hash_of(cache, hit),
        [UNTIL] = (uint64_t)(asked_us + wait_us),
        [RETRY_AT] = (uint64_t)(asked_us + verdict->retry_after_us),
        [RESET_AT] = (uint64_t)(asked_us + verdict->reset_after_us),
        [COST_AND_LEFT] = (uint64_t)hit->cost << 32 | verdict->remaining,
    }};
    entry *set = cache->sets[c.words[CHECK] % SETS];
    entry *place = NULL;
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < WAYS; i++) {
        content there = load(&set[i]);
        if (there.words[CHECK] == c.words[CHECK]) {
            place = &set[i];
            break;
        }
        /* Torn words may give any number; any place may be overwritten. */
        int64_t until = (int64_t)there.words[UNTIL];
        if (place == NULL || until < earliest) {
            place = &set[i];
            earliest = until;
        }
    }
    store(place, &c);
}

bool
fta_deny_cache_find(const fta_deny_cache *cache, const fta_hit *hit,
                    int64_t now_us, fta_verdict *verdict)
{
    uint64_t hash = hash_of(cache, hit);
    const entry *set = cache->sets[hash % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        content c = load(&set[i]);
        if (c.words[CHECK] != hash || now_us >= (int64_t)c.words[UNTIL] ||
            hit->cost < (uint32_t)(c.words[COST_AND_LEFT] >> 32)) {
            continue;
        }
        int64_t reset_us = (int64_t)c.words[RESET_AT] - now_us;
        *verdict = (fta_verdict){
            .allowed = false,
            .limit = hit->limit,
            .remaining = (uint32_t)c.words[COST_AND_LEFT],
            .reset_after_us = reset_us,
            .retry_after_us = (int64_t)c.words[RETRY_AT] - now_us,
        };
        return true;
    }
    return false;
}

void
fta_deny_cache_remove(fta_deny_cache *cache, const fta_hit *hit)
{
    uint64_t hash = hash_of(cache, hit);
    entry *set = cache->sets[hash % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        if (load(&set[i]).words[CHECK] == hash) {
            store(&set[i], &(content){{0}});
        }
    }
}
