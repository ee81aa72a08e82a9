#include "session/revocations_internal.h"

#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto_error.h"

#define LEADER_SHIFT 32

/* As many heads as twice the entries, or more: most chains are empty. */
static size_t
heads_for(size_t entries)
{
    size_t heads = 64;
    while (heads < 2 * entries) {
        heads *= 2;
    }
    return heads;
}

static size_t
bytes_for(size_t entries)
{
    return FTA_REVOCATIONS_HEADER_BYTES +
           heads_for(entries) * sizeof(_Atomic uint32_t) +
           entries * sizeof(fta_revocation_entry);
}

/* How many entries fit into memory of this size. */
static size_t
entries_in(size_t bytes)
{
    size_t entries = FTA_REVOCATIONS_SLOTS_MAX + FTA_SPARE_ENTRIES;
    size_t least = 0;
    while (least + 1 < entries) {
        size_t middle = least + (entries - least) / 2;
        if (bytes_for(middle) <= bytes) {
            least = middle;
        } else {
            entries = middle;
        }
    }
    return bytes_for(entries) <= bytes ? entries : least;
}

static fta_status
fill_segment(void *memory, size_t bytes)
{
    fta_revocations_header *h = memory;
    size_t count = entries_in(bytes);
    if (RAND_bytes((unsigned char *)h->secret, sizeof h->secret) != 1) {
        return fta_crypto_error(FTA_CRYPTO);
    }
    h->entry_count = count;
    h->head_count = heads_for(count);
    char *start = (char *)memory + FTA_REVOCATIONS_HEADER_BYTES +
                  h->head_count * sizeof(_Atomic uint32_t);
    fta_revocation_entry *entries = (fta_revocation_entry *)(void *)start;
    for (size_t i = 0; i < count; i++) {
        atomic_init(&entries[i].next, i + 1 < count ? i + 2 : 0);
    }
    h->first_free = 1;
    h->free_count = count;
    return fta_revocations_make_lock(h);
}

static fta_status
open_segment(const fta_revocations_options *options, fta_segment **out,
             int *unshared)
{
    static const char prefix[] = "revocations";
    /* The segment takes some octets for itself; a page is enough. */
    size_t bytes = bytes_for(options->slots + FTA_SPARE_ENTRIES) + 4096;
    fta_segment_purpose purpose = {
        FTA_REVOCATIONS_LAYOUT, options->name, {prefix, sizeof prefix - 1}};
    fta_status status = FTA_SYSTEM;
    *unshared = 0;
    if (options->shared) {
        status = fta_segment_shared(options->directory, &purpose, bytes,
                                    fill_segment, out, unshared);
    }
    return status == FTA_SYSTEM ? fta_segment_private(bytes, fill_segment, out)
                                : status;
}

/* What this object needs beside the segment. */
static fta_status
prepare(fta_revocations *table)
{
    char *memory = fta_segment_memory(table->segment);
    table->header = (fta_revocations_header *)(void *)memory;
    table->entry_count = (size_t)table->header->entry_count;
    table->head_count = (size_t)table->header->head_count;
    if (table->entry_count != entries_in(fta_segment_bytes(table->segment)) ||
        table->head_count != heads_for(table->entry_count)) {
        return FTA_SYSTEM; /* Damaged: nobody writes them after the creator. */
    }
    char *heads = memory + FTA_REVOCATIONS_HEADER_BYTES;
    table->heads = (_Atomic uint32_t *)(void *)heads;
    heads += table->head_count * sizeof(_Atomic uint32_t);
    table->entries = (fta_revocation_entry *)(void *)heads;
    table->marks = fta_calloc(table->entry_count, sizeof *table->marks);
    table->groups = fta_calloc(table->head_count, sizeof *table->groups);
    if (table->marks == NULL || table->groups == NULL) {
        return FTA_NO_MEMORY;
    }
    return RAND_bytes((unsigned char *)&table->nonce, sizeof table->nonce) == 1
               ? FTA_OK
               : fta_crypto_error(FTA_CRYPTO);
}

fta_status
fta_revocations_open(const fta_revocations_options *options,
                     fta_revocations **out, int *unshared)
{
    *out = NULL;
    if (options->slots < FTA_REVOCATIONS_SLOTS_MIN ||
        options->slots > FTA_REVOCATIONS_SLOTS_MAX ||
        options->token_max_ms < 1 ||
        options->token_max_ms > FTA_REVOCATION_MS_MAX ||
        options->silent_max_ms < 1 ||
        options->silent_max_ms > FTA_REVOCATION_MS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    fta_revocations *table = fta_calloc(1, sizeof *table);
    if (table == NULL) {
        return FTA_NO_MEMORY;
    }
    table->token_max_ms = options->token_max_ms;
    table->silent_max_ms = options->silent_max_ms;
    fta_status status = open_segment(options, &table->segment, unshared);
    if (status == FTA_OK) {
        status = prepare(table);
    }
    if (status != FTA_OK) {
        fta_revocations_close(table);
        return status;
    }
    *out = table;
    return FTA_OK;
}

void
fta_revocations_leave(fta_revocations *table)
{
    if ((atomic_fetch_or(&table->writers, FTA_LEFT) & ~FTA_LEFT) == 0) {
        fta_segment_leave(table->segment);
    }
}

void
fta_revocations_close(fta_revocations *table)
{
    if (table != NULL) {
        fta_segment_close(table->segment);
        fta_free(table->marks);
        fta_free(table->groups);
        fta_free(table);
    }
}

/* -- The leader ------------------------------------------------------------ */

/* The name of this process in the word of the leader. A child that was forked
 * has another one. */
static uint64_t
own_name(const fta_revocations *table)
{
    const uint64_t process[2] = {(uint64_t)getpid(), 0};
    const uint64_t object[2] = {table->nonce, 0};
    uint64_t name = fta_hash_of_pair(table, 0, process, object);
    return name >> LEADER_SHIFT | 1;
}

/* The time in the word counts milliseconds modulo 2^32, 49 days. */
bool
fta_revocations_lead(fta_revocations *table)
{
    if (fta_has_left(table)) {
        return false;
    }
    uint64_t name = own_name(table);
    uint32_t now = (uint32_t)(fta_clock_monotonic_us() / 1000);
    uint64_t known = fta_load(&table->header->leader);
    do {
        bool is_silent = now - (uint32_t)known > FTA_LEADER_SILENT_MS &&
                         (uint32_t)known - now > FTA_LEADER_SILENT_MS;
        if (known != 0 && known >> LEADER_SHIFT != name && !is_silent) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&table->header->leader, &known,
                                           name << LEADER_SHIFT | now));
    return true;
}

/* -- Since it was filled --------------------------------------------------- */

int64_t
fta_revocations_silent_ms(const fta_revocations *table)
{
    int64_t filled =
        atomic_load_explicit(&table->header->filled_us, memory_order_acquire);
    if (filled == 0) {
        return -1;
    }
    int64_t silent = (fta_clock_monotonic_us() - filled) / 1000;
    return silent < 0 ? 0 : silent;
}

void
fta_revocations_waive(fta_revocations *table, bool waived)
{
    atomic_store_explicit(&table->waived, waived, memory_order_relaxed);
}
