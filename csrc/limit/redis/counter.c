#include "limit/redis/counter.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "limit/redis/script.h"
#include "limit/strategy.h"
#include "redis/nodes.h"

enum {
    ANSWERS = 4,         /* numbers a hit */
    FIXED_ARGUMENTS = 5, /* command, script, number of keys, ARGV 1, 2 */
    HIT_ARGUMENTS = 5,   /* key, limit, cost, period, time of the receipt */
    HASH_TEXT = 40,
    ARGUMENTS_MAX = FIXED_ARGUMENTS + HIT_ARGUMENTS * FTA_HITS_MAX,
};

struct fta_redis_counter {
    fta_redis_client *client; /* Owned */
    char hash[HASH_TEXT + 1];
    unsigned slot;
    size_t tag_length;
    char tag[]; /* {fta:prefix} */
};

static bool
hash_script(char out[HASH_TEXT + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(fta_redis_script, fta_redis_script_length, digest, &length,
                   EVP_sha1(), NULL) != 1 ||
        length * 2 != HASH_TEXT) {
        return false;
    }
    for (unsigned i = 0; i < length; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
    }
    return true;
}

fta_status
fta_redis_counter_new(fta_redis_client *client, const char *prefix,
                      size_t prefix_length, fta_redis_counter **out)
{
    static const char before[] = "{fta:";
    *out = NULL;
    if (prefix_length > FTA_PREFIX_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    size_t before_length = sizeof(before) - 1;
    size_t tag_length = before_length + prefix_length + 1;
    fta_redis_counter *counter = fta_calloc(1, sizeof(*counter) + tag_length);
    if (counter == NULL) {
        return FTA_NO_MEMORY;
    }
    if (!hash_script(counter->hash)) {
        fta_free(counter);
        return FTA_CRYPTO;
    }
    memcpy(counter->tag, before, before_length);
    if (prefix_length > 0) {
        memcpy(counter->tag + before_length, prefix, prefix_length);
    }
    counter->tag[tag_length - 1] = '}';
    counter->tag_length = tag_length;
    /* The tag ends at the first brace, be it one of the prefix. */
    const char *end = memchr(counter->tag, '}', tag_length);
    counter->slot =
        fta_redis_slot_of(counter->tag + 1, (size_t)(end - counter->tag) - 1);
    counter->client = client;
    *out = counter;
    return FTA_OK;
}

void
fta_redis_counter_free(fta_redis_counter *counter)
{
    if (counter != NULL) {
        fta_redis_client_free(counter->client);
        fta_free(counter);
    }
}

void
fta_redis_counter_disconnect(fta_redis_counter *counter)
{
    fta_redis_client_disconnect(counter->client);
}

const fta_redis_url *
fta_redis_counter_url(const fta_redis_counter *counter)
{
    return fta_redis_client_url(counter->client);
}

/* The words of a command, and the text of those that had to be written. */
typedef struct arguments {
    int count;
    const char *words[ARGUMENTS_MAX];
    size_t lengths[ARGUMENTS_MAX];
    char numbers[1 + 4 * FTA_HITS_MAX][24];
    size_t numbers_used;
} arguments;

static void
add_text(arguments *a, const char *text, size_t length)
{
    a->words[a->count] = text;
    a->lengths[a->count++] = length;
}

static void
add_number(arguments *a, int64_t value)
{
    char *text = a->numbers[a->numbers_used++];
    int length = snprintf(text, sizeof(*a->numbers), "%lld", (long long)value);
    add_text(a, text, (size_t)length);
}

static const char *const action_words[] = {
    [FTA_COUNT] = "c",
    [FTA_PEEK] = "p",
    [FTA_RESET] = "r",
    [FTA_GIVE_BACK] = "g",
};

/* Whether the answer goes on with the times of the receipts. */
static bool
asks_for_receipts(const fta_hits *request)
{
    return request->action == FTA_COUNT && request->receipts != NULL;
}

/* keys: room for the tag and the key of every hit. */
static void
add_hits(arguments *a, const fta_redis_counter *counter,
         const fta_hits *request, char *keys)
{
    add_number(a, (int64_t)request->count);
    for (size_t i = 0; i < request->count; i++) {
        const fta_hit *hit = &request->hits[i];
        size_t length = counter->tag_length + hit->key_length;
        memcpy(keys, counter->tag, counter->tag_length);
        memcpy(keys + counter->tag_length, hit->key, hit->key_length);
        add_text(a, keys, length);
        keys += length;
    }
    add_text(a, request->strategy->name, strlen(request->strategy->name));
    add_text(
        a, asks_for_receipts(request) ? "t" : action_words[request->action], 1);
    for (size_t i = 0; i < request->count; i++) {
        add_number(a, request->hits[i].limit);
        add_number(a, request->hits[i].cost);
        add_number(a, request->hits[i].period_us);
    }
    for (size_t i = 0; request->action == FTA_GIVE_BACK && i < request->count;
         i++) {
        add_number(a, request->receipts[i].at_us);
    }
}

/* One hit's four numbers; false where they cannot be true. */
static bool
read_verdict(fta_redis_reply *const *numbers, const fta_hit *hit,
             fta_verdict *verdict)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        if (numbers[i]->type != FTA_REDIS_INTEGER) {
            return false;
        }
    }
    int64_t fits = numbers[0]->integer, remaining = numbers[1]->integer;
    int64_t reset = numbers[2]->integer, retry = numbers[3]->integer;
    int64_t longest = 2 * hit->period_us + hit->limit;
    if (fits < 0 || fits > 1 || remaining < 0 || remaining > hit->limit ||
        reset < 0 || reset > longest || retry < 0 || retry > longest) {
        return false;
    }
    verdict->allowed = fits == 1;
    verdict->limit = hit->limit;
    verdict->remaining = (uint32_t)remaining;
    verdict->reset_after_us = reset;
    verdict->retry_after_us = retry;
    return true;
}

static fta_status
read_answer(const fta_redis_reply *reply, const fta_hits *request,
            fta_verdict *verdict)
{
    size_t n = request->count;
    size_t receipts = asks_for_receipts(request) ? n : 0;
    if (reply->type != FTA_REDIS_ARRAY ||
        reply->length != ANSWERS * n + receipts) {
        return FTA_REDIS_MALFORMED;
    }
    for (size_t i = 0; i < receipts; i++) {
        const fta_redis_reply *time = reply->elements[ANSWERS * n + i];
        if (time->type != FTA_REDIS_INTEGER) {
            return FTA_REDIS_MALFORMED;
        }
        request->receipts[i] = (fta_receipt){.at_us = time->integer};
    }
    for (size_t i = 0; i < n; i++) {
        fta_verdict this = {.index = i};
        if (!read_verdict(reply->elements + ANSWERS * i, &request->hits[i],
                          &this)) {
            return FTA_REDIS_MALFORMED;
        }
        if (i == 0 || fta_verdict_closer(&this, verdict)) {
            *verdict = this;
        }
    }
    return FTA_OK;
}

fta_status
fta_redis_counter_call(fta_redis_counter *counter,
                       const fta_redis_command *command, int64_t deadline,
                       fta_redis_reply **out, fta_redis_problem *problem)
{
    return fta_redis_client_call(counter->client, command, counter->slot,
                                 deadline, out, problem);
}

fta_status
fta_redis_counter_hit(fta_redis_counter *counter, const fta_hits *request,
                      int64_t deadline, fta_verdict *verdict,
                      fta_redis_problem *problem)
{
    problem->text[0] = '\0';
    if (request->count == 0 || request->count > FTA_HITS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    size_t size = request->count * counter->tag_length;
    for (size_t i = 0; i < request->count; i++) {
        size += request->hits[i].key_length;
    }
    char *keys = fta_malloc(size);
    if (keys == NULL) {
        return FTA_NO_MEMORY;
    }
    arguments a = {0};
    add_text(&a, "EVALSHA", 7);
    add_text(&a, counter->hash, HASH_TEXT);
    add_hits(&a, counter, request, keys);
    const fta_redis_command command = {a.count, a.words, a.lengths};
    fta_redis_reply *reply = NULL;
    fta_status status =
        fta_redis_counter_call(counter, &command, deadline, &reply, problem);
    if (status == FTA_REDIS_NO_SCRIPT) {
        /* A Redis that was restarted, flushed or just became the primary;
         * EVAL also makes it known again. */
        a.words[0] = "EVAL";
        a.lengths[0] = 4;
        a.words[1] = fta_redis_script;
        a.lengths[1] = fta_redis_script_length;
        status = fta_redis_counter_call(counter, &command, deadline, &reply,
                                        problem);
    }
    if (status == FTA_OK) {
        status = read_answer(reply, request, verdict);
    }
    fta_redis_reply_free(reply);
    fta_free(keys);
    return status;
}

static fta_status
hit_probe(fta_redis_counter *counter, fta_action action, int64_t deadline,
          fta_redis_problem *problem)
{
    static const uint8_t key[] = "probe";
    const fta_hit hit = {.key = key,
                         .key_length = sizeof(key) - 1,
                         .limit = FTA_RATE_LIMIT_MAX,
                         .cost = 1,
                         .period_us = 1000000};
    const fta_hits request = {fta_strategies[0], action, &hit, 1, NULL};
    fta_verdict verdict;
    return fta_redis_counter_hit(counter, &request, deadline, &verdict,
                                 problem);
}

fta_status
fta_redis_counter_probe(fta_redis_counter *counter, int64_t deadline,
                        fta_redis_problem *problem)
{
    return hit_probe(counter, FTA_COUNT, deadline, problem);
}

fta_status
fta_redis_counter_probe_reset(fta_redis_counter *counter, int64_t deadline,
                              fta_redis_problem *problem)
{
    return hit_probe(counter, FTA_RESET, deadline, problem);
}
