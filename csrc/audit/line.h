/* May be included by csrc/audit alone. One entry as a line of JSON. */
#ifndef FTA_AUDIT_LINE_H
#define FTA_AUDIT_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "audit/audit_log.h"

/* A line that fits here needs no memory but the stack's. Usual ones take 300
 * bytes. */
#define FTA_AUDIT_LINE_BUFFER 4096

typedef struct fta_audit_line {
    char *text; /* buffer, or Owned */
    size_t used;
    char buffer[FTA_AUDIT_LINE_BUFFER];
} fta_audit_line;

/* Writes a line feed, the JSON object and a line feed. The first line feed is
 * for use after a line that was written in part. false without memory; then
 * there is nothing to free. */
bool fta_audit_line_make(fta_audit_line *line, const fta_audit_entry *entry);
void fta_audit_line_free(fta_audit_line *line);

#endif
