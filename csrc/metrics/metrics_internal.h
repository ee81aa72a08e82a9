/* May be included by csrc/metrics alone. The layout of the counters; the
 * head of metrics.c says how they work. */
#ifndef FTA_METRICS_METRICS_INTERNAL_H
#define FTA_METRICS_METRICS_INTERNAL_H

#include <stdatomic.h>

#include "base/process_number.h"
#include "base/segment.h"
#include "metrics/last_hour.h"
#include "metrics/metrics.h"
#include "metrics/most_limited.h"

/* A lock hidden in an emulated atomic would be private to each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

/* A test stops a process here, between any two accesses to the names, the last
 * hour or the subjects, lets others run, and may never resume it. */
#ifndef FTA_BETWEEN_ACCESSES
#define FTA_BETWEEN_ACCESSES() ((void)0)
#endif

typedef _Atomic uint64_t fta_metric_cell;

/* -- Stripes: all counters, once for each of some CPUs --------------------- */

#define FTA_STRIPES 16u

/* The stripe of the CPU that the caller runs on. */
size_t fta_metrics_own_stripe(void);

#define FTA_CACHE_LINE 128 /* Two lines: CPUs fetch them in pairs. */

/* One place more than names: for what has no name of its own. */
enum {
#define X(group, names, ...) FTA_PLACES_##group = (names) + 1,
    FTA_METRIC_GROUP_LIST(X)
#undef X
        FTA_PLACES_ALONE = 1
};

/* The cells of one place. */
#define FTA_CELLS_COUNTER(label) FTA_##label##_COUNT
#define FTA_CELLS_HISTOGRAM(label) (FTA_BUCKETS + 1)
#define FTA_CELLS_TIME(label) 1
#define FTA_CELLS_PROCESSES(label) 1 /* Not used; no array is empty. */
#define FTA_CELLS_GAUGE(label) 1     /* Likewise. */
#define FTA_CELLS_TOTAL(label) 1     /* Likewise. */

typedef struct fta_metric_stripe {
#define X(metric, kind, name, label, group, help)                              \
    _Alignas(sizeof(uint64_t))                                                 \
        fta_metric_cell metric[FTA_PLACES_##group * FTA_CELLS_##kind(label)];
    FTA_METRIC_LIST(X)
#undef X
    _Alignas(FTA_CACHE_LINE) char end[FTA_CACHE_LINE];
} fta_metric_stripe;

/* -- Names ----------------------------------------------------------------- */

#define FTA_METRIC_NAME_WORDS (FTA_METRICS_NAME / sizeof(uint64_t))

/* The text of a name, at the place of its digest. */
typedef struct fta_metric_name {
    fta_metric_cell length; /* 0: the text is not there yet. */
    fta_metric_cell text[FTA_METRIC_NAME_WORDS];
} fta_metric_name;

/* Adds a name, whose texts follow from its digest, or finds it. */
fta_metrics_place fta_metrics_add_name(fta_metrics *metrics,
                                       fta_metric_group group, uint64_t digest,
                                       const fta_text texts[FTA_GROUP_LABELS]);

/* Finds a name that is there with its text. */
bool fta_metrics_find_name(const fta_metrics *metrics, fta_metric_group group,
                           uint64_t digest, fta_metrics_place *place);

/* -- The last hour --------------------------------------------------------- */

#define FTA_HOUR_SLOTS 64u /* More than FTA_HOUR_MINUTES: see last_hour.c. */

typedef struct fta_hour_memory {
    /* Whole cache lines: the CPUs of two stripes do not share one. */
    _Alignas(FTA_CACHE_LINE) fta_metric_cell
        requests[FTA_STRIPES][FTA_HOUR_SLOTS][FTA_OUTCOME_COUNT];
    fta_metric_cell reasons[FTA_HOUR_SLOTS][FTA_REASON_COUNT];
} fta_hour_memory;

/* Counts a request in the running minute, and why it was denied; NULL: it was
 * not. */
void fta_metrics_count_in_hour(fta_metrics *metrics, size_t outcome,
                               const size_t *reason);

/* The minutes of the clock that the last hour goes by. */
uint64_t fta_metrics_minute(void);

/* -- Limited subjects ------------------------------------------------------ */

#define FTA_SUBJECT_WINDOWS 6u
#define FTA_SUBJECT_WINDOW_MINUTES 10u
#ifndef FTA_SUBJECTS /* A test has fewer. */
#define FTA_SUBJECTS 256u
#endif
#define FTA_SUBJECT_WORDS 4u /* A tenant and a user. */

/* The subjects of one window. most_limited.c says how it works. */
typedef struct fta_subject_table {
    fta_metric_cell window;
    fta_metric_cell counts[FTA_SUBJECTS];
    fta_metric_cell names[FTA_SUBJECTS][FTA_SUBJECT_WORDS];
} fta_subject_table;

typedef struct fta_subject_memory {
    fta_subject_table users[FTA_SUBJECT_WINDOWS];
    fta_subject_table tenants[FTA_SUBJECT_WINDOWS];
} fta_subject_memory;

_Static_assert(sizeof(fta_hour_memory) + sizeof(fta_subject_memory) <=
                   (size_t)256 << 10,
               "what the console shows takes little memory");

/* -- All of it ------------------------------------------------------------- */

typedef struct fta_metric_memory {
    fta_metric_stripe stripes[FTA_STRIPES];
    /* A bit a metric, by the number of a process. */
    fta_metric_cell said[FTA_PROCESS_NUMBER_MAX + 1];
#define X(group, names, ...)                                                   \
    /* 0: nothing. Else it never changes. */                                   \
    fta_metric_cell digests_##group[names];                                    \
    fta_metric_name names_##group[names];
    FTA_METRIC_GROUP_LIST(X)
#undef X
    fta_hour_memory hour;
    fta_subject_memory subjects;
} fta_metric_memory;

_Static_assert(FTA_METRIC_COUNT <= 64, "a metric has a bit");

struct fta_metrics {
    fta_segment *segment;         /* Owned. */
    fta_metric_memory *memory;    /* Borrowed from the segment. */
    fta_process_numbers *numbers; /* Owned; NULL: the system has none. */
    fta_metrics *replaced; /* Owned, or NULL: see fta_metrics_keep_open */
    bool has_console;      /* Whether it counts what the console shows. */
    size_t tenant_count;
    struct fta_metrics_tenant {
        fta_uuid id;
        fta_metrics_place place;
    } tenants[FTA_METRICS_TENANTS]; /* In the order of their ids. */
};

#endif
