/* The audit log: one JSON object a line, one line a request, one write() a
 * line.
 *
 * The file is opened for appending, so that any number of processes may share
 * it and a line is never torn by another's. Nothing is locked: threads may
 * write at once, and a fork at any moment leaves nothing held. Whatever goes
 * wrong with the disk costs lines, never a request; it is told once when it
 * begins and once when it is over. */
#ifndef FTA_AUDIT_AUDIT_LOG_H
#define FTA_AUDIT_AUDIT_LOG_H

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
    fta_text reason;           /* why the request was refused */
    fta_text role;             /* absent, and both ids NULL: nobody is known */
    const fta_uuid *tenant_id; /* Borrowed */
    const fta_uuid *user_id;   /* Borrowed */
    int http_status;
} fta_audit_entry;

typedef enum fta_audit_news {
    FTA_AUDIT_NOTHING_NEW,
    FTA_AUDIT_LOSING,   /* lines are being lost from this one on */
    FTA_AUDIT_RESUMED,  /* lines are written again; so many were lost */
    FTA_AUDIT_MOVED_OFF /* the file was moved away and no new one can be made,
                           or what is there now will not do: lines still go
                           to the old one */
} fta_audit_news;

typedef struct fta_audit_outcome {
    fta_audit_news news;
    fta_status status; /* behind LOSING and MOVED_OFF */
    int error;         /* errno, where that is FTA_SYSTEM */
    uint64_t lost;     /* how many, for RESUMED */
} fta_audit_outcome;

/* Opens the file, or makes it (0640, less the umask). A character device will
 * do, or a pipe that somebody reads. What else open() refuses is FTA_SYSTEM:
 * errno tells which. A path with a NUL in it is FTA_BAD_ARGUMENT.
 *
 * Nobody who can write into the directory may turn the log into something
 * else: a symbolic link in the place of the file is not followed
 * (FTA_AUDIT_SYMLINK), and a file is taken only if it belongs to this user or
 * to root (FTA_AUDIT_OWNER) and has no other name (FTA_AUDIT_HARD_LINK). The
 * same holds each time the path is opened anew, and what takes the place of
 * the log must be a regular file then. Links in the names of the directories
 * above are followed.
 *
 * /dev/stdout and /dev/stderr are those of the process, whatever they are. */
fta_status fta_audit_log_open(fta_text path, fta_audit_log **out);
void fta_audit_log_close(fta_audit_log *log);

/* Writes one line. At most once a second it looks whether the path still leads
 * to the file that is open, and opens the path anew if not. */
fta_audit_outcome fta_audit_log_write(fta_audit_log *log,
                                      const fta_audit_entry *entry);

/* Lets the next write look at once. Safe in a signal handler. */
void fta_audit_log_look(fta_audit_log *log);

#endif
