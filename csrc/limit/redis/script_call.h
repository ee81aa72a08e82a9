/* One call of the script (see script.h): its words, and how it is sent. */
#ifndef FTA_LIMIT_REDIS_SCRIPT_CALL_H
#define FTA_LIMIT_REDIS_SCRIPT_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "limit/rate.h"
#include "redis/client.h"

/* Of one call. Hits of a request are fewer. */
#define FTA_SCRIPT_KEYS_MAX 64u
/* Command, script, number of keys, ARGV 1 and 2; three more of a lease; for
 * each key itself, three numbers of the hit and up to two more. */
#define FTA_SCRIPT_WORDS_MAX (8 + 6 * FTA_SCRIPT_KEYS_MAX)

#define FTA_SCRIPT_HASH_TEXT 40

/* The hash that EVALSHA names the script by. */
fta_status fta_script_hash(char out[FTA_SCRIPT_HASH_TEXT + 1]);

/* The words of a call, and the text of those that had to be written. */
typedef struct fta_script_call {
    int count;
    fta_redis_resend resend;
    const char *words[FTA_SCRIPT_WORDS_MAX]; /* Borrowed, but for numbers. */
    size_t lengths[FTA_SCRIPT_WORDS_MAX];
    char numbers[FTA_SCRIPT_WORDS_MAX][24];
} fta_script_call;

/* hash is Borrowed. Sets all members: resend to
 * FTA_REDIS_RESEND_CLOSED. */
void fta_script_call_begin(fta_script_call *call, const char *hash);
void fta_script_call_add(fta_script_call *call, const char *text,
                         size_t length);
void fta_script_call_add_number(fta_script_call *call, int64_t value);
/* A part, 0 to 1. */
void fta_script_call_add_part(fta_script_call *call, double part);

/* Sends it; to a Redis that does not know the script again with the script,
 * but for what is never sent again. */
fta_status fta_script_call_send(fta_script_call *call, fta_redis_client *client,
                                unsigned slot, int64_t deadline,
                                fta_redis_reply **out,
                                fta_redis_problem *problem);

#endif
