/* The names of a group: a table that only grows.
 *
 * A name is known by its digest. It takes the first free place from the one
 * that its digest points to: one compare-and-swap of the digest there. A digest
 * never changes again and is never removed. So everybody who looks for a name
 * finds the same place, now and later; or, once all are taken, none.
 *
 * The text of a name follows from its digest, so all who write it write the
 * same words. Whoever finds a place whose length is 0 writes the text, and then
 * the length. So a place whose process was killed in between gets its text from
 * the next one that uses it. Nobody counts at a place before its length is
 * there: what was counted has a name.
 *
 * Memory order: the length is released after the text, and acquired before it.
 */
#include "metrics/metrics_internal.h"

#include <string.h>

#include "base/siphash.h"

#define SEPARATOR '\x1F'

/* The names of one group. */
typedef struct table {
    fta_metric_cell *digests;
    fta_metric_name *names;
    size_t count;
} table;

static table
table_of(const fta_metrics *metrics, fta_metric_group group)
{
    fta_metric_memory *memory = metrics->memory;
    switch (group) {
#define X(group, count, ...)                                                   \
    case FTA_GROUP_##group:                                                    \
        return (table){memory->digests_##group, memory->names_##group, count};
        FTA_METRIC_GROUP_LIST(X)
#undef X
    case FTA_GROUP_ALONE:
        break;
    }
    return (table){NULL, NULL, 0};
}

/* Joins the texts; one that does not fit is cut. Returns the octets, at least
 * one. */
static size_t
join(const fta_text texts[FTA_GROUP_LABELS], char out[FTA_METRICS_NAME])
{
    size_t length = 0;
    memset(out, 0, FTA_METRICS_NAME);
    for (size_t i = 0; i < FTA_GROUP_LABELS; i++) {
        size_t room = FTA_METRICS_NAME - FTA_GROUP_LABELS - length;
        size_t octets = texts[i].length < room ? texts[i].length : room;
        if (octets > 0) {
            memcpy(out + length, texts[i].data, octets);
        }
        length += octets;
        out[length++] = SEPARATOR;
    }
    return length;
}

static void
write_text(fta_metric_name *name, const fta_text texts[FTA_GROUP_LABELS])
{
    char text[FTA_METRICS_NAME];
    size_t length = join(texts, text);
    for (size_t i = 0; i < FTA_METRIC_NAME_WORDS; i++) {
        uint64_t word;
        memcpy(&word, text + i * sizeof word, sizeof word);
        FTA_BETWEEN_ACCESSES();
        atomic_store_explicit(&name->text[i], word, memory_order_relaxed);
    }
    FTA_BETWEEN_ACCESSES();
    atomic_store_explicit(&name->length, length, memory_order_release);
}

/* The digest at that place. */
static uint64_t
look(const table *names, fta_metrics_place place)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load_explicit(&names->digests[place], memory_order_relaxed);
}

static bool
has_text(const fta_metric_name *name)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load_explicit(&name->length, memory_order_relaxed) != 0;
}

bool
fta_metrics_find_name(const fta_metrics *metrics, fta_metric_group group,
                      uint64_t digest, fta_metrics_place *place)
{
    const table names = table_of(metrics, group);
    uint64_t there = 1;
    for (size_t i = 0; i < names.count && there != 0; i++) {
        *place = (size_t)(digest + i) % names.count;
        there = look(&names, *place);
        if (there == digest) {
            return has_text(&names.names[*place]);
        }
    }
    return false;
}

fta_metrics_place
fta_metrics_add_name(fta_metrics *metrics, fta_metric_group group,
                     uint64_t digest, const fta_text texts[FTA_GROUP_LABELS])
{
    const table names = table_of(metrics, group);
    for (size_t i = 0; i < names.count; i++) {
        fta_metrics_place place = (size_t)(digest + i) % names.count;
        uint64_t there = look(&names, place);
        FTA_BETWEEN_ACCESSES();
        if (there == 0 && atomic_compare_exchange_strong(&names.digests[place],
                                                         &there, digest)) {
            there = digest;
        }
        if (there == digest) {
            if (!has_text(&names.names[place])) {
                write_text(&names.names[place], texts);
            }
            return place;
        }
    }
    return names.count;
}

fta_metrics_place
fta_metrics_name(fta_metrics *metrics, fta_metric_group group,
                 const fta_text texts[FTA_GROUP_LABELS])
{
    static const fta_siphash_key key = {0x6E616D65, 2};
    char text[FTA_METRICS_NAME];
    size_t length = join(texts, text);
    uint64_t digest =
        fta_siphash_1_3(&key, group, (const uint8_t *)text, length);
    return fta_metrics_add_name(metrics, group, digest + (digest == 0), texts);
}

bool
fta_metrics_read_name(const fta_metrics *metrics, fta_metric_group group,
                      fta_metrics_place place, fta_metrics_name_text *out)
{
    memset(out->octets, 0, sizeof out->octets);
    if (place == fta_metric_group_about(group).names) {
        static const fta_text other = {"other", 5};
        for (size_t i = 0; i < FTA_GROUP_LABELS; i++) {
            out->texts[i] = other;
        }
        return true;
    }
    const fta_metric_name *name = &table_of(metrics, group).names[place];
    size_t length =
        (size_t)atomic_load_explicit(&name->length, memory_order_acquire);
    if (length == 0 || length > FTA_METRICS_NAME) {
        return false;
    }
    for (size_t i = 0; i < FTA_METRIC_NAME_WORDS; i++) {
        uint64_t word =
            atomic_load_explicit(&name->text[i], memory_order_relaxed);
        memcpy(out->octets + i * sizeof word, &word, sizeof word);
    }
    /* The last label may hold anything, also what separates the others. */
    const char *at = out->octets, *end = out->octets + length - 1;
    for (size_t i = 0; i < FTA_GROUP_LABELS; i++) {
        const char *stop = i + 1 == FTA_GROUP_LABELS
                               ? end
                               : memchr(at, SEPARATOR, (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        out->texts[i] = (fta_text){at, (size_t)(stop - at)};
        at = stop < end ? stop + 1 : end;
    }
    return true;
}
