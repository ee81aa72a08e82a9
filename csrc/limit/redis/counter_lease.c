/* What a counter asks and is answered with leases. */
#include "limit/redis/counter_internal.h"

#include "base/alloc.h"

/* How many numbers more a hit is answered with. */
#define GRANT ((size_t)4)

/* The script's numbers are whole below this. */
#define EXACT_MAX ((int64_t)1 << 53)

/* One hit's four numbers more; false where they cannot be true. */
static bool
read_grant(fta_redis_reply *const *numbers, const fta_hit *hit,
           fta_grant *grant)
{
    const int64_t most[GRANT] = {hit->limit, EXACT_MAX, EXACT_MAX,
                                 2 * hit->period_us + hit->limit};
    for (size_t i = 0; i < GRANT; i++) {
        if (numbers[i]->type != FTA_REDIS_INTEGER || numbers[i]->integer < 0 ||
            numbers[i]->integer > most[i]) {
            return false;
        }
    }
    *grant = (fta_grant){
        .permits = (uint32_t)numbers[0]->integer,
        .nonce = (uint64_t)numbers[1]->integer,
        .window = numbers[2]->integer,
        .lasts_us = numbers[3]->integer,
    };
    return true;
}

fta_status
fta_redis_counter_lease(fta_redis_counter *counter, const fta_hits *request,
                        const fta_lease_question *question, int64_t deadline,
                        fta_verdict verdicts[FTA_HITS_MAX],
                        fta_grant grants[FTA_HITS_MAX],
                        fta_redis_problem *problem)
{
    size_t n = request->count;
    fta_redis_reply *reply;
    fta_status status =
        fta_counter_ask(counter, request, question, deadline, &reply, problem);
    if (status == FTA_OK &&
        (reply->type != FTA_REDIS_ARRAY ||
         reply->length != (FTA_COUNTER_ANSWERS + GRANT) * n)) {
        status = FTA_REDIS_MALFORMED;
    }
    for (size_t i = 0; status == FTA_OK && i < n; i++) {
        verdicts[i] = (fta_verdict){.index = i};
        if (!fta_counter_read_verdict(reply->elements + FTA_COUNTER_ANSWERS * i,
                                      &request->hits[i], &verdicts[i]) ||
            !read_grant(reply->elements + FTA_COUNTER_ANSWERS * n + GRANT * i,
                        &request->hits[i], &grants[i])) {
            status = FTA_REDIS_MALFORMED;
        }
    }
    fta_redis_reply_free(reply);
    return status;
}

/* What became of each offer; false where it cannot be read. */
static bool
read_offers(const fta_redis_reply *reply, fta_lease_offer *offers, size_t count)
{
    if (reply->type != FTA_REDIS_ARRAY || reply->length != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const fta_redis_reply *number = reply->elements[i];
        if (number->type != FTA_REDIS_INTEGER || number->integer < 0 ||
            number->integer > 2) {
            return false;
        }
    }
    static const fta_lease_fate fates[] = {FTA_LEASE_KEPT, FTA_LEASE_GONE,
                                           FTA_LEASE_ALONE};
    for (size_t i = 0; i < count; i++) {
        offers[i].fate = fates[reply->elements[i]->integer];
    }
    return true;
}

fta_status
fta_redis_counter_offer(fta_redis_counter *counter,
                        const fta_strategy *strategy, uint64_t host,
                        fta_lease_offer *offers, size_t count, int64_t deadline,
                        fta_redis_problem *problem)
{
    fta_counter_keys keys;
    problem->text[0] = '\0';
    if (count == 0 || count > FTA_SCRIPT_KEYS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    if (!fta_counter_keys_new(&keys, counter, count,
                              count * FTA_LEASE_KEY_MAX)) {
        return FTA_NO_MEMORY;
    }
    fta_script_call call;
    fta_script_call_begin(&call, counter->hash);
    fta_script_call_add_number(&call, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        fta_counter_add_key(&call, &keys, counter, offers[i].key,
                            offers[i].key_length);
    }
    fta_counter_add_action(&call, strategy, "b");
    for (size_t i = 0; i < count; i++) {
        fta_script_call_add_number(&call, offers[i].limit);
        fta_script_call_add_number(&call, offers[i].permits);
        fta_script_call_add_number(&call, offers[i].period_us);
    }
    fta_script_call_add_number(&call, (int64_t)host);
    for (size_t i = 0; i < count; i++) {
        fta_script_call_add_number(&call, (int64_t)offers[i].nonce);
    }
    for (size_t i = 0; i < count; i++) {
        fta_script_call_add_number(&call, offers[i].window);
    }
    fta_redis_reply *reply;
    call.resend = FTA_REDIS_RESEND_NEVER;
    fta_status status = fta_script_call_send(
        &call, counter->client, counter->slot, deadline, &reply, problem);
    if (status == FTA_OK && !read_offers(reply, offers, count)) {
        status = FTA_REDIS_MALFORMED;
    }
    fta_redis_reply_free(reply);
    fta_free(keys.bytes);
    return status;
}

fta_redis_client_history
fta_redis_counter_history(fta_redis_counter *counter)
{
    return fta_redis_client_history_read(counter->client);
}

void
fta_redis_counter_renew(fta_redis_counter *counter)
{
    fta_redis_client_renew(counter->client);
}
