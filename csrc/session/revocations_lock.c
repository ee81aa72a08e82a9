/* The lock of the writers, and what is repaired when one of them was killed. */
#include "session/revocations_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* How often a lock is tried, and how long to wait in between: two seconds. */
#define LOCK_TRIES 4000
#define LOCK_WAIT_NS 500000

fta_status
fta_revocations_make_lock(fta_revocations_header *header)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0) {
        return FTA_NO_MEMORY;
    }
    int failed =
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
#ifndef __APPLE__ /* It has none: after a writer that was killed, writing      \
                   * fails, and so the table is silent. */
    failed |= pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
#endif
    failed |= pthread_mutex_init(&header->lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return failed == 0 ? FTA_OK : FTA_SYSTEM;
}

/* Makes the free list and the counts of what the chains have. */
static void
repair(fta_revocations *table)
{
    fta_revocations_header *h = table->header;
    uint64_t counts[FTA_COUNTS] = {0};
    memset(table->marks, 0, table->entry_count * sizeof *table->marks);
    for (size_t i = 0; i < table->head_count; i++) {
        fta_revocation_entry *entry =
            fta_entry_of(table, atomic_load_explicit(&table->heads[i],
                                                     memory_order_acquire));
        for (size_t steps = 0; entry != NULL && steps < table->entry_count;
             steps++) {
            uint64_t what = fta_load(&entry->what);
            table->marks[entry - table->entries] = true;
            counts[fta_kind_of(what) % FTA_COUNTS]++;
            counts[FTA_COUNT_DIGEST] += (what & FTA_WHAT_DIGEST) != 0;
            entry = fta_entry_of(table, fta_load(&entry->next));
        }
    }
    for (size_t i = 0; i < FTA_COUNTS; i++) {
        fta_store_word(&h->counts[i], counts[i]);
    }
    /* A reader may still be in an entry that had been unlinked. */
    fta_store_word(&h->generation, fta_load(&h->generation) + 1);
    h->first_free = 0;
    h->free_count = 0;
    for (size_t i = table->entry_count; i-- > 0;) {
        if (!table->marks[i]) {
            fta_store_word(&table->entries[i].next, h->first_free);
            h->first_free = i + 1;
            h->free_count++;
        }
    }
}

/* The last writer of a table that was left meanwhile gives up the memory. */
static void
leave_writers(fta_revocations *table)
{
    if (atomic_fetch_sub(&table->writers, 1) == (FTA_LEFT | 1)) {
        fta_segment_leave(table->segment);
    }
}

static fta_status
take_lock(fta_revocations *table)
{
    static const struct timespec wait = {0, LOCK_WAIT_NS};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (fta_has_left(table)) {
            return FTA_CLOSED;
        }
        int failed = pthread_mutex_trylock(&table->header->lock);
#ifndef __APPLE__
        if (failed == EOWNERDEAD) {
            repair(table);
            failed = pthread_mutex_consistent(&table->header->lock);
        }
#endif
        if (failed == 0) {
            return FTA_OK;
        }
        if (failed != EBUSY) {
            return FTA_SYSTEM;
        }
        (void)nanosleep(&wait, NULL);
    }
    return FTA_TABLE_LOCKED;
}

fta_status
fta_revocations_lock(fta_revocations *table)
{
    atomic_fetch_add(&table->writers, 1);
    fta_status status = take_lock(table);
    if (status != FTA_OK) {
        leave_writers(table);
    }
    return status;
}

void
fta_revocations_unlock(fta_revocations *table)
{
    (void)pthread_mutex_unlock(&table->header->lock);
    leave_writers(table);
}

/* -- Entries, for whoever holds the lock ----------------------------------- */

fta_revocation_entry *
fta_entry_take(fta_revocations *table, bool may_use_spare)
{
    fta_revocations_header *h = table->header;
    if (h->free_count <= (may_use_spare ? 0 : FTA_SPARE_ENTRIES)) {
        return NULL;
    }
    fta_revocation_entry *entry = fta_entry_of(table, h->first_free);
    if (entry != NULL) {
        h->first_free = fta_load(&entry->next);
        h->free_count--;
    }
    return entry;
}

static void
count_by(fta_revocations *table, const fta_revocation_entry *entry,
         uint64_t difference)
{
    _Atomic uint64_t *counts = table->header->counts;
    uint64_t what = fta_load(&entry->what);
    _Atomic uint64_t *of_kind = &counts[fta_kind_of(what)];
    fta_store_word(of_kind, fta_load(of_kind) + difference);
    if ((what & FTA_WHAT_DIGEST) != 0) {
        fta_store_word(&counts[FTA_COUNT_DIGEST],
                       fta_load(&counts[FTA_COUNT_DIGEST]) + difference);
    }
}

void
fta_entry_link(fta_revocations *table, fta_revocation_entry *entry)
{
    _Atomic uint32_t *head = fta_head_of(table, fta_load(&entry->hash));
    count_by(table, entry, 1); /* First: a reader skips kinds without any. */
    fta_store_word(&entry->next, atomic_load(head));
    FTA_BETWEEN_STORES();
    atomic_store_explicit(head, (uint32_t)(entry - table->entries) + 1,
                          memory_order_release);
}

void
fta_entries_each(fta_revocations *table, fta_entry_use *use, void *context)
{
    for (size_t i = 0; i < table->head_count; i++) {
        fta_revocation_entry *entry =
            fta_entry_of(table, atomic_load(&table->heads[i]));
        for (; entry != NULL;
             entry = fta_entry_of(table, fta_load(&entry->next))) {
            use(table, entry, context);
        }
    }
}

/* Unlinks the marked entries of one chain. What they have next stays, for the
 * readers that are in them. */
static void
unlink_marked(fta_revocations *table, size_t chain)
{
    _Atomic uint32_t *head = &table->heads[chain];
    fta_revocation_entry *before = NULL;
    uint64_t reference = atomic_load(head);
    while (reference != 0) {
        fta_revocation_entry *entry = fta_entry_of(table, reference);
        uint64_t next = fta_load(&entry->next);
        if (!table->marks[reference - 1]) {
            before = entry;
        } else if (before != NULL) {
            fta_store_word(&before->next, next);
        } else {
            FTA_BETWEEN_STORES();
            atomic_store_explicit(head, (uint32_t)next, memory_order_release);
        }
        reference = next;
    }
}

static void
change_generation(fta_revocations *table)
{
    _Atomic uint64_t *generation = &table->header->generation;
    fta_store_word(generation, fta_load(generation) + 1);
}

size_t
fta_entries_remove_marked(fta_revocations *table)
{
    fta_revocations_header *h = table->header;
    size_t removed = 0;
    change_generation(table);
    for (size_t i = 0; i < table->head_count; i++) {
        unlink_marked(table, i);
    }
    change_generation(table);
    for (size_t i = 0; i < table->entry_count; i++) {
        if (table->marks[i]) {
            fta_revocation_entry *entry = &table->entries[i];
            count_by(table, entry, (uint64_t)-1);
            fta_store_word(&entry->next, h->first_free);
            h->first_free = i + 1;
            h->free_count++;
            removed++;
        }
    }
    return removed;
}
