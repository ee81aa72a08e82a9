/* This host's table as a store: it is always there, and never fails.
 *
 * Where shared memory cannot be had, the table belongs to this process and its
 * children, and the fact not_shared_because says why. A name that somebody else
 * has taken is FTA_SEGMENT_FOREIGN: an operator has to know of that. */
#include "limit/store.h"

#include <string.h>

#include "base/alloc.h"
#include "limit/shm/table.h"

typedef struct shm_store {
    fta_store store;
    fta_shm_table *table; /* Owned. */
    int unshared;         /* The errno for which it is not shared, or 0. */
} shm_store;

static fta_shm_table *
table_of(fta_store *store)
{
    return ((shm_store *)store)->table;
}

static fta_status
open_table(const fta_store_options *options, shm_store *self)
{
    fta_shm_table_options table = {
        .bytes = options->shm_bytes,
        .shared = options->shared,
        .app = options->app,
        .prefix = options->prefix,
        .directory = options->directory,
    };
    fta_status status =
        fta_shm_table_open(&table, &self->table, &self->unshared);
    if (status == FTA_SYSTEM) {
        int ignored;
        table.shared = false;
        status = fta_shm_table_open(&table, &self->table, &ignored);
    }
    return status;
}

static fta_status
open_store(const fta_store_options *options, fta_store **out,
           fta_store_problem *problem)
{
    (void)problem;
    *out = NULL;
    shm_store *self = fta_calloc(1, sizeof *self);
    if (self == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = open_table(options, self);
    if (status != FTA_OK) {
        fta_free(self);
        return status;
    }
    self->store.type = &fta_store_shm;
    *out = &self->store;
    return FTA_OK;
}

static fta_plan
plan(fta_store *store, const fta_hits *request, fta_verdict *verdict)
{
    (void)store, (void)request, (void)verdict;
    return (fta_plan){.course = FTA_COURSE_HIT};
}

static fta_status
hit(fta_store *store, const fta_hits *request, fta_plan plan,
    fta_verdict *verdict)
{
    (void)plan;
    fta_shm_table_hit(table_of(store), request, verdict);
    return FTA_OK;
}

static void
add_events(fta_store *store, fta_store_events *events)
{
    events->evictions += fta_shm_table_evictions(table_of(store));
}

static void
add_facts(fta_store *store, fta_facts *facts)
{
    int unshared = ((shm_store *)store)->unshared;
    fta_shm_table_usage usage;
    fta_shm_table_usage_read(table_of(store), &usage);
    fta_facts_add_boolean(facts, "shared", usage.path != NULL);
    fta_facts_add_text(facts, "path", usage.path);
    fta_facts_add_text(facts, "not_shared_because",
                       unshared != 0 ? strerror(unshared) : NULL);
    fta_facts_add_text(facts, "foreign_file", usage.foreign);
    fta_facts_add_number(facts, "shm_bytes", usage.bytes);
    fta_facts_add_boolean(facts, "has_other_size", usage.has_other_size);
    fta_facts_add_number(facts, "slots", usage.slots);
    fta_facts_add_number(facts, "slots_used", usage.slots_used);
    fta_facts_add_number(facts, "evictions", usage.evictions);
}

static void
leave(fta_store *store)
{
    fta_shm_table_leave(table_of(store));
}

static void
close_store(fta_store *store)
{
    fta_shm_table_close(table_of(store));
    fta_free(store);
}

const fta_store_type fta_store_shm = {
    .name = "memory",
    .open = open_store,
    .plan = plan,
    .hit = hit,
    .add_events = add_events,
    .add_facts = add_facts,
    .leave = leave,
    .close = close_store,
};
