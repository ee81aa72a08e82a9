/* Lines as messages of syslog (RFC 5424), a datagram each: to the socket of
 * this host, or to a server (RFC 5426).
 *
 * The socket is not connected, so each message finds a receiver that was
 * started anew. Of a message that the network or the server drops nobody
 * hears. */
#include "audit/line.h"
#include "audit/sink.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/datagram.h"
#include "base/alloc.h"

/* Facility 10, security and authorization (RFC 5424, section 6.2.1). */
#define FACILITY 10
/* PRIVAL, VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID: the longest
 * header of section 6.1 that is written here. */
#define HEADER_MAX 384
#define HOSTNAME_MAX 255

typedef struct syslog_sink {
    fta_audit_datagrams datagrams;
    char hostname[HOSTNAME_MAX + 1];
} syslog_sink;

static int
write_syslog(void *state, const fta_audit_entry *entry,
             fta_audit_outcome *outcome)
{
    syslog_sink *sink = state;
    (void)outcome;
    fta_audit_line line;
    if (!fta_audit_line_make(&line, entry)) {
        return ENOMEM;
    }
    char header[HEADER_MAX];
    int length = snprintf(
        header, sizeof header, "<%d>1 %.*s %s flask_tenant_auth %ld audit - ",
        FACILITY * 8 + fta_audit_severity(entry), FTA_AUDIT_TIME,
        line.text + line.time, sink->hostname, (long)getpid());
    struct iovec parts[] = {
        {header, (size_t)length},
        {line.text + 1, line.used - 2}, /* without its line feeds */
    };
    int error = fta_audit_datagrams_send(&sink->datagrams, parts, 2);
    fta_audit_line_free(&line);
    return error;
}

static void
close_syslog(void *state)
{
    syslog_sink *sink = state;
    fta_audit_datagrams_close(&sink->datagrams);
    fta_free(sink);
}

/* Visible ASCII, or "-" (RFC 5424, section 6.2.4). */
static void
find_hostname(char out[HOSTNAME_MAX + 1])
{
    if (gethostname(out, HOSTNAME_MAX) != 0 || out[0] == '\0') {
        (void)snprintf(out, HOSTNAME_MAX, "-");
    }
    out[HOSTNAME_MAX] = '\0';
    for (char *c = out; *c != '\0'; c++) {
        if (*c < '!' || *c > '~') {
            *c = '_';
        }
    }
}

fta_status
fta_audit_open_syslog(const fta_audit_destination *destination,
                      fta_audit_sink *out)
{
    static const fta_audit_sink_type type = {write_syslog, NULL, NULL,
                                             close_syslog};
    syslog_sink *sink = fta_calloc(1, sizeof *sink);
    if (sink == NULL) {
        return FTA_NO_MEMORY;
    }
    find_hostname(sink->hostname);
    fta_status status =
        destination->kind == FTA_AUDIT_SYSLOG
            ? fta_audit_datagrams_local(destination->path, &sink->datagrams)
            : fta_audit_datagrams_remote(destination, &sink->datagrams);
    if (status != FTA_OK) {
        int error = errno;
        fta_free(sink);
        errno = error;
        return status;
    }
    *out = (fta_audit_sink){&type, sink};
    return FTA_OK;
}
