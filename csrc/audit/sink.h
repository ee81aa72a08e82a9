/* May be included by csrc/audit alone. Where the lines of an audit log go: a
 * struct of functions for each kind of destination. */
#ifndef FTA_AUDIT_SINK_H
#define FTA_AUDIT_SINK_H

#include "audit/audit_log.h"

typedef struct fta_audit_sink_type {
    /* Writes a line and never waits for a reader: 0, or the errno of what went
     * wrong. May set the change of the outcome. */
    int (*write)(void *sink, const fta_audit_entry *entry,
                 fta_audit_outcome *outcome);
    /* Writes a control line of a chain; NULL where there is none. */
    int (*note)(void *sink, const char *event, uint64_t count,
                fta_audit_outcome *outcome);
    /* Lets the next write look where the path leads; NULL where there is no
     * path. Safe in a signal handler. */
    void (*reopen)(void *sink);
    void (*close)(void *sink);
} fta_audit_sink_type;

typedef struct fta_audit_sink {
    const fta_audit_sink_type *type;
    void *state; /* Owned */
} fta_audit_sink;

/* Each opens its kind of destination. errno says why, for FTA_SYSTEM. */
fta_status fta_audit_open_plain(fta_text path, fta_audit_sink *out);
fta_status fta_audit_open_chained(const fta_audit_options *options,
                                  fta_audit_sink *out);
fta_status fta_audit_open_syslog(const fta_audit_destination *destination,
                                 fta_audit_sink *out);
fta_status fta_audit_open_journal(const fta_audit_destination *destination,
                                  fta_audit_sink *out);

#endif
