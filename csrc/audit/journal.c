/* Lines as entries of systemd's journal, in its native protocol: fields
 * "NAME=value", a line each, in one datagram. No value has a line feed, because
 * each is JSON or digits. An entry that is too large for a datagram is handed
 * over as a sealed memfd. */
#include "audit/line.h"
#include "audit/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/datagram.h"
#include "base/alloc.h"

#define FIELDS_MAX 512

typedef struct journal_sink {
    fta_audit_datagrams datagrams;
} journal_sink;

static size_t
put_uuid_field(char *out, const char *name, const fta_uuid *uuid)
{
    if (uuid == NULL) {
        return 0;
    }
    char text[FTA_UUID_TEXT];
    fta_uuid_format(uuid, text);
    return (size_t)sprintf(out, "%s=%.*s\n", name, FTA_UUID_TEXT, text);
}

/* All but MESSAGE and the reason. */
static size_t
put_fields(char out[FIELDS_MAX], const fta_audit_entry *entry)
{
    size_t used = (size_t)sprintf(
        out,
        "PRIORITY=%d\nSYSLOG_FACILITY=10\n"
        "SYSLOG_IDENTIFIER=flask_tenant_auth\nTENANT_AUTH_STATUS=%d\n",
        fta_audit_severity(entry), entry->http_status);
    used += put_uuid_field(out + used, "TENANT_AUTH_USER_ID", entry->user_id);
    used +=
        put_uuid_field(out + used, "TENANT_AUTH_TENANT_ID", entry->tenant_id);
    return used;
}

#ifdef __linux__
/* The journal takes a memfd only if nobody can change it any more. */
static int
send_in_memory(const fta_audit_datagrams *datagrams, const struct iovec *parts,
               int count)
{
    int memory =
        memfd_create("audit", (unsigned)(MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (memory < 0) {
        return errno;
    }
    ssize_t length = 0;
    for (int i = 0; i < count; i++) {
        length += (ssize_t)parts[i].iov_len;
    }
    int error =
        writev(memory, parts, count) != length ? ENOSPC
        : fcntl(memory, F_ADD_SEALS,
                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0
            ? errno
            : fta_audit_datagrams_send_descriptor(datagrams, memory);
    (void)close(memory);
    return error;
}
#else
static int
send_in_memory(const fta_audit_datagrams *datagrams, const struct iovec *parts,
               int count)
{
    (void)datagrams;
    (void)parts;
    (void)count;
    return EMSGSIZE;
}
#endif

static int
write_journal(void *state, const fta_audit_entry *entry,
              fta_audit_outcome *outcome)
{
    journal_sink *sink = state;
    (void)outcome;
    fta_audit_line line;
    if (!fta_audit_line_make(&line, entry)) {
        return ENOMEM;
    }
    char fields[FIELDS_MAX];
    struct iovec parts[] = {
        {fields, put_fields(fields, entry)},
        {(void *)(uintptr_t)"TENANT_AUTH_REASON=", 19},
        {line.text + line.reason + 1, line.used - line.reason - 4},
        {(void *)(uintptr_t)"\nMESSAGE=", 9},
        {line.text + 1, line.used - 1},
    };
    if (entry->reason.data == NULL) {
        parts[1].iov_len = parts[2].iov_len = 0;
        parts[3] = (struct iovec){(void *)(uintptr_t)"MESSAGE=", 8};
    }
    int error = fta_audit_datagrams_send(&sink->datagrams, parts, 5);
    if (error == EMSGSIZE || error == ENOBUFS) {
        error = send_in_memory(&sink->datagrams, parts, 5);
    }
    fta_audit_line_free(&line);
    return error;
}

static void
close_journal(void *state)
{
    journal_sink *sink = state;
    fta_audit_datagrams_close(&sink->datagrams);
    fta_free(sink);
}

fta_status
fta_audit_open_journal(const fta_audit_destination *destination,
                       fta_audit_sink *out)
{
    static const fta_audit_sink_type type = {write_journal, NULL, NULL,
                                             close_journal};
    journal_sink *sink = fta_calloc(1, sizeof *sink);
    if (sink == NULL) {
        return FTA_NO_MEMORY;
    }
    fta_status status =
        fta_audit_datagrams_local(destination->path, &sink->datagrams);
    if (status != FTA_OK) {
        int error = errno;
        fta_free(sink);
        errno = error;
        return status;
    }
    *out = (fta_audit_sink){&type, sink};
    return FTA_OK;
}
