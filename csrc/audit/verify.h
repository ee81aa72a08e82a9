/* Whether lines are a chain: the first one that was changed, lost, moved or
 * inserted.
 *
 * The lines of all files are given one after the other, the oldest file first.
 * Who may cut off the last file may cut off the end of the chain: whether its
 * end is there is known from its head (audit/head.h). */
#ifndef FTA_AUDIT_VERIFY_H
#define FTA_AUDIT_VERIFY_H

#include "audit/chain_key.h"

#define FTA_AUDIT_FINDING_LIST(X)                                              \
    X(NOTHING, "")                                                             \
    X(FOREIGN, "the line is none of the chain: it was changed, cut off or "    \
               "inserted")                                                     \
    X(CHANGED, "the line was changed, or is not the one that followed the "    \
               "line before")                                                  \
    X(PERSONAL, "a personal value of the line was changed")                    \
    X(MISSING, "lines before this one are missing, or it was moved here")      \
    X(REPEATED, "the line was moved or copied here: a later one is before it") \
    X(ANEW, "the chain begins anew here, as if its head had been lost")        \
    X(BEGINNING, "what stands before it in this file was changed")             \
    X(SIGNATURE, "the line is signed by none of the keys")                     \
    X(ERASURE, "the line was erased by somebody who has none of the keys")     \
    X(FAILED, "OpenSSL has failed, so nothing is known")

typedef enum fta_audit_finding {
#define X(name, text) FTA_AUDIT_FOUND_##name,
    FTA_AUDIT_FINDING_LIST(X)
#undef X
} fta_audit_finding;

const char *fta_audit_finding_text(fta_audit_finding finding);

typedef struct fta_audit_verifier {
    fta_audit_key *const *keys; /* Borrowed */
    size_t key_count;
    uint64_t first;    /* the number of the first line; 0: none yet */
    uint64_t n;        /* the number of the last one */
    uint64_t signed_n; /* all up to this one is signed */
    uint64_t pruned;   /* so many first lines were removed, as was recorded */
    uint64_t before;   /* lines before the chain began */
    uint64_t erased;   /* lines without their personal values */
    uint64_t line;     /* in this file, from 1 */
    uint64_t octets;   /* of the lines of this file that were given */
    uint8_t digest[FTA_AUDIT_DIGEST]; /* of the last line */
} fta_audit_verifier;

/* There is at least one key. */
void fta_audit_verifier_start(fta_audit_verifier *verifier,
                              fta_audit_key *const *keys, size_t key_count);

/* The lines of another file follow. */
void fta_audit_verifier_file(fta_audit_verifier *verifier);

/* The next line, without its line feed. After a finding the verifier may not be
 * used any more. */
fta_audit_finding fta_audit_verifier_line(fta_audit_verifier *verifier,
                                          fta_text line);

/* A line without a line feed at the end of a file. */
fta_audit_finding fta_audit_verifier_cut_line(fta_audit_verifier *verifier);

#endif
