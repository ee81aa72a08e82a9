/* The audit log: a line for each request, which is one JSON object, written by
 * one system call to a file, a syslog or the journal.
 *
 * Any number of threads and processes may write at once, and their lines do not
 * mix. Nobody waits for a disk, a reader or a network: what cannot be written
 * at once is a lost line, never a late request. That is reported once when it
 * begins and once when it ends. */
#ifndef FTA_AUDIT_AUDIT_LOG_H
#define FTA_AUDIT_AUDIT_LOG_H

#include <stdbool.h>

#include "audit/destination.h"
#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"

typedef struct fta_audit_log fta_audit_log;

/* Texts are octets as a client sent them: UTF-8 or anything else. An absent
 * text (data NULL) is written as null. */
typedef struct fta_audit_entry {
    fta_text method;
    fta_text endpoint;
    fta_text address;
    fta_text user_agent;
    fta_text reason;           /* why the request was denied */
    fta_text role;             /* absent, with both ids NULL: unknown */
    fta_text actor;            /* who acts as the user; absent: the user */
    const fta_uuid *tenant_id; /* Borrowed */
    const fta_uuid *user_id;   /* Borrowed */
    int http_status;
} fta_audit_entry;

/* What a write has changed. */
typedef enum fta_audit_change {
    FTA_AUDIT_UNCHANGED,
    FTA_AUDIT_LOSING,        /* lines are lost from this one on */
    FTA_AUDIT_RESUMED,       /* lines are written again; so many were lost */
    FTA_AUDIT_BEGINS_ANEW,   /* the head of the chain was changed: a new chain
                                begins with this line */
    FTA_AUDIT_KEEPS_OLD_FILE /* the file was moved, and the path cannot be
                                opened again: lines still go to the old file */
} fta_audit_change;

typedef struct fta_audit_outcome {
    fta_audit_change change;
    fta_status status; /* the reason of LOSING and KEEPS_OLD_FILE */
    int error;         /* errno, where that is FTA_SYSTEM */
    uint64_t lost;     /* how many, for RESUMED */
    bool is_lost;      /* this line is */
} fta_audit_outcome;

typedef struct fta_audit_options {
    fta_text destination; /* see destination.h. Borrowed */
    const fta_text *keys; /* of the chain, the first one signs. Borrowed */
    size_t key_count;     /* 0: the lines are no chain */
} fta_audit_options;

/* Opens the destination. FTA_AUDIT_CHAIN_NO_FILE: it is no regular file, and
 * only such a one can have a chain. FTA_AUDIT_HEAD: the head of the chain was
 * made with none of the keys. What fta_audit_destination_read says; another
 * error of the system is FTA_SYSTEM, with its errno. FTA_AUDIT_HOST: the host
 * of a syslog is not known.
 *
 * A file is made if there is none (0640, less the umask). A character device is
 * allowed, and so is a pipe that has a reader.
 *
 * A user who can write into the directory cannot make another file the log: a
 * symbolic link in the place of the file is not followed (FTA_AUDIT_SYMLINK),
 * and a file is used only if it belongs to this user or to root
 * (FTA_AUDIT_OWNER) and has no other name (FTA_AUDIT_HARD_LINK). The same holds
 * each time the path is opened again; then it must be a regular file. Links in
 * the names of the directories above are followed.
 *
 * /dev/stdout and /dev/stderr are those of the process, whatever they are. */
fta_status fta_audit_log_open(const fta_audit_options *options,
                              fta_audit_log **out);
void fta_audit_log_close(fta_audit_log *log);

/* Writes one line. At most once a second it checks whether the path still leads
 * to the open file, and opens the path again if not. */
fta_audit_outcome fta_audit_log_write(fta_audit_log *log,
                                      const fta_audit_entry *entry);

#define FTA_AUDIT_EVENT_MAX 16

/* Writes a control line into the chain. event is a word of at most
 * FTA_AUDIT_EVENT_MAX lower-case letters, number at most INT64_MAX
 * (FTA_BAD_ARGUMENT). FTA_SYSTEM with errno; FTA_AUDIT_CHAIN_NO_FILE where
 * there is no chain. */
fta_status fta_audit_log_note(fta_audit_log *log, const char *event,
                              uint64_t number);

/* Lets the next write check the path at once. Safe in a signal handler. */
void fta_audit_log_reopen(fta_audit_log *log);

/* How many lines were lost since the log was opened in this process or in the
 * one that it was forked from. */
uint64_t fta_audit_log_lost(const fta_audit_log *log);

#endif
