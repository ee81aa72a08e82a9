/* Counters in shared memory.
 *
 * A counter is a cell of 64 bits in each of some stripes; its value is the sum.
 * A CPU counts in a stripe of its own, as long as there are enough. So CPUs do
 * not wait for each other's cache lines. Which stripe it is does not matter for
 * the sum: whoever is moved to another CPU between the choice and the addition
 * counts in a stripe of somebody else, in one atomic step, as all do.
 *
 * One addition is one instruction. A process that is killed has counted, or it
 * has not. There is nothing to repair, and nobody waits for anybody.
 *
 * A reader sums while others count. Each cell only grows, so what it returns is
 * never less than what anybody returned before it began, and never more than
 * what was counted when it ends. Two counters that are read one after the other
 * may differ by what was counted in between. A histogram has no counter of its
 * observations: their number is the sum of its buckets.
 *
 * Another catalogue is another segment: its digest is part of the purpose. So
 * old and new processes of a release that adds a metric count apart, and never
 * in each other's cells.
 *
 * Memory order: relaxed. Nobody concludes from a counter what other memory
 * holds. */
#include "metrics/metrics_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/siphash.h"

#define SEGMENT_BYTES ((size_t)4096) /* What a segment itself takes. */
#define KEEP_US (INT64_C(3600) * 1000000)

/* -- Life ------------------------------------------------------------------ */

static fta_status
fill(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    return FTA_OK;
}

/* Of all that gives a cell its meaning. */
static uint32_t
layout_of_catalogue(void)
{
    static const fta_siphash_key key = {0x6D657472, 1};
    uint64_t digest = sizeof(fta_metric_memory);
#define ADD(text)                                                              \
    digest =                                                                   \
        fta_siphash_1_3(&key, digest, (const uint8_t *)(text), strlen(text));
#define WORD(word, ...) ADD(#word)
#define X(set, name) ADD(name) FTA_METRIC_##set##_LIST(WORD)
    FTA_METRIC_LABEL_LIST(X)
#undef X
#define X(metric, kind, name, label, group, help)                              \
    ADD(#kind) ADD(name) ADD(#label) ADD(#group)
    FTA_METRIC_LIST(X)
#undef X
#undef WORD
#undef ADD
    return (uint32_t)digest;
}

static void
forget_process(void *memory, unsigned number)
{
    atomic_store_explicit(&((fta_metric_memory *)memory)->said[number], 0,
                          memory_order_relaxed);
}

static fta_status
open_segment(fta_metrics *metrics, const fta_metrics_options *options,
             int *unshared)
{
    const size_t bytes = SEGMENT_BYTES + sizeof(fta_metric_memory);
    const fta_segment_purpose purpose = {layout_of_catalogue(), options->app,
                                         options->prefix};
    fta_status status = FTA_SYSTEM;
    *unshared = 0;
    if (options->shared) {
        status = fta_segment_shared(options->directory, &purpose, bytes, fill,
                                    &metrics->segment, unshared);
    }
    if (status == FTA_SYSTEM) {
        status = fta_segment_private(bytes, fill, &metrics->segment);
    } else if (status == FTA_OK) {
        *unshared = 0;
    }
    if (status != FTA_OK) {
        return status;
    }
    if (fta_segment_bytes(metrics->segment) < sizeof(fta_metric_memory)) {
        return FTA_SEGMENT_FOREIGN;
    }
    metrics->memory = fta_segment_memory(metrics->segment);
    return FTA_OK;
}

static int
compare_tenants(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(fta_uuid));
}

static void
name_tenants(fta_metrics *metrics, const fta_metrics_options *options)
{
    metrics->tenant_count = options->tenant_count < FTA_METRICS_TENANTS
                                ? options->tenant_count
                                : FTA_METRICS_TENANTS;
    for (size_t i = 0; i < metrics->tenant_count; i++) {
        char text[FTA_UUID_TEXT];
        fta_uuid_format(&options->tenants[i], text);
        metrics->tenants[i] = (struct fta_metrics_tenant){
            options->tenants[i],
            fta_metrics_name(
                metrics, FTA_GROUP_TENANT,
                (fta_text[FTA_GROUP_LABELS]){{text, FTA_UUID_TEXT}}),
        };
    }
    qsort(metrics->tenants, metrics->tenant_count, sizeof *metrics->tenants,
          compare_tenants);
}

fta_status
fta_metrics_open(const fta_metrics_options *options, fta_metrics **out,
                 int *unshared)
{
    fta_metrics *metrics = fta_calloc(1, sizeof *metrics);
    if (metrics == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = open_segment(metrics, options, unshared);
    if (status == FTA_OK) {
        const fta_segment *segment =
            fta_metrics_path(metrics) == NULL ? NULL : metrics->segment;
        status = fta_process_numbers_open(segment, forget_process,
                                          metrics->memory, &metrics->numbers);
        if (status == FTA_SYSTEM) {
            status = FTA_OK;
        }
    }
    if (status != FTA_OK) {
        fta_metrics_close(metrics);
        return status;
    }
    metrics->has_console = options->console;
    fta_metrics_keep(metrics);
    name_tenants(metrics, options);
    *out = metrics;
    return FTA_OK;
}

void
fta_metrics_close(fta_metrics *metrics)
{
    while (metrics != NULL) {
        fta_metrics *replaced = metrics->replaced;
        fta_process_numbers_close(metrics->numbers);
        fta_segment_close(metrics->segment);
        fta_free(metrics);
        metrics = replaced;
    }
}

fta_status
fta_metrics_replace(const fta_metrics *others, fta_metrics **out)
{
    fta_uuid tenants[FTA_METRICS_TENANTS];
    const fta_metrics_options options = {.console = others->has_console,
                                         .tenants = tenants,
                                         .tenant_count = others->tenant_count};
    for (size_t i = 0; i < others->tenant_count; i++) {
        tenants[i] = others->tenants[i].id;
    }
    int unshared;
    return fta_metrics_open(&options, out, &unshared);
}

void
fta_metrics_keep_open(fta_metrics *metrics, fta_metrics *others)
{
    metrics->replaced = others;
}

void
fta_metrics_keep(fta_metrics *metrics)
{
    if (fta_metrics_path(metrics) != NULL) {
        fta_segment_keep_until(metrics->segment,
                               fta_clock_monotonic_us() + KEEP_US);
    }
}

const char *
fta_metrics_path(const fta_metrics *metrics)
{
    return fta_segment_path(metrics->segment);
}

/* -- Cells ----------------------------------------------------------------- */

static const struct {
    size_t offset; /* In a stripe, in cells. */
    size_t cells;  /* Of one place. */
    size_t places;
} layout[] = {
#define X(metric, kind, name, label, group, help)                              \
    {offsetof(fta_metric_stripe, metric) / sizeof(fta_metric_cell),            \
     FTA_CELLS_##kind(label), FTA_PLACES_##group},
    FTA_METRIC_LIST(X)
#undef X
};

static fta_metric_cell *
cell_in(fta_metric_stripe *stripe, fta_metric metric, fta_metrics_place place,
        size_t at)
{
    fta_metric_cell *cells = (fta_metric_cell *)(void *)stripe;
    return cells + layout[metric].offset + place * layout[metric].cells + at;
}

size_t
fta_metrics_own_stripe(void)
{
#ifdef __linux__
    int cpu = sched_getcpu(); /* -1 is a stripe too. */
    return (unsigned)cpu % FTA_STRIPES;
#else
    return 0;
#endif
}

static fta_metric_stripe *
own_stripe(const fta_metrics *metrics)
{
    return &metrics->memory->stripes[fta_metrics_own_stripe()];
}

static void
add(const fta_metrics *metrics, fta_metric metric, fta_metrics_place place,
    size_t at, uint64_t n)
{
    atomic_fetch_add_explicit(cell_in(own_stripe(metrics), metric, place, at),
                              n, memory_order_relaxed);
}

void
fta_metrics_add(fta_metrics *metrics, fta_metric metric, size_t word,
                uint64_t n)
{
    add(metrics, metric, 0, word, n);
}

void
fta_metrics_add_named(fta_metrics *metrics, fta_metric metric,
                      fta_metrics_place place, size_t word)
{
    add(metrics, metric, place, word, 1);
}

uint64_t
fta_metrics_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void
fta_metrics_observe(fta_metrics *metrics, fta_metric metric,
                    uint64_t nanoseconds)
{
    size_t bucket = 0;
    while (bucket < FTA_BUCKETS - 1 &&
           nanoseconds > fta_metric_bounds[bucket]) {
        bucket++;
    }
    fta_metric_stripe *stripe = own_stripe(metrics);
    atomic_fetch_add_explicit(cell_in(stripe, metric, 0, bucket), 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(cell_in(stripe, metric, 0, FTA_BUCKETS),
                              nanoseconds, memory_order_relaxed);
}

void
fta_metrics_touch(fta_metrics *metrics, fta_metric metric,
                  fta_metrics_place place)
{
    fta_metric_cell *cell = cell_in(own_stripe(metrics), metric, place, 0);
    uint64_t now = (uint64_t)fta_clock_monotonic_us();
    uint64_t known = atomic_load_explicit(cell, memory_order_relaxed);
    while (known < now && !atomic_compare_exchange_weak(cell, &known, now)) {
    }
}

/* -- What processes say ---------------------------------------------------- */

void
fta_metrics_say(fta_metrics *metrics, fta_metric metric, bool is_true)
{
    unsigned number = metrics->numbers == NULL
                          ? 0
                          : fta_process_number_take(metrics->numbers);
    if (number == 0) {
        return; /* Nobody can be told. */
    }
    fta_metric_cell *said = &metrics->memory->said[number];
    uint64_t bit = UINT64_C(1) << metric;
    uint64_t known = atomic_load_explicit(said, memory_order_relaxed);
    if (((known & bit) != 0) != is_true) {
        if (is_true) {
            atomic_fetch_or_explicit(said, bit, memory_order_relaxed);
        } else {
            atomic_fetch_and_explicit(said, ~bit, memory_order_relaxed);
        }
    }
}

/* A process that lives has swept its word when it took its number. So a word
 * that is read before its process is seen to live may be of an earlier owner,
 * and one that is read afterwards is not. */
long
fta_metrics_read_processes(const fta_metrics *metrics, fta_metric metric)
{
    long count = 0;
    fta_process_look look;
    if (metrics->numbers == NULL) {
        return -1;
    }
    fta_process_look_begin(metrics->numbers, &look);
    for (unsigned number = 1; number <= FTA_PROCESS_NUMBER_MAX; number++) {
        fta_metric_cell *said = &metrics->memory->said[number];
        uint64_t bit = UINT64_C(1) << metric;
        if ((atomic_load(said) & bit) != 0 &&
            fta_process_lives(&look, number)) {
            count += (atomic_load(said) & bit) != 0;
        }
    }
    fta_process_look_end(&look);
    return count;
}

/* -- Reading --------------------------------------------------------------- */

size_t
fta_metrics_places(fta_metric metric)
{
    return layout[metric].places;
}

static uint64_t
sum(const fta_metrics *metrics, fta_metric metric, fta_metrics_place place,
    size_t at)
{
    uint64_t all = 0;
    for (size_t i = 0; i < FTA_STRIPES; i++) {
        all += atomic_load_explicit(
            cell_in(&metrics->memory->stripes[i], metric, place, at),
            memory_order_relaxed);
    }
    return all;
}

uint64_t
fta_metrics_read(const fta_metrics *metrics, fta_metric metric,
                 fta_metrics_place place, size_t word)
{
    return sum(metrics, metric, place, word);
}

void
fta_metrics_read_durations(const fta_metrics *metrics, fta_metric metric,
                           fta_metrics_durations *out)
{
    for (size_t i = 0; i < FTA_BUCKETS; i++) {
        out->buckets[i] = sum(metrics, metric, 0, i);
    }
    out->nanoseconds = sum(metrics, metric, 0, FTA_BUCKETS);
}

int64_t
fta_metrics_read_time(const fta_metrics *metrics, fta_metric metric,
                      fta_metrics_place place)
{
    uint64_t latest = 0;
    for (size_t i = 0; i < FTA_STRIPES; i++) {
        uint64_t touched = atomic_load_explicit(
            cell_in(&metrics->memory->stripes[i], metric, place, 0),
            memory_order_relaxed);
        latest = touched > latest ? touched : latest;
    }
    int64_t now = fta_clock_monotonic_us();
    if (latest == 0) {
        return -1;
    }
    return now > (int64_t)latest ? now - (int64_t)latest : 0;
}
