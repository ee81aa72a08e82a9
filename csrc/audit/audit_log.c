#include "audit/audit_log.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "audit/sink.h"
#include "base/alloc.h"

struct fta_audit_log {
    fta_audit_sink sink;
    _Atomic uint64_t lost;        /* since the first failure in a row */
    _Atomic uint64_t lost_in_all; /* since the log was opened */
};

static fta_status
open_sink(const fta_audit_options *options, fta_audit_sink *out)
{
    fta_audit_destination destination;
    fta_status status =
        fta_audit_destination_read(options->destination, &destination);
    if (status != FTA_OK) {
        return status;
    }
    if (options->key_count != 0) {
        return destination.kind == FTA_AUDIT_FILE
                   ? fta_audit_open_chained(options, out)
                   : FTA_AUDIT_CHAIN_NO_FILE;
    }
    switch (destination.kind) {
    case FTA_AUDIT_SYSLOG:
    case FTA_AUDIT_SYSLOG_UDP:
        return fta_audit_open_syslog(&destination, out);
    case FTA_AUDIT_JOURNAL:
        return fta_audit_open_journal(&destination, out);
    case FTA_AUDIT_FILE:
        break;
    }
    return fta_audit_open_plain(destination.path, out);
}

fta_status
fta_audit_log_open(const fta_audit_options *options, fta_audit_log **out)
{
    fta_audit_log *log = fta_calloc(1, sizeof *log);
    if (log == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status = open_sink(options, &log->sink);
    if (status != FTA_OK) {
        int error = errno;
        fta_free(log);
        errno = error;
        return status;
    }
    *out = log;
    return FTA_OK;
}

void
fta_audit_log_close(fta_audit_log *log)
{
    if (log != NULL) {
        log->sink.type->close(log->sink.state);
        fta_free(log);
    }
}

void
fta_audit_log_reopen(fta_audit_log *log)
{
    if (log->sink.type->reopen != NULL) {
        log->sink.type->reopen(log->sink.state);
    }
}

/* Counts a line that was lost, and sets what has changed. */
static void
count(fta_audit_log *log, int error, fta_audit_outcome *outcome)
{
    if (error != 0) {
        outcome->is_lost = true;
        atomic_fetch_add(&log->lost_in_all, 1);
        if (atomic_fetch_add(&log->lost, 1) == 0) {
            outcome->change = FTA_AUDIT_LOSING;
            outcome->status = FTA_SYSTEM;
            outcome->error = error;
        }
    } else if (atomic_load_explicit(&log->lost, memory_order_relaxed) != 0) {
        outcome->lost = atomic_exchange(&log->lost, 0);
        if (outcome->lost != 0) {
            outcome->change = FTA_AUDIT_RESUMED;
        }
    }
}

fta_audit_outcome
fta_audit_log_write(fta_audit_log *log, const fta_audit_entry *entry)
{
    fta_audit_outcome outcome = {.change = FTA_AUDIT_UNCHANGED};
    count(log, log->sink.type->write(log->sink.state, entry, &outcome),
          &outcome);
    return outcome;
}

fta_status
fta_audit_log_note(fta_audit_log *log, const char *event, uint64_t number)
{
    fta_audit_outcome outcome;
    size_t length = strspn(event, "abcdefghijklmnopqrstuvwxyz");
    if (length == 0 || length > FTA_AUDIT_EVENT_MAX || event[length] != '\0' ||
        number > INT64_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    if (log->sink.type->note == NULL) {
        return FTA_AUDIT_CHAIN_NO_FILE;
    }
    errno = log->sink.type->note(log->sink.state, event, number, &outcome);
    return errno == 0 ? FTA_OK : FTA_SYSTEM;
}

uint64_t
fta_audit_log_lost(const fta_audit_log *log)
{
    return atomic_load_explicit(&log->lost_in_all, memory_order_relaxed);
}
