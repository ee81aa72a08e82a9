/* May be included by csrc/audit alone. One entry as a line of JSON. */
#ifndef FTA_AUDIT_LINE_H
#define FTA_AUDIT_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "audit/audit_log.h"

/* A line that fits here needs no memory but the stack's. Usual ones take 300
 * bytes, and 600 in a chain. */
#define FTA_AUDIT_LINE_BUFFER 4096

/* All of a line but its texts: names, time, ids, status, quotes, digests. */
#define FTA_AUDIT_LINE_FRAME 1024

/* "2026-11-23T15:28:01.123456Z" */
#define FTA_AUDIT_TIME 27

typedef struct fta_audit_line {
    char *text; /* buffer, or Owned */
    size_t used;
    size_t time;     /* where the value of the time begins */
    size_t reason;   /* where the value of the reason begins */
    size_t personal; /* where the personal members begin, in a chain */
    char buffer[FTA_AUDIT_LINE_BUFFER];
} fta_audit_line;

/* Writes a line feed, the JSON object and a line feed. The first line feed is
 * for use after a line that was written in part. false without memory; then
 * there is nothing to free. */
bool fta_audit_line_make(fta_audit_line *line, const fta_audit_entry *entry);
void fta_audit_line_free(fta_audit_line *line);

/* Reserves memory for FTA_AUDIT_LINE_FRAME and the texts of the entry, so that
 * no function below has to check. false without memory. */
bool fta_audit_line_begin(fta_audit_line *line, const fta_audit_entry *entry);

void fta_audit_put(fta_audit_line *line, const char *text, size_t length);
#define FTA_AUDIT_PUT(line, literal)                                           \
    fta_audit_put(line, literal, sizeof(literal) - 1)

/* The time now. */
void fta_audit_put_time(fta_audit_line *line);
void fta_audit_put_status(fta_audit_line *line, int status);
/* A JSON string; null if the text is absent, or there is no id. */
void fta_audit_put_string(fta_audit_line *line, fta_text text);
void fta_audit_put_uuid(fta_audit_line *line, const fta_uuid *uuid);
/* Two digits an octet. */
void fta_audit_put_hex(fta_audit_line *line, const uint8_t *octets,
                       size_t size);

/* The severity of an entry in syslog (RFC 5424, section 6.2.1): error for a
 * status of 500 or more, warning where the request was denied, else
 * informational. */
static inline int
fta_audit_severity(const fta_audit_entry *entry)
{
    return entry->http_status >= 500 ? 3 : entry->reason.data != NULL ? 4 : 6;
}

#endif
