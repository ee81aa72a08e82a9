/* The sink of a log with a chain. Each write takes the lock of the head, which
 * is opened for it: so a fork, a kill and a rotation at any moment leave
 * nothing behind, and threads wait for each other as processes do. */
#include "audit/chain.h"
#include "audit/sink.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto_error.h"

#define WAIT_MS 50        /* of a request */
#define LONG_WAIT_MS 5000 /* of somebody at a terminal, and at the start */
#define SALT 16

typedef struct chained_log {
    fta_audit_file *file;                    /* Owned */
    fta_audit_key *keys[FTA_AUDIT_KEYS_MAX]; /* Owned */
    size_t key_count;
    atomic_bool stuck; /* the lock was held for too long: it is only tried */
    size_t path_length;
    char *head; /* the path of the head, in the memory of this struct */
    char path[];
} chained_log;

static bool
make_line(fta_audit_line *line, const fta_audit_entry *entry)
{
    uint8_t salt[SALT];
    if (!fta_audit_line_begin(line, entry)) {
        return false;
    }
    if (RAND_bytes(salt, sizeof salt) != 1) {
        (void)fta_crypto_error(FTA_CRYPTO);
        fta_audit_line_free(line);
        return false;
    }
    FTA_AUDIT_PUT(line, "{\"time\":\"");
    fta_audit_put_time(line);
    FTA_AUDIT_PUT(line, "\",\"method\":");
    fta_audit_put_string(line, entry->method);
    FTA_AUDIT_PUT(line, ",\"status\":");
    fta_audit_put_status(line, entry->http_status);
    FTA_AUDIT_PUT(line, ",\"tenant_id\":");
    fta_audit_put_uuid(line, entry->tenant_id);
    FTA_AUDIT_PUT(line, ",\"role\":");
    fta_audit_put_string(line, entry->role);
    FTA_AUDIT_PUT(line, ",\"reason\":");
    fta_audit_put_string(line, entry->reason);
    line->personal = line->used;
    FTA_AUDIT_PUT(line, ",\"salt\":\"");
    fta_audit_put_hex(line, salt, sizeof salt);
    FTA_AUDIT_PUT(line, "\",\"user_id\":");
    fta_audit_put_uuid(line, entry->user_id);
    if (entry->actor.data != NULL) {
        FTA_AUDIT_PUT(line, ",\"actor\":");
        fta_audit_put_string(line, entry->actor);
    }
    FTA_AUDIT_PUT(line, ",\"ip\":");
    fta_audit_put_string(line, entry->address);
    FTA_AUDIT_PUT(line, ",\"user_agent\":");
    fta_audit_put_string(line, entry->user_agent);
    FTA_AUDIT_PUT(line, ",\"endpoint\":");
    fta_audit_put_string(line, entry->endpoint);
    return true;
}

/* Takes the lock, and brings the chain to where the next line goes. */
static int
enter(chained_log *log, fta_audit_chain *chain, int64_t wait_ms,
      fta_audit_outcome *outcome)
{
    bool stuck = wait_ms == WAIT_MS &&
                 atomic_load_explicit(&log->stuck, memory_order_relaxed);
    *chain = (fta_audit_chain){
        .file = log->file,
        .keys = log->keys,
        .key_count = log->key_count,
        .path = {log->path, log->path_length},
        .descriptor = fta_audit_head_lock(log->head, stuck ? 0 : wait_ms),
    };
    if (chain->descriptor < 0) {
        atomic_store_explicit(&log->stuck, errno == EAGAIN,
                              memory_order_relaxed);
        return errno;
    }
    if (stuck) {
        atomic_store_explicit(&log->stuck, false, memory_order_relaxed);
    }
    bool anew;
    int error = fta_audit_chain_load(chain, &anew);
    if (error == 0) {
        if (anew) {
            outcome->change = FTA_AUDIT_BEGINS_ANEW;
        }
        fta_audit_file_follow(log->file, true, outcome);
        error = fta_audit_chain_sign_if_due(chain);
    }
    if (error != 0) {
        fta_audit_head_unlock(chain->descriptor);
    }
    return error;
}

static int
write_chained(void *sink, const fta_audit_entry *entry,
              fta_audit_outcome *outcome)
{
    chained_log *log = sink;
    fta_audit_line line;
    if (!make_line(&line, entry)) {
        return ENOMEM;
    }
    fta_audit_chain chain;
    uint8_t commitment[FTA_AUDIT_DIGEST];
    const fta_text personal = {line.text + line.personal,
                               line.used - line.personal};
    int error = ENOMEM;
    if (fta_audit_digest(log->keys[0], &personal, 1, commitment)) {
        error = enter(log, &chain, WAIT_MS, outcome);
        if (error == 0) {
            error = fta_audit_chain_append(&chain, &line, commitment);
            fta_audit_head_unlock(chain.descriptor);
        }
    }
    fta_audit_line_free(&line);
    return error;
}

static int
note_chained(void *sink, const char *event, uint64_t count,
             fta_audit_outcome *outcome)
{
    chained_log *log = sink;
    fta_audit_chain chain;
    int error = enter(log, &chain, LONG_WAIT_MS, outcome);
    if (error == 0) {
        error = fta_audit_chain_append_control(&chain, event, count);
        fta_audit_head_unlock(chain.descriptor);
    }
    return error;
}

static void
reopen_chained(void *sink)
{
    (void)sink; /* Each write looks where the path leads. */
}

static void
close_chained(void *sink)
{
    chained_log *log = sink;
    if (log != NULL) {
        fta_audit_file_close(log->file);
        for (size_t i = 0; i < log->key_count; i++) {
            fta_audit_key_free(log->keys[i]);
        }
        fta_free(log);
    }
}

/* A head that none of the keys has made stops the app at its start. */
static fta_status
check_head(const chained_log *log)
{
    fta_audit_chain chain = {.file = log->file,
                             .keys = log->keys,
                             .key_count = log->key_count,
                             .path = {log->path, log->path_length}};
    bool anew = false;
    chain.descriptor = fta_audit_head_lock(log->head, LONG_WAIT_MS);
    if (chain.descriptor < 0) {
        return FTA_SYSTEM;
    }
    errno = fta_audit_chain_load(&chain, &anew);
    fta_status status = errno != 0 ? FTA_SYSTEM
                        : anew     ? FTA_AUDIT_HEAD
                                   : FTA_OK;
    int error = errno;
    fta_audit_head_unlock(chain.descriptor);
    errno = error;
    return status;
}

static fta_status
fill(chained_log *log, const fta_audit_options *options)
{
    static const char suffix[] = ".head";
    size_t length = options->destination.length;
    memcpy(log->path, options->destination.data, length);
    log->path_length = length;
    log->head = log->path + length + 1;
    memcpy(log->head, options->destination.data, length);
    memcpy(log->head + length, suffix, sizeof suffix);
    for (; log->key_count < options->key_count; log->key_count++) {
        fta_status status = fta_audit_key_make(options->keys[log->key_count],
                                               &log->keys[log->key_count]);
        if (status != FTA_OK) {
            return status;
        }
    }
    fta_status status = fta_audit_file_open(options->destination, &log->file);
    if (status != FTA_OK) {
        return status;
    }
    return S_ISREG(fta_audit_file_kind(log->file)) ? check_head(log)
                                                   : FTA_AUDIT_CHAIN_NO_FILE;
}

fta_status
fta_audit_open_chained(const fta_audit_options *options, fta_audit_sink *out)
{
    static const fta_audit_sink_type type = {write_chained, note_chained,
                                             reopen_chained, close_chained};
    size_t length = options->destination.length;
    if (options->key_count > FTA_AUDIT_KEYS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    chained_log *log =
        fta_calloc(1, sizeof *log + 2 * length + sizeof ".head" + 1);
    if (log == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = fill(log, options);
    if (status != FTA_OK) {
        int error = errno;
        close_chained(log);
        errno = error;
        return status;
    }
    *out = (fta_audit_sink){&type, log};
    return FTA_OK;
}
