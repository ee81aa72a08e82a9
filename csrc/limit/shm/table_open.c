#include "limit/shm/table_internal.h"

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"

static fta_status
fill(void *memory, size_t bytes)
{
    fta_shm_header *h = memory;
    (void)bytes;
    return RAND_bytes((unsigned char *)&h->secret, sizeof h->secret) == 1
               ? FTA_OK
               : FTA_CRYPTO;
}

/* What a table takes that nobody has given a size: never more than an eighth
 * of what is free, so that several applications fit into a container's 64 MiB
 * and leave room for others. */
static size_t
default_bytes(const fta_shm_table_options *options)
{
    uint64_t room =
        options->shared ? fta_segment_free_bytes(options->directory) : 0;
    uint64_t bytes = room / 8 / FTA_SHM_TABLE_MIN * FTA_SHM_TABLE_MIN;
    if (room == 0 || bytes > FTA_SHM_TABLE_DEFAULT) {
        return FTA_SHM_TABLE_DEFAULT;
    }
    return bytes < FTA_SHM_TABLE_MIN ? FTA_SHM_TABLE_MIN : (size_t)bytes;
}

fta_status
fta_shm_table_open(const fta_shm_table_options *options, fta_shm_table **out,
                   int *error)
{
    *error = 0;
    size_t bytes = options->bytes;
    if (bytes == 0) {
        bytes = default_bytes(options);
    } else if (bytes < FTA_SHM_TABLE_MIN || bytes > FTA_SHM_TABLE_MAX) {
        return FTA_SHM_BYTES_INVALID;
    }
    fta_shm_table *table = fta_calloc(1, sizeof *table);
    if (table == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_segment_purpose purpose = {FTA_SHM_LAYOUT, options->app,
                                   options->prefix};
    fta_status status =
        options->shared
            ? fta_segment_shared(options->directory, &purpose, bytes, fill,
                                 &table->segment, error)
            : fta_segment_private(bytes, fill, &table->segment);
    if (status != FTA_OK) {
        fta_free(table);
        return status;
    }
    table->bytes_wanted = options->bytes;
    char *memory = fta_segment_memory(table->segment);
    table->header = (fta_shm_header *)(void *)memory;
    table->buckets = (fta_shm_bucket *)(void *)(memory + FTA_SHM_HEADER_BYTES);
    table->bucket_count =
        (fta_segment_bytes(table->segment) - FTA_SHM_HEADER_BYTES) /
        sizeof(fta_shm_bucket);
    *out = table;
    return FTA_OK;
}

fta_status
fta_shm_table_of_others(const fta_shm_table_options *options,
                        fta_segment_owner *out)
{
    fta_segment_purpose purpose = {FTA_SHM_LAYOUT, options->app,
                                   options->prefix};
    return fta_segment_of_others(options->directory, &purpose, out);
}

void
fta_shm_table_leave(fta_shm_table *table)
{
    fta_segment_leave(table->segment);
}

void
fta_shm_table_close(fta_shm_table *table)
{
    if (table != NULL) {
        fta_segment_close(table->segment);
        fta_free(table);
    }
}

uint64_t
fta_shm_table_evictions(const fta_shm_table *table)
{
    return atomic_load_explicit(&table->header->evictions,
                                memory_order_relaxed);
}

void
fta_shm_table_usage_read(const fta_shm_table *table, fta_shm_table_usage *out)
{
    int64_t now_us = fta_clock_monotonic_us();
    size_t bytes = fta_segment_whole_bytes(table->segment);
    *out = (fta_shm_table_usage){
        .bytes =
            FTA_SHM_HEADER_BYTES + table->bucket_count * sizeof(fta_shm_bucket),
        .has_other_size =
            table->bytes_wanted != 0 && table->bytes_wanted != bytes,
        .path = fta_segment_path(table->segment),
        .foreign = fta_segment_foreign(table->segment),
        .slots = table->bucket_count * FTA_SLOTS_PER_BUCKET,
        .evictions = fta_shm_table_evictions(table),
    };
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (size_t k = 0; k < FTA_SLOTS_PER_BUCKET; k++) {
            fta_shm_slot *s = &table->buckets[i].slots[k];
            if (!fta_word_is_free(fta_shm_read(&s->word), now_us)) {
                out->slots_used++;
            }
        }
    }
}
