#include "limit/redis/counter.h"

#include <string.h>

#include "base/alloc.h"
#include "limit/redis/counter_internal.h"
#include "limit/strategy.h"
#include "redis/nodes.h"

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
    fta_status status = fta_script_hash(counter->hash);
    if (status != FTA_OK) {
        fta_free(counter);
        return status;
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

bool
fta_counter_keys_new(fta_counter_keys *keys, const fta_redis_counter *counter,
                     size_t count, size_t bytes)
{
    *keys =
        (fta_counter_keys){fta_malloc(count * counter->tag_length + bytes), 0};
    return keys->bytes != NULL;
}

void
fta_counter_add_key(fta_script_call *call, fta_counter_keys *keys,
                    const fta_redis_counter *counter, const uint8_t *key,
                    size_t length)
{
    char *text = keys->bytes + keys->used;
    memcpy(text, counter->tag, counter->tag_length);
    memcpy(text + counter->tag_length, key, length);
    fta_script_call_add(call, text, counter->tag_length + length);
    keys->used += counter->tag_length + length;
}

void
fta_counter_add_action(fta_script_call *call, const fta_strategy *strategy,
                       const char *action)
{
    fta_script_call_add(call, strategy->name, strlen(strategy->name));
    fta_script_call_add(call, action, 1);
}

static void
add_hits(fta_script_call *call, const fta_redis_counter *counter,
         const fta_hits *request, const char *action, fta_counter_keys *keys)
{
    fta_script_call_begin(call, counter->hash);
    fta_script_call_add_number(call, (int64_t)request->count);
    for (size_t i = 0; i < request->count; i++) {
        fta_counter_add_key(call, keys, counter, request->hits[i].key,
                            request->hits[i].key_length);
    }
    fta_counter_add_action(call, request->strategy, action);
    for (size_t i = 0; i < request->count; i++) {
        fta_script_call_add_number(call, request->hits[i].limit);
        fta_script_call_add_number(call, request->hits[i].cost);
        fta_script_call_add_number(call, request->hits[i].period_us);
    }
    for (size_t i = 0; request->action == FTA_GIVE_BACK && i < request->count;
         i++) {
        fta_script_call_add_number(call, request->receipts[i].at_us);
    }
}

bool
fta_counter_read_verdict(fta_redis_reply *const *numbers, const fta_hit *hit,
                         fta_verdict *verdict)
{
    for (size_t i = 0; i < FTA_COUNTER_ANSWERS; i++) {
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
        reply->length != FTA_COUNTER_ANSWERS * n + receipts) {
        return FTA_REDIS_MALFORMED;
    }
    for (size_t i = 0; i < receipts; i++) {
        const fta_redis_reply *time =
            reply->elements[FTA_COUNTER_ANSWERS * n + i];
        if (time->type != FTA_REDIS_INTEGER) {
            return FTA_REDIS_MALFORMED;
        }
        request->receipts[i] = (fta_receipt){.at_us = time->integer};
    }
    for (size_t i = 0; i < n; i++) {
        fta_verdict this = {.index = i};
        if (!fta_counter_read_verdict(reply->elements + FTA_COUNTER_ANSWERS * i,
                                      &request->hits[i], &this)) {
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
    const fta_redis_sending sending = {counter->slot, deadline,
                                       FTA_REDIS_RESEND_CLOSED};
    return fta_redis_client_call(counter->client, command, &sending, out,
                                 problem);
}

fta_status
fta_counter_ask(fta_redis_counter *counter, const fta_hits *request,
                const fta_lease_question *question, int64_t deadline,
                fta_redis_reply **reply, fta_redis_problem *problem)
{
    *reply = NULL;
    problem->text[0] = '\0';
    if (request->count == 0 || request->count > FTA_HITS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < request->count; i++) {
        bytes += request->hits[i].key_length;
    }
    fta_counter_keys keys;
    if (!fta_counter_keys_new(&keys, counter, request->count, bytes)) {
        return FTA_NO_MEMORY;
    }
    const char *action = action_words[request->action];
    if (question != NULL) {
        action = "l";
    } else if (asks_for_receipts(request)) {
        action = "t";
    }
    fta_script_call call;
    add_hits(&call, counter, request, action, &keys);
    /* What is counted twice only counts too much. */
    if (request->action == FTA_GIVE_BACK) {
        call.resend = FTA_REDIS_RESEND_REFUSED;
    }
    if (question != NULL) {
        fta_script_call_add_part(&call, question->part);
        fta_script_call_add_number(&call, (int64_t)question->host);
        fta_script_call_add_number(&call, (int64_t)question->nonce);
        for (size_t i = 0; i < request->count; i++) {
            fta_script_call_add_number(&call, question->most[i]);
        }
        for (size_t i = 0; i < request->count; i++) {
            fta_script_call_add_number(&call, question->spent[i]);
        }
    }
    fta_status status = fta_script_call_send(
        &call, counter->client, counter->slot, deadline, reply, problem);
    fta_free(keys.bytes);
    return status;
}

fta_status
fta_redis_counter_hit(fta_redis_counter *counter, const fta_hits *request,
                      int64_t deadline, fta_verdict *verdict,
                      fta_redis_problem *problem)
{
    fta_redis_reply *reply;
    fta_status status =
        fta_counter_ask(counter, request, NULL, deadline, &reply, problem);
    if (status == FTA_OK) {
        status = read_answer(reply, request, verdict);
    }
    fta_redis_reply_free(reply);
    return status;
}

/* -- For people ------------------------------------------------------------ */

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
