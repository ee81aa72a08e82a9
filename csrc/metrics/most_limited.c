/* The most limited subjects, by the algorithm Space-Saving (Metwally, Agrawal
 * and El Abbadi, 2005).
 *
 * A table has m counters. A subject that has one counts there. Any other one
 * takes the counter of the subject with the least count, and goes on from that
 * count. Each request adds 1 to one counter, so of N requests the least count
 * is N / m at most. So what is shown of a subject is wrong by N / m at most, a
 * subject of more than N / m requests has a counter, and with up to m subjects
 * all counts are exact.
 *
 * A counter is one word: 40 bits of the subject's digest, and 24 bits of count.
 * So a request counts, and a subject replaces another one, in one
 * compare-and-swap. A process that is killed has counted, or it has not;
 * nobody waits for one that is stopped. Whoever replaces has seen all others
 * count at least as much, and counts only grow: if the swap succeeds, the count
 * was the least. Two that add a subject at the same instant may give it two
 * counters; so does a full counter. A reader adds them.
 *
 * The name of a subject follows from its digest, as in names.c: whoever counts
 * and finds another name beside the counter writes the right one. A reader
 * takes a name whose digest is that of the counter, and passes over all others.
 * So it sees a whole subject or none. A name that a killed process has left
 * half written is completed by the next request of that subject.
 *
 * The last hour is 6 windows of 10 minutes, the running one included. A window
 * has the table that is its rest by 6. Whoever counts first in a window empties
 * the table of the one before, and then writes the number of the window:
 *
 *   - A counter is set to zero only from a value that was read before the table
 *     was seen to be of an older window. Nobody counts for a new window before
 *     its number is there. So what is removed was counted for an older one.
 *   - The digest covers the window. So what a process that has slept since an
 *     older window counts is of no subject that is shown: it is lost, or takes
 *     a counter as one more subject would.
 *   - Several may empty a table at once. Whoever finishes writes the number.
 *
 * Memory order: the number of a window is released after the table was emptied,
 * and acquired before somebody counts there. Names are relaxed: the digest says
 * whether they are whole. */
#include "metrics/metrics_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/siphash.h"

#define COUNT_OF_SUBJECT 24
#define MOST_OF_SUBJECT ((UINT64_C(1) << COUNT_OF_SUBJECT) - 1)

/* The subjects that a reader may find: all tables of users, or of tenants. */
#define FOUND_MAX ((size_t)FTA_SUBJECT_WINDOWS * FTA_SUBJECTS)

typedef struct subject {
    uint64_t words[FTA_SUBJECT_WORDS];
} subject;

_Static_assert(sizeof(subject) == 2 * sizeof(fta_uuid),
               "a subject is a tenant and a user");

static subject
subject_of(const fta_uuid *tenant, const fta_uuid *user)
{
    subject made = {{0}};
    memcpy(made.words, tenant, sizeof *tenant);
    if (user != NULL) {
        memcpy(made.words + FTA_SUBJECT_WORDS / 2, user, sizeof *user);
    }
    return made;
}

static uint64_t
digest_in(uint64_t cell)
{
    return cell >> COUNT_OF_SUBJECT;
}

static uint64_t
count_in(uint64_t cell)
{
    return cell & MOST_OF_SUBJECT;
}

static uint64_t
digest_of_subject(const subject *whose, uint64_t window)
{
    static const fta_siphash_key key = {0x7375626A, 3};
    return digest_in(fta_siphash_1_3(
        &key, window, (const uint8_t *)whose->words, sizeof whose->words));
}

/* -- Windows --------------------------------------------------------------- */

static uint64_t
running_window(void)
{
    return fta_metrics_minute() / FTA_SUBJECT_WINDOW_MINUTES;
}

static uint64_t
window_of(fta_subject_table *table)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load_explicit(&table->window, memory_order_acquire);
}

static uint64_t
cell_at(const fta_subject_table *table, size_t place)
{
    FTA_BETWEEN_ACCESSES();
    return atomic_load_explicit(&table->counts[place], memory_order_acquire);
}

/* False: the table is not of that older window any more. */
static bool
empty_counter(fta_subject_table *table, size_t place, uint64_t older)
{
    for (;;) {
        uint64_t cell = cell_at(table, place);
        if (window_of(table) != older) {
            return false;
        }
        FTA_BETWEEN_ACCESSES();
        if (cell == 0 ||
            atomic_compare_exchange_strong(&table->counts[place], &cell, 0)) {
            return true;
        }
    }
}

static void
empty_table(fta_subject_table *table, uint64_t older, uint64_t window)
{
    for (size_t place = 0; place < FTA_SUBJECTS; place++) {
        if (!empty_counter(table, place, older)) {
            return;
        }
    }
    FTA_BETWEEN_ACCESSES();
    (void)atomic_compare_exchange_strong(&table->window, &older, window);
}

/* The table of a window, of those of users or of tenants, ready to be counted
 * in. NULL: the window is over an hour old by now. */
static fta_subject_table *
open_window(fta_subject_table tables[FTA_SUBJECT_WINDOWS], uint64_t window)
{
    fta_subject_table *table = &tables[window % FTA_SUBJECT_WINDOWS];
    uint64_t there = window_of(table);
    while (there < window) {
        empty_table(table, there, window);
        there = window_of(table);
    }
    return there == window ? table : NULL;
}

/* -- Counting -------------------------------------------------------------- */

/* The counter of that digest, or else the one with the least count. */
static size_t
find_counter(const fta_subject_table *table, uint64_t digest, uint64_t *cell)
{
    size_t least = 0;
    uint64_t of_least = UINT64_MAX;
    for (size_t place = 0; place < FTA_SUBJECTS; place++) {
        *cell = cell_at(table, place);
        if (*cell != 0 && digest_in(*cell) == digest &&
            count_in(*cell) < MOST_OF_SUBJECT) {
            return place;
        }
        if (count_in(*cell) < count_in(of_least)) {
            least = place;
            of_least = *cell;
        }
    }
    *cell = of_least;
    return least;
}

/* Returns the place of its counter; FTA_SUBJECTS: all counters are full. */
static size_t
add_to_counter(fta_subject_table *table, uint64_t digest)
{
    for (;;) {
        uint64_t cell;
        size_t place = find_counter(table, digest, &cell);
        if (count_in(cell) == MOST_OF_SUBJECT) {
            return FTA_SUBJECTS;
        }
        uint64_t counted = digest << COUNT_OF_SUBJECT | (count_in(cell) + 1);
        FTA_BETWEEN_ACCESSES();
        if (atomic_compare_exchange_strong(&table->counts[place], &cell,
                                           counted)) {
            return place;
        }
    }
}

static subject
read_name(const fta_subject_table *table, size_t place)
{
    subject read;
    for (size_t i = 0; i < FTA_SUBJECT_WORDS; i++) {
        FTA_BETWEEN_ACCESSES();
        read.words[i] =
            atomic_load_explicit(&table->names[place][i], memory_order_relaxed);
    }
    return read;
}

/* Until it stands there whole, or the counter is another subject's. */
static void
write_name(fta_subject_table *table, size_t place, uint64_t digest,
           const subject *whose)
{
    for (;;) {
        const subject there = read_name(table, place);
        if (memcmp(&there, whose, sizeof there) == 0 ||
            digest_in(cell_at(table, place)) != digest) {
            return;
        }
        for (size_t i = 0; i < FTA_SUBJECT_WORDS; i++) {
            FTA_BETWEEN_ACCESSES();
            atomic_store_explicit(&table->names[place][i], whose->words[i],
                                  memory_order_relaxed);
        }
    }
}

static void
count_subject(fta_subject_table tables[FTA_SUBJECT_WINDOWS], uint64_t window,
              const subject *whose)
{
    fta_subject_table *table = open_window(tables, window);
    if (table != NULL) {
        uint64_t digest = digest_of_subject(whose, window);
        size_t place = add_to_counter(table, digest);
        if (place < FTA_SUBJECTS) {
            write_name(table, place, digest, whose);
        }
    }
}

void
fta_metrics_count_limited(fta_metrics *metrics, const fta_uuid *tenant,
                          const fta_uuid *user)
{
    if (!metrics->has_console) {
        return;
    }
    fta_subject_memory *subjects = &metrics->memory->subjects;
    uint64_t window = running_window();
    const subject of_user = subject_of(tenant, user);
    const subject of_tenant = subject_of(tenant, NULL);
    fta_metrics_keep(metrics);
    count_subject(subjects->users, window, &of_user);
    count_subject(subjects->tenants, window, &of_tenant);
}

/* -- Reading --------------------------------------------------------------- */

typedef struct found {
    subject whose;
    uint64_t count;
} found;

static size_t
read_table(const fta_subject_table *table, uint64_t window, found *out)
{
    size_t count = 0;
    for (size_t place = 0; place < FTA_SUBJECTS; place++) {
        uint64_t cell = cell_at(table, place);
        if (cell != 0) {
            const subject whose = read_name(table, place);
            if (digest_of_subject(&whose, window) == digest_in(cell)) {
                out[count++] = (found){whose, count_in(cell)};
            }
        }
    }
    return count;
}

static int
compare_subjects(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(subject));
}

/* The larger count first; of equal counts, in the order of the subjects. */
static int
compare_counts(const void *a, const void *b)
{
    const found *one = a, *other = b;
    return one->count == other->count  ? compare_subjects(a, b)
           : one->count > other->count ? -1
                                       : 1;
}

/* Adds the counts of a subject together. Returns how many subjects there are.
 */
static size_t
merge(found *all, size_t count)
{
    size_t merged = 0;
    qsort(all, count, sizeof *all, compare_subjects);
    for (size_t i = 0; i < count; i++) {
        if (merged > 0 && compare_subjects(&all[merged - 1], &all[i]) == 0) {
            all[merged - 1].count += all[i].count;
        } else {
            all[merged++] = all[i];
        }
    }
    return merged;
}

static size_t
read_most(const fta_subject_table tables[FTA_SUBJECT_WINDOWS], found *all,
          fta_limited_subject out[FTA_MOST_LIMITED])
{
    size_t count = 0;
    uint64_t now = running_window();
    for (uint64_t ago = 0; ago < FTA_SUBJECT_WINDOWS && ago <= now; ago++) {
        uint64_t window = now - ago;
        count += read_table(&tables[window % FTA_SUBJECT_WINDOWS], window,
                            all + count);
    }
    count = merge(all, count);
    qsort(all, count, sizeof *all, compare_counts);
    count = count < FTA_MOST_LIMITED ? count : FTA_MOST_LIMITED;
    for (size_t i = 0; i < count; i++) {
        const subject *whose = &all[i].whose;
        memcpy(&out[i].tenant, whose->words, sizeof out[i].tenant);
        memcpy(&out[i].user, whose->words + FTA_SUBJECT_WORDS / 2,
               sizeof out[i].user);
        out[i].count = all[i].count;
    }
    return count;
}

fta_status
fta_metrics_read_most_limited(const fta_metrics *metrics, fta_most_limited *out)
{
    const fta_subject_memory *subjects = &metrics->memory->subjects;
    found *all = fta_malloc(FOUND_MAX * sizeof *all);
    if (all == NULL) {
        return FTA_NO_MEMORY;
    }
    out->user_count = read_most(subjects->users, all, out->users);
    out->tenant_count = read_most(subjects->tenants, all, out->tenants);
    fta_free(all);
    return FTA_OK;
}
