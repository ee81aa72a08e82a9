/* The minutes of the last hour: a ring of slots, of which each has a cell for
 * each outcome and each reason.
 *
 * A cell holds the minute that it counts beside its count, in one word. Whoever
 * counts in a cell of an older minute begins it anew, in the same
 * compare-and-swap that counts. So nothing is ever set to zero, no slot is
 * cleared, and no process can be killed or stopped half way. A process that is
 * killed has counted, or it has not.
 *
 * A minute is counted in the slot that is its rest by the number of slots. It
 * is the minute in which the clock was read, also if the process sleeps before
 * it counts: the count is in that minute, or, if the slot has gone on to a
 * minute that many slots later, the request is too old to be shown.
 *
 * All minutes of the hour have slots of their own. A reader takes the cells
 * that say the minute it looks for, and the others for zero. So what it returns
 * is exact, but for what is counted meanwhile.
 *
 * The minutes are those of the monotonic clock, so no step of the wall clock
 * moves them. They stand still while the host sleeps.
 *
 * Memory order: relaxed. Nobody concludes from a count what other memory
 * holds. */
#include "metrics/metrics_internal.h"

#include <string.h>

#include "base/clock.h"

/* 40 bits: more than could be counted in a minute. 24 bits of minutes since the
 * boot: 31 years. */
#define COUNT_BITS 40
#define MINUTE_US (INT64_C(60) * 1000000)

_Static_assert(FTA_HOUR_SLOTS > FTA_HOUR_MINUTES, "each minute has a slot");

static uint64_t
minute_in(uint64_t cell)
{
    return cell >> COUNT_BITS;
}

static uint64_t
count_at(uint64_t cell)
{
    return cell & ((UINT64_C(1) << COUNT_BITS) - 1);
}

uint64_t
fta_metrics_minute(void)
{
    return (uint64_t)(fta_clock_coarse_us() / MINUTE_US);
}

/* Whoever begins a cell has the minute kept for an hour, also if all processes
 * end. */
static void
count_minute(fta_metrics *metrics, fta_metric_cell *cell, uint64_t minute)
{
    FTA_BETWEEN_ACCESSES();
    uint64_t known = atomic_load_explicit(cell, memory_order_relaxed), counted;
    do {
        if (minute_in(known) > minute) {
            return; /* The request is more than an hour old by now. */
        }
        counted = known + 1;
        if (minute_in(known) < minute) {
            fta_metrics_keep(metrics);
            counted = (minute << COUNT_BITS) + 1;
        }
        FTA_BETWEEN_ACCESSES();
    } while (!atomic_compare_exchange_weak_explicit(
        cell, &known, counted, memory_order_relaxed, memory_order_relaxed));
}

void
fta_metrics_count_in_hour(fta_metrics *metrics, size_t outcome,
                          const size_t *reason)
{
    fta_hour_memory *hour = &metrics->memory->hour;
    uint64_t minute = fta_metrics_minute();
    size_t slot = minute % FTA_HOUR_SLOTS;
    count_minute(metrics,
                 &hour->requests[fta_metrics_own_stripe()][slot][outcome],
                 minute);
    if (reason != NULL) {
        count_minute(metrics, &hour->reasons[slot][*reason], minute);
    }
}

static uint64_t
read_minute(const fta_metric_cell *cell, uint64_t minute)
{
    uint64_t known = atomic_load_explicit(cell, memory_order_relaxed);
    return minute_in(known) == minute ? count_at(known) : 0;
}

void
fta_metrics_read_last_hour(const fta_metrics *metrics, fta_last_hour *out)
{
    const fta_hour_memory *hour = &metrics->memory->hour;
    uint64_t now = fta_metrics_minute();
    memset(out, 0, sizeof *out);
    for (size_t ago = 0; ago < FTA_HOUR_MINUTES && ago <= now; ago++) {
        uint64_t minute = now - ago;
        size_t slot = minute % FTA_HOUR_SLOTS;
        for (size_t stripe = 0; stripe < FTA_STRIPES; stripe++) {
            for (size_t word = 0; word < FTA_OUTCOME_COUNT; word++) {
                out->requests[ago][word] +=
                    read_minute(&hour->requests[stripe][slot][word], minute);
            }
        }
        for (size_t word = 0; word < FTA_REASON_COUNT; word++) {
            out->reasons[word] +=
                read_minute(&hour->reasons[slot][word], minute);
        }
    }
}
