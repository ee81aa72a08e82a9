#include "metrics/requests.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "metrics/metrics_internal.h"

/* -- Answers --------------------------------------------------------------- */

static bool
is_of_a_limit(size_t reason)
{
    return reason == FTA_REASON_RATE_LIMIT_EXCEEDED ||
           reason == FTA_REASON_CONCURRENCY_LIMIT_EXCEEDED;
}

/* Where it was denied, *reason says why. */
static size_t
outcome_of(const fta_metrics_answer *answer, size_t *reason)
{
    if (answer->reason.data != NULL && answer->status >= 400) {
        if (!fta_metric_find_word(FTA_METRIC_OF_DENIALS, answer->reason,
                                  reason)) {
            *reason = FTA_REASON_OTHER;
        }
        return is_of_a_limit(*reason) ? FTA_OUTCOME_LIMITED
                                      : FTA_OUTCOME_DENIED;
    }
    *reason = FTA_REASON_ANSWERED_BY_APP;
    if (answer->status == 401 || answer->status == 403) {
        return FTA_OUTCOME_DENIED;
    }
    if (answer->status == 429) {
        return FTA_OUTCOME_LIMITED;
    }
    return answer->status >= 500 ? FTA_OUTCOME_FAILED : FTA_OUTCOME_ALLOWED;
}

static int
compare_with_tenant(const void *id, const void *tenant)
{
    return memcmp(id, tenant, sizeof(fta_uuid));
}

static fta_metrics_place
place_of_tenant(const fta_metrics *metrics, const fta_uuid *id)
{
    const struct fta_metrics_tenant *found =
        bsearch(id, metrics->tenants, metrics->tenant_count,
                sizeof *metrics->tenants, compare_with_tenant);
    return found == NULL ? FTA_PLACES_TENANT - 1 : found->place;
}

static void
count_for_console(fta_metrics *metrics, const fta_metrics_answer *answer,
                  size_t outcome, const size_t *reason)
{
    fta_metrics_count_in_hour(metrics, outcome, reason);
    if (reason != NULL && is_of_a_limit(*reason) && answer->tenant != NULL) {
        fta_metrics_count_limited(metrics, answer->tenant, answer->user);
    }
}

void
fta_metrics_count_answer(fta_metrics *metrics, const fta_metrics_answer *answer)
{
    size_t reason;
    size_t outcome = outcome_of(answer, &reason);
    bool is_denied =
        outcome == FTA_OUTCOME_DENIED || outcome == FTA_OUTCOME_LIMITED;
    fta_metrics_say(metrics, FTA_METRIC_OF_PROCESSES, true);
    fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, outcome, 1);
    if (is_denied) {
        fta_metrics_add(metrics, FTA_METRIC_OF_DENIALS, reason, 1);
    }
    if (metrics->has_console) {
        count_for_console(metrics, answer, outcome, is_denied ? &reason : NULL);
    }
    if (metrics->tenant_count > 0 && answer->tenant != NULL) {
        fta_metrics_add_named(metrics, FTA_METRIC_OF_TENANT_REQUESTS,
                              place_of_tenant(metrics, answer->tenant),
                              outcome);
    }
}

/* -- Decisions ------------------------------------------------------------- */

/* Of all that its texts say. */
static uint64_t
digest_of(const fta_limit *limit)
{
    const fta_siphash_key key = {0x6C696D, (uint64_t)limit->per};
    uint64_t rate = (uint64_t)limit->rate.limit << 32 | limit->rate.period;
    uint64_t digest = fta_siphash_1_3(
        &key, rate, (const uint8_t *)limit->scope.data, limit->scope.length);
    return digest + (digest == 0);
}

static fta_metrics_place
name_limit(fta_metrics *metrics, const fta_limit *limit, uint64_t digest)
{
    char rate[FTA_RATE_TEXT];
    fta_rate_format(&limit->rate, rate);
    const fta_text texts[FTA_GROUP_LABELS] = {
        {rate, strlen(rate)}, fta_per_text(limit->per), limit->scope};
    return fta_metrics_add_name(metrics, FTA_GROUP_LIMIT, digest, texts);
}

static void
count_limit(fta_metrics *metrics, const fta_limit *limit, size_t verdict)
{
    uint64_t digest = digest_of(limit);
    fta_metrics_place place;
    if (!fta_metrics_find_name(metrics, FTA_GROUP_LIMIT, digest, &place)) {
        place = name_limit(metrics, limit, digest);
    }
    fta_metrics_add_named(metrics, FTA_METRIC_OF_DECISIONS, place, verdict);
}

void
fta_metrics_count_decision(fta_metrics *metrics,
                           const fta_limiter_request *request,
                           const fta_limiter_answer *answer)
{
    if (request->action != FTA_COUNT || request->count == 0) {
        return;
    }
    size_t store = FTA_STORE_NONE;
    if (answer->store != NULL) {
        const fta_text name = {answer->store, strlen(answer->store)};
        (void)fta_metric_find_word(FTA_METRIC_OF_CHECKS, name, &store);
    }
    fta_metrics_add(metrics, FTA_METRIC_OF_CHECKS, store, 1);
    if (!answer->verdict.allowed) {
        count_limit(metrics, request->limits[answer->verdict.index],
                    FTA_VERDICT_LIMITED);
        return;
    }
    for (size_t i = 0; i < request->count; i++) {
        count_limit(metrics, request->limits[i], FTA_VERDICT_ALLOWED);
    }
}
