/* Counters that the processes of a host share: exact over all of them, however
 * they end, and over restarts. How it works is at the top of metrics.c. */
#ifndef FTA_METRICS_METRICS_H
#define FTA_METRICS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"
#include "metrics/catalogue.h"

typedef struct fta_metrics fta_metrics;

typedef struct fta_metrics_options {
    fta_text app; /* Those that give the same app and prefix meet. */
    fta_text prefix;
    bool shared;             /* With the other processes of this host. */
    bool console;            /* Count what the console shows, too. */
    const char *directory;   /* Where they meet; NULL: the usual place. */
    const fta_uuid *tenants; /* Those that may be the value of a label. */
    size_t tenant_count;     /* Up to FTA_METRICS_TENANTS. */
} fta_metrics_options;

#define FTA_METRICS_TENANTS 100

/* Where the system has no memory to share, the counters are those of this
 * process and its children, and *unshared is the errno of that; else it is 0.
 * FTA_SEGMENT_FOREIGN: see fta_segment_shared. */
fta_status fta_metrics_open(const fta_metrics_options *options,
                            fta_metrics **out, int *unshared);

/* NULL is allowed. No other thread may be inside. The counters stay for an hour
 * after somebody has read them last, so that a restart loses none. */
void fta_metrics_close(fta_metrics *metrics);

/* Counters of this process alone, from zero, with the tenants of others, which
 * they are to replace. */
fta_status fta_metrics_replace(const fta_metrics *others, fta_metrics **out);

/* Lets others live until these are closed: a thread that has found the others
 * still counts in them. Takes them over. To be called before another thread can
 * find these. */
void fta_metrics_keep_open(fta_metrics *metrics, fta_metrics *others);

/* -- Counting: any number of threads and processes. It never waits or fails. */

/* Counts n times one word of the label of a COUNTER that is ALONE. */
void fta_metrics_add(fta_metrics *metrics, fta_metric metric, size_t word,
                     uint64_t n);

/* Counts one duration of a HISTOGRAM. */
void fta_metrics_observe(fta_metrics *metrics, fta_metric metric,
                         uint64_t nanoseconds);

/* For these durations: not shifted by tests of time. */
uint64_t fta_metrics_now(void);

/* A place in a group: of a name, or of all that have no place of their own. */
typedef size_t fta_metrics_place;

/* The place of the name that these texts are, one for each label of the group.
 * An absent one counts as empty. */
fta_metrics_place fta_metrics_name(fta_metrics *metrics, fta_metric_group group,
                                   const fta_text texts[FTA_GROUP_LABELS]);

/* As fta_metrics_add, for a metric of a group. */
void fta_metrics_add_named(fta_metrics *metrics, fta_metric metric,
                           fta_metrics_place place, size_t word);

/* Says that what a TIME is about has happened now. */
void fta_metrics_touch(fta_metrics *metrics, fta_metric metric,
                       fta_metrics_place place);

/* Says something of this process, which is true until it says otherwise or
 * ends. */
void fta_metrics_say(fta_metrics *metrics, fta_metric metric, bool is_true);

/* -- Reading --------------------------------------------------------------- */

/* How many places a metric has values at: 1 if it is ALONE. */
size_t fta_metrics_places(fta_metric metric);

/* The texts of the name at that place. False if there is none there. The texts
 * live as long as out. */
#define FTA_METRICS_NAME 320
typedef struct fta_metrics_name_text {
    fta_text texts[FTA_GROUP_LABELS];
    char octets[FTA_METRICS_NAME];
} fta_metrics_name_text;
bool fta_metrics_read_name(const fta_metrics *metrics, fta_metric_group group,
                           fta_metrics_place place, fta_metrics_name_text *out);

/* The value of a COUNTER. */
uint64_t fta_metrics_read(const fta_metrics *metrics, fta_metric metric,
                          fta_metrics_place place, size_t word);

typedef struct fta_metrics_durations {
    uint64_t buckets[FTA_BUCKETS]; /* Each without those before it. */
    uint64_t nanoseconds;          /* Of all together. */
} fta_metrics_durations;
void fta_metrics_read_durations(const fta_metrics *metrics, fta_metric metric,
                                fta_metrics_durations *out);

/* The microseconds since a TIME was touched; -1: never. */
int64_t fta_metrics_read_time(const fta_metrics *metrics, fta_metric metric,
                              fta_metrics_place place);

/* How many processes say so; -1: this system does not tell which live. May take
 * a millisecond. */
long fta_metrics_read_processes(const fta_metrics *metrics, fta_metric metric);

/* Keeps the counters for an hour from now. */
void fta_metrics_keep(fta_metrics *metrics);

/* The path of the file; NULL where it is not shared. */
const char *fta_metrics_path(const fta_metrics *metrics);

#endif
