/* May be included by csrc/audit alone. Writes the lines of a chain
 * (audit/chained.h): one chain, whatever number of threads and processes write
 * it, and over all files that the log was moved to. */
#ifndef FTA_AUDIT_CHAIN_H
#define FTA_AUDIT_CHAIN_H

#include "audit/audit_log.h"
#include "audit/chain_key.h"
#include "audit/file.h"
#include "audit/head.h"
#include "audit/line.h"

/* A line of the log is signed after so many seconds. */
#define FTA_AUDIT_SIGN_EVERY 3600

typedef struct fta_audit_chain {
    fta_audit_file *file;       /* Borrowed */
    fta_audit_key *const *keys; /* Borrowed. The first one signs */
    size_t key_count;
    fta_text path;  /* of the log. Borrowed, with a NUL at its end */
    int descriptor; /* of the head, with its lock */
    fta_audit_head head;
    char saved[FTA_AUDIT_HEAD_OCTETS + 1]; /* what the file of the head has */
} fta_audit_chain;

/* To be called with the lock of the head. Reads the head, and finds out what
 * became of a line whose writer was killed. *anew is whether there is a head
 * that none of the keys has made, so that a new chain begins. An errno, or 0.
 */
int fta_audit_chain_load(fta_audit_chain *chain, bool *anew);

/* Appends what is due before the next line: the first line in a file, and a
 * signature. An errno, or 0. */
int fta_audit_chain_sign_if_due(fta_audit_chain *chain);

/* Appends a control line. */
int fta_audit_chain_append_control(fta_audit_chain *chain, const char *event,
                                   uint64_t count);

/* Appends a line about a request: text has its public members up to
 * line->personal, and its personal ones after. */
int fta_audit_chain_append(fta_audit_chain *chain, const fta_audit_line *line,
                           const uint8_t commitment[FTA_AUDIT_DIGEST]);

#endif
