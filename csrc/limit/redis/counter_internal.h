/* May be included by csrc/limit/redis/counter*.c alone. What the calls of a
 * counter have in common. */
#ifndef FTA_LIMIT_REDIS_COUNTER_INTERNAL_H
#define FTA_LIMIT_REDIS_COUNTER_INTERNAL_H

#include "limit/redis/counter.h"
#include "limit/redis/script_call.h"

/* How many numbers a hit is answered with. */
#define FTA_COUNTER_ANSWERS ((size_t)4)

struct fta_redis_counter {
    fta_redis_client *client; /* Owned */
    char hash[FTA_SCRIPT_HASH_TEXT + 1];
    unsigned slot;
    size_t tag_length;
    char tag[]; /* {fta:prefix} */
};

/* The keys of a call, each behind the tag. */
typedef struct fta_counter_keys {
    char *bytes; /* Owned. */
    size_t used;
} fta_counter_keys;

/* Room for so many keys of so many bytes together; false: no memory. */
bool fta_counter_keys_new(fta_counter_keys *keys,
                          const fta_redis_counter *counter, size_t count,
                          size_t bytes);

void fta_counter_add_key(fta_script_call *call, fta_counter_keys *keys,
                         const fta_redis_counter *counter, const uint8_t *key,
                         size_t length);

void fta_counter_add_action(fta_script_call *call, const fta_strategy *strategy,
                            const char *action);

/* Asks the script about a request; question: with leases, or NULL. *reply is
 * NULL, or the caller's to free. */
fta_status fta_counter_ask(fta_redis_counter *counter, const fta_hits *request,
                           const fta_lease_question *question, int64_t deadline,
                           fta_redis_reply **reply, fta_redis_problem *problem);

/* One hit's numbers; false where they cannot be true. */
bool fta_counter_read_verdict(fta_redis_reply *const *numbers,
                              const fta_hit *hit, fta_verdict *verdict);

#endif
