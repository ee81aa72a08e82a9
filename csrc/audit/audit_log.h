/* The audit log: a line for each request, which is one JSON object and one
 * write().
 *
 * The file is opened for appending, so any number of processes may share it,
 * and their lines do not mix. Nothing is locked: threads may write at once, and
 * a fork at any moment leaves no lock held. An error of the disk costs lines,
 * never a request. It is reported once when it begins and once when it ends. */
#ifndef FTA_AUDIT_AUDIT_LOG_H
#define FTA_AUDIT_AUDIT_LOG_H

#include <stdbool.h>

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

/* Opens the file, or makes it (0640, less the umask). A character device is
 * allowed, and so is a pipe that has a reader. Another error of open() is
 * FTA_SYSTEM, with its errno. A path with a NUL in it is FTA_BAD_ARGUMENT.
 *
 * A user who can write into the directory cannot make another file the log: a
 * symbolic link in the place of the file is not followed (FTA_AUDIT_SYMLINK),
 * and a file is used only if it belongs to this user or to root
 * (FTA_AUDIT_OWNER) and has no other name (FTA_AUDIT_HARD_LINK). The same holds
 * each time the path is opened again; then it must be a regular file. Links in
 * the names of the directories above are followed.
 *
 * /dev/stdout and /dev/stderr are those of the process, whatever they are. */
fta_status fta_audit_log_open(fta_text path, fta_audit_log **out);
void fta_audit_log_close(fta_audit_log *log);

/* Writes one line. At most once a second it checks whether the path still leads
 * to the open file, and opens the path again if not. */
fta_audit_outcome fta_audit_log_write(fta_audit_log *log,
                                      const fta_audit_entry *entry);

/* Lets the next write check the path at once. Safe in a signal handler. */
void fta_audit_log_reopen(fta_audit_log *log);

#endif
