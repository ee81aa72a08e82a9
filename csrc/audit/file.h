/* May be included by csrc/audit alone. The file of an audit log: opened for
 * appending, checked, and opened again where its path leads elsewhere. */
#ifndef FTA_AUDIT_FILE_H
#define FTA_AUDIT_FILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "audit/audit_log.h"

typedef struct fta_audit_file fta_audit_file;

/* See fta_audit_log_open. errno says why, for FTA_SYSTEM. */
fta_status fta_audit_file_open(fta_text path, fta_audit_file **out);
void fta_audit_file_close(fta_audit_file *file);

/* What is open: S_IFREG and so on. 0 for an output of the process. */
mode_t fta_audit_file_kind(const fta_audit_file *file);

/* What fstat says of what is open now. */
bool fta_audit_file_stat(const fta_audit_file *file, struct stat *out);

/* Lets the next fta_audit_file_follow check the path. */
void fta_audit_file_reopen(fta_audit_file *file);

/* Opens the path again if it leads elsewhere. It looks at most once a second,
 * or at once. Sets the change of the outcome where that fails. */
void fta_audit_file_follow(fta_audit_file *file, bool at_once,
                           fta_audit_outcome *outcome);

/* Appends a line with one write(): 0, or the errno of what went wrong. text
 * begins with a line feed, which is written after a line that was written in
 * part. Any number of threads and processes may call this at once. */
int fta_audit_file_append(fta_audit_file *file, const char *text,
                          size_t length);

/* Appends the parts to a file of `size` octets with one writev(), or leaves it
 * as it is: 0, or the errno of what went wrong. Nobody else may write. */
int fta_audit_file_append_whole(fta_audit_file *file, const struct iovec *parts,
                                int count, off_t size);

/* What is open now. Borrowed: the number stays, the file may change. */
int fta_audit_file_descriptor(const fta_audit_file *file);

#endif
