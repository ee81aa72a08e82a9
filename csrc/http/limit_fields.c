#include "http/limit_fields.h"

#include <string.h>

#include "base/alloc.h"

/* An item of RateLimit-Policy or RateLimit: a name and two numbers of at most
 * FTA_DIGITS_MAX digits, and what stands between them. */
enum { ITEM_MAX = 3 * FTA_DIGITS_MAX + 10 };

static uint64_t
not_negative(int64_t number)
{
    return number < 0 ? 0 : (uint64_t)number;
}

void
fta_limit_fields_add(const fta_limit_report *report, fta_fields *fields)
{
    fta_fields_add_number(fields, FTA_FIELD_LIMIT, report->limit);
    fta_fields_add_number(fields, FTA_FIELD_REMAINING, report->remaining);
    fta_fields_add_number(fields, FTA_FIELD_RESET, not_negative(report->reset));
}

static char *
write_text(char *end, const char *text)
{
    size_t length = strlen(text);
    memcpy(end, text, length);
    return end + length;
}

static char *
write_number(char *end, uint64_t number)
{
    char digits[FTA_DIGITS_MAX];
    char *start = fta_digits_before(digits + sizeof digits, number);
    size_t length = (size_t)(digits + sizeof digits - start);
    memcpy(end, start, length);
    return end + length;
}

/* Whole seconds, rounded up: a client that comes back then is not too early. */
static uint64_t
seconds_until_reset(const fta_limit_report *report)
{
    int64_t now = report->now_us / 1000000; /* rounded down */
    return report->reset > now ? (uint64_t)(report->reset - now) : 0;
}

fta_status
fta_limit_fields_add_ietf(const fta_limit_report *report,
                          fta_limit_policies policies, fta_fields *fields)
{
    char *policy = fta_malloc(policies.count * ITEM_MAX + 1);
    char *state = fta_malloc(ITEM_MAX);
    if (policy == NULL || state == NULL) {
        fta_free(policy);
        fta_free(state);
        return FTA_NO_MEMORY;
    }
    char *end = policy;
    for (size_t i = 0; i < policies.count; i++) {
        end = write_text(end, i == 0 ? "\"" : ", \"");
        end = write_number(end, i + 1);
        end = write_text(end, "\";q=");
        end = write_number(end, policies.items[i].limit);
        end = write_text(end, ";w=");
        end = write_number(end, policies.items[i].period);
    }
    fta_fields_add_owned(fields, FTA_FIELD_RATELIMIT_POLICY, policy,
                         (size_t)(end - policy));
    end = write_text(state, "\"");
    end = write_number(end, (uint64_t)report->index + 1);
    end = write_text(end, "\";r=");
    end = write_number(end, report->remaining);
    end = write_text(end, ";t=");
    end = write_number(end, seconds_until_reset(report));
    fta_fields_add_owned(fields, FTA_FIELD_RATELIMIT, state,
                         (size_t)(end - state));
    return FTA_OK;
}

void
fta_limit_fields_add_retry_after(const fta_limit_report *report,
                                 fta_fields *fields)
{
    if (!report->allowed) {
        fta_fields_add_number(fields, FTA_FIELD_RETRY_AFTER,
                              not_negative(report->retry_after));
    }
}
