#include "limit/lease/table_internal.h"

#include <openssl/rand.h>

#include "base/alloc.h"

#define BYTES_MIN ((size_t)64 << 10)
#define BYTES_DEFAULT ((size_t)4 << 20)

static fta_status
fill(void *memory, size_t bytes)
{
    fta_lease_header *h = memory;
    (void)bytes;
    atomic_store(&h->epoch, 1);
    h->host = fta_lease_nonce();
    return RAND_bytes((unsigned char *)&h->secret, sizeof h->secret) == 1 &&
                   h->host != 0
               ? FTA_OK
               : FTA_CRYPTO;
}

static uint64_t
bit_of(unsigned number)
{
    return UINT64_C(1) << number % 64;
}

/* A process that begins has not left, whatever the one before it with its
 * number has. A slot belongs to no process. */
static void
sweep(void *context, unsigned number)
{
    fta_lease_table *table = context;
    atomic_fetch_and(&table->header->has_left[number / 64], ~bit_of(number));
}

/* Without a size, never more than a 32nd of what is free. */
static size_t
bytes_of(const fta_lease_table_options *options)
{
    size_t bytes = options->bytes;
    if (bytes == 0) {
        uint64_t room =
            options->shared ? fta_segment_free_bytes(options->directory) : 0;
        bytes = room == 0 || room / 32 > BYTES_DEFAULT ? BYTES_DEFAULT
                                                       : (size_t)(room / 32);
    }
    return (bytes < BYTES_MIN ? BYTES_MIN : bytes) / 4096 * 4096;
}

static fta_status
open_segment(const fta_lease_table_options *options, fta_lease_table *table)
{
    size_t bytes = bytes_of(options);
    fta_segment_purpose purpose = {FTA_LEASE_LAYOUT, options->app,
                                   options->prefix};
    fta_status status = FTA_SYSTEM;
    int error = 0;
    if (options->shared) {
        status = fta_segment_shared(options->directory, &purpose, bytes, fill,
                                    &table->segment, &error);
    }
    if (status == FTA_SYSTEM) {
        status = fta_segment_private(bytes, fill, &table->segment);
    }
    return status;
}

fta_status
fta_lease_table_open(const fta_lease_table_options *options,
                     fta_lease_table **out)
{
    *out = NULL;
    fta_lease_table *table = fta_calloc(1, sizeof *table);
    if (table == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = open_segment(options, table);
    if (status != FTA_OK) {
        fta_free(table);
        return status;
    }
    /* Where there are no numbers, nobody is known to be the last. */
    bool is_shared = fta_segment_path(table->segment) != NULL;
    (void)fta_process_numbers_open(is_shared ? table->segment : NULL, sweep,
                                   table, &table->numbers);
    char *memory = fta_segment_memory(table->segment);
    table->header = (fta_lease_header *)(void *)memory;
    table->slots = (fta_lease_slot *)(void *)(memory + FTA_LEASE_HEADER_BYTES);
    table->set_count =
        (fta_segment_bytes(table->segment) - FTA_LEASE_HEADER_BYTES) /
        (FTA_LEASE_WAYS * sizeof(fta_lease_slot));
    *out = table;
    return FTA_OK;
}

void
fta_lease_table_enter(fta_lease_table *table)
{
    if (table->numbers != NULL && fta_process_number(table->numbers) == 0) {
        (void)fta_process_number_take(table->numbers);
    }
}

bool
fta_lease_table_is_last(fta_lease_table *table)
{
    unsigned own =
        table->numbers != NULL ? fta_process_number(table->numbers) : 0;
    if (own == 0) {
        return false; /* It has used none. */
    }
    /* Of two that leave at once, both may be the last, and neither harms the
     * other. */
    atomic_fetch_or(&table->header->has_left[own / 64], bit_of(own));
    if (fta_segment_path(table->segment) == NULL) {
        return true;
    }
    fta_process_look look;
    fta_process_look_begin(table->numbers, &look);
    bool is_last = look.fd >= 0;
    for (unsigned i = 1; is_last && i <= FTA_PROCESS_NUMBER_MAX; i++) {
        uint64_t has_left = atomic_load(&table->header->has_left[i / 64]);
        is_last = (has_left & bit_of(i)) != 0 || !fta_process_lives(&look, i);
    }
    fta_process_look_end(&look);
    return is_last;
}

void
fta_lease_table_leave(fta_lease_table *table)
{
    fta_segment_leave(table->segment);
}

void
fta_lease_table_close(fta_lease_table *table)
{
    if (table != NULL) {
        fta_process_numbers_close(table->numbers);
        fta_segment_close(table->segment);
        fta_free(table);
    }
}

uint64_t
fta_lease_table_host(const fta_lease_table *table)
{
    return table->header->host;
}

/* 48 bits, which the script in Redis can work with. */
uint64_t
fta_lease_nonce(void)
{
    uint64_t nonce = 0;
    if (RAND_bytes((unsigned char *)&nonce, sizeof nonce) != 1) {
        return 0;
    }
    nonce >>= 16;
    return nonce != 0 ? nonce : 1;
}

/* -- Epochs ---------------------------------------------------------------- */

static uint32_t
epoch_of(uint64_t word)
{
    return (uint32_t)word != 0 ? (uint32_t)word : 1;
}

uint32_t
fta_lease_table_epoch(const fta_lease_table *table)
{
    return epoch_of(atomic_load(&table->header->epoch));
}

uint32_t
fta_lease_table_new_epoch(fta_lease_table *table)
{
    return epoch_of(atomic_fetch_add(&table->header->epoch, 1) + 1);
}

uint32_t
fta_lease_table_add_loss(fta_lease_table *table)
{
    return (uint32_t)atomic_fetch_add(&table->header->losses, 1) + 1;
}

uint32_t
fta_lease_table_losses(const fta_lease_table *table)
{
    return (uint32_t)atomic_load(&table->header->losses);
}

/* -- For people ------------------------------------------------------------ */

void
fta_lease_table_usage_read(fta_lease_table *table, fta_lease_table_usage *out)
{
    *out = (fta_lease_table_usage){.slots = table->set_count * FTA_LEASE_WAYS};
    for (size_t i = 0; i < out->slots; i++) {
        fta_lease_view view;
        if (fta_lease_view_read(&table->slots[i], &view) &&
            view.lease.left > 0) {
            out->leases++;
            out->permits += view.lease.left;
        }
    }
}
