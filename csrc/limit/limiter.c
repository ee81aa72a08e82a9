#include "limit/limiter.h"

#include "base/alloc.h"

#define US_PER_SECOND ((int64_t)1000000)

struct fta_limiter {
    const fta_strategy *strategy; /* Borrowed. */
    fta_on_store_error on_store_error;
    size_t store_count;
    fta_store *stores[]; /* Owned, in the order in which they are asked. */
};

static const fta_text on_store_errors[] = {
    [FTA_ON_STORE_ERROR_MEMORY] = {"memory", 6},
    [FTA_ON_STORE_ERROR_ALLOW] = {"allow", 5},
    [FTA_ON_STORE_ERROR_DENY] = {"deny", 4},
};

const fta_words fta_on_store_error_words = FTA_WORDS(on_store_errors);

/* -- Life ------------------------------------------------------------------ */

/* Opens the stores that need no URL, and of the others the first that takes
 * the URL. */
static fta_status
open_stores(fta_limiter *limiter, const fta_store_options *options,
            fta_store_problem *problem)
{
    bool is_taken = options->url.length == 0;
    for (size_t i = 0; i < fta_store_type_count; i++) {
        const fta_store_type *type = fta_store_types[i];
        if (type->takes != NULL) {
            if (is_taken || !type->takes(options->url)) {
                continue;
            }
            is_taken = true;
        }
        fta_store *store;
        fta_status status = type->open(options, &store, problem);
        if (status != FTA_OK) {
            return status;
        }
        limiter->stores[limiter->store_count++] = store;
    }
    return FTA_OK;
}

fta_status
fta_limiter_open(const fta_limiter_options *options, fta_limiter **out,
                 fta_store_problem *problem)
{
    *problem = (fta_store_problem){.option = NULL};
    fta_status status = fta_store_options_check(&options->store, problem);
    if (status != FTA_OK) {
        return status;
    }
    fta_limiter *limiter = fta_calloc(
        1, sizeof *limiter + fta_store_type_count * sizeof(fta_store *));
    if (limiter == NULL) {
        return FTA_NO_MEMORY;
    }
    limiter->strategy = options->strategy;
    limiter->on_store_error = options->on_store_error;
    status = open_stores(limiter, &options->store, problem);
    if (status != FTA_OK) {
        fta_limiter_close(limiter);
        return status;
    }
    *out = limiter;
    return FTA_OK;
}

void
fta_limiter_leave(fta_limiter *limiter)
{
    for (size_t i = 0; i < limiter->store_count; i++) {
        limiter->stores[i]->type->leave(limiter->stores[i]);
    }
}

void
fta_limiter_close(fta_limiter *limiter)
{
    if (limiter != NULL) {
        for (size_t i = 0; i < limiter->store_count; i++) {
            limiter->stores[i]->type->close(limiter->stores[i]);
        }
        fta_free(limiter);
    }
}

/* -- One request ----------------------------------------------------------- */

/* Whether the store has answered; else *status says why not, unless it was
 * not even asked. */
static bool
ask(fta_store *store, const fta_hits *request, const fta_waiting *waiting,
    fta_verdict *verdict, fta_status *status)
{
    fta_plan plan = store->type->plan(store, request, verdict);
    *status = FTA_OK;
    if (plan.course == FTA_COURSE_KNOWN || plan.course == FTA_COURSE_AWAY) {
        return plan.course == FTA_COURSE_KNOWN;
    }
    bool waits = plan.course == FTA_COURSE_WAIT && waiting != NULL;
    if (waits) {
        waiting->begin(waiting->context);
    }
    *status = store->type->hit(store, request, plan, verdict);
    if (waits) {
        waiting->end(waiting->context);
    }
    return *status == FTA_OK;
}

/* Gives hits back to the store that has counted them, and to no other. */
static fta_status
give_back(fta_store *store, const fta_hits *counted, const fta_waiting *waiting)
{
    fta_hits request = *counted;
    fta_verdict verdict;
    fta_status status;
    request.action = FTA_GIVE_BACK;
    if (!ask(store, &request, waiting, &verdict, &status) && status == FTA_OK) {
        status = FTA_REDIS_UNREACHABLE; /* Not even asked. */
    }
    return status;
}

/* Whether the stores behind the first count what it does not. What they have
 * counted meanwhile is reset as well. */
static bool
asks_next(const fta_limiter *limiter, fta_action action)
{
    return limiter->on_store_error == FTA_ON_STORE_ERROR_MEMORY ||
           action == FTA_RESET;
}

/* The answer where no store has counted. */
static void
answer_uncounted(const fta_limiter *limiter, const fta_hit *first,
                 fta_limiter_answer *answer)
{
    bool allowed = limiter->on_store_error != FTA_ON_STORE_ERROR_DENY;
    int64_t wait_us = allowed ? 0 : US_PER_SECOND;
    answer->verdict = (fta_verdict){
        .allowed = allowed,
        .limit = first->limit,
        .remaining = allowed ? first->limit : 0,
        .reset_after_us = wait_us,
        .retry_after_us = wait_us,
    };
}

/* *counted_in is the store that has answered, NULL if none has. */
static fta_status
ask_stores(fta_limiter *limiter, const fta_hits *request,
           const fta_waiting *waiting, fta_limiter_answer *answer,
           fta_store **counted_in)
{
    fta_status failure = FTA_OK;
    *counted_in = NULL;
    for (size_t i = 0; i < limiter->store_count; i++) {
        fta_store *store = limiter->stores[i];
        fta_status status;
        if (i > 0 && !asks_next(limiter, request->action)) {
            break;
        }
        if (ask(store, request, waiting, &answer->verdict, &status)) {
            if (answer->store == NULL) {
                answer->store = store->type->name;
                *counted_in = store;
            }
            if (request->action != FTA_RESET) {
                return FTA_OK;
            }
        } else if (failure == FTA_OK) {
            failure = status;
        }
    }
    if (answer->store == NULL) {
        answer_uncounted(limiter, &request->hits[0], answer);
    }
    return request->action == FTA_RESET ? failure : FTA_OK;
}

/* Whether a rate of 0 is among the limits; of several, the one with the longest
 * period answers. */
static bool
is_limited_to_zero(const fta_limiter_request *request, fta_verdict *verdict)
{
    bool found = false;
    for (size_t i = 0; i < request->count; i++) {
        const fta_rate *rate = &request->limits[i]->rate;
        int64_t period_us = (int64_t)rate->period * US_PER_SECOND;
        if (rate->limit > 0 ||
            (found && period_us <= verdict->retry_after_us)) {
            continue;
        }
        *verdict = (fta_verdict){.index = i,
                                 .reset_after_us = period_us,
                                 .retry_after_us = period_us};
        found = true;
    }
    return found;
}

/* Holds a request against its limits. With receipts and out, makes what was
 * counted a reservation. */
static fta_status
hit_limits(fta_limiter *limiter, const fta_limiter_request *request,
           const fta_waiting *waiting, fta_limiter_answer *answer,
           fta_receipt *receipts, fta_reservation **out)
{
    uint8_t keys[FTA_HITS_MAX][FTA_KEY_MAX];
    fta_hit hits[FTA_HITS_MAX];
    size_t places[FTA_HITS_MAX]; /* of each hit's limit among limits */
    size_t custom_at = 0, count = 0;

    answer->store = NULL;
    if (request->count > FTA_HITS_MAX) {
        return FTA_TOO_MANY_LIMITS;
    }
    if (is_limited_to_zero(request, &answer->verdict) &&
        request->action != FTA_RESET) {
        return FTA_OK;
    }
    for (size_t i = 0; i < request->count; i++) {
        const fta_limit *limit = request->limits[i];
        fta_subject subject;
        if (!fta_subject_find(limit, request->requester, &custom_at,
                              &subject)) {
            return FTA_CRYPTO;
        }
        if (limit->rate.limit == 0) {
            continue; /* A reset has nothing to forget of it. */
        }
        places[count] = i;
        hits[count] = (fta_hit){
            .key = keys[count],
            .key_length = fta_subject_key(&subject, limiter->strategy, limit,
                                          keys[count]),
            .limit = limit->rate.limit,
            .cost = limit->cost,
            .period_us = (int64_t)limit->rate.period * US_PER_SECOND,
        };
        count++;
    }
    if (count == 0) {
        answer->verdict = (fta_verdict){.allowed = true};
        return FTA_OK;
    }
    const fta_hits of_stores = {limiter->strategy, request->action, hits, count,
                                receipts};
    fta_store *store;
    fta_status status =
        ask_stores(limiter, &of_stores, waiting, answer, &store);
    if (status == FTA_OK && out != NULL && store != NULL &&
        answer->verdict.allowed) {
        status = fta_reservation_new(&of_stores, store, out);
        if (status != FTA_OK) {
            give_back(store, &of_stores, waiting);
        }
    }
    answer->verdict.index = places[answer->verdict.index];
    return status;
}

fta_status
fta_limiter_hit(fta_limiter *limiter, const fta_limiter_request *request,
                const fta_waiting *waiting, fta_limiter_answer *answer)
{
    return hit_limits(limiter, request, waiting, answer, NULL, NULL);
}

fta_status
fta_limiter_reserve(fta_limiter *limiter, const fta_limiter_request *request,
                    const fta_waiting *waiting, fta_limiter_answer *answer,
                    fta_reservation **out)
{
    fta_receipt receipts[FTA_HITS_MAX];
    fta_limiter_request counted = *request;
    counted.action = FTA_COUNT;
    *out = NULL;
    return hit_limits(limiter, &counted, waiting, answer, receipts, out);
}

fta_status
fta_limiter_give_back(fta_limiter *limiter, fta_reservation *reservation,
                      size_t first, size_t end, const fta_waiting *waiting)
{
    fta_hit hits[FTA_HITS_MAX];
    fta_receipt receipts[FTA_HITS_MAX];
    fta_hits request;
    (void)limiter; /* It owns the store. */
    fta_reservation_take_out(reservation, first, end, hits, receipts, &request);
    if (request.count == 0) {
        return FTA_OK;
    }
    return give_back(fta_reservation_store(reservation), &request, waiting);
}

/* -- For people ------------------------------------------------------------ */

/* The store that counts now: the first that is not away. */
static const char *
counting_store(const fta_limiter *limiter)
{
    for (size_t i = 0; i < limiter->store_count; i++) {
        fta_store *store = limiter->stores[i];
        if (store->type->is_away == NULL || !store->type->is_away(store)) {
            return store->type->name;
        }
    }
    return NULL;
}

void
fta_limiter_read(const fta_limiter *limiter, fta_facts *out)
{
    out->count = out->text_used = 0;
    fta_facts_add_text(out, "store", counting_store(limiter));
    fta_facts_add_text(out, "strategy", limiter->strategy->name);
    for (size_t i = limiter->store_count; i-- > 0;) {
        limiter->stores[i]->type->add_facts(limiter->stores[i], out);
    }
}

fta_store_events
fta_limiter_events(const fta_limiter *limiter)
{
    fta_store_events events = {.evictions = 0};
    for (size_t i = 0; i < limiter->store_count; i++) {
        limiter->stores[i]->type->add_events(limiter->stores[i], &events);
    }
    return events;
}

fta_store *
fta_limiter_store(const fta_limiter *limiter, const fta_store_type *type)
{
    for (size_t i = 0; i < limiter->store_count; i++) {
        if (limiter->stores[i]->type == type) {
            return limiter->stores[i];
        }
    }
    return NULL;
}
