/* The head of a chain: how far it has come. It is a file beside the log, whose
 * lock is the lock of the chain.
 *
 *   octets 0 to 7     "ftahead1"
 *   five numbers of 8 octets, the most significant first: n, inode, offset,
 *                     signed_at, intended
 *   two digests of 32 octets: digest, intended_digest
 *   32 octets         HMAC of all before it
 *
 * Before a line is written the head says what is intended, and after it that
 * this is done. So after a kill at any moment, what was written can be told
 * from the size of the log, and it is known whether the log was cut off. */
#ifndef FTA_AUDIT_HEAD_H
#define FTA_AUDIT_HEAD_H

#include "audit/chain_key.h"

#define FTA_AUDIT_HEAD_OCTETS (8 + 5 * 8 + 3 * FTA_AUDIT_DIGEST)

typedef struct fta_audit_head {
    uint64_t n; /* the number of the last line; 0: there is none */
    uint64_t inode;
    uint64_t offset;    /* where the next line goes in the file of this inode */
    uint64_t signed_at; /* when a line was signed, in seconds since 1970 */
    uint64_t intended;  /* the octets of the line being written; 0: none */
    uint8_t digest[FTA_AUDIT_DIGEST]; /* of the last line */
    uint8_t intended_digest[FTA_AUDIT_DIGEST];
} fta_audit_head;

/* Whether the octets are a head that one of the keys has made. */
bool fta_audit_head_read(fta_text octets, fta_audit_key *const *keys,
                         size_t count, fta_audit_head *out);

/* false: OpenSSL has failed. */
bool fta_audit_head_write(const fta_audit_head *head, const fta_audit_key *key,
                          char out[FTA_AUDIT_HEAD_OCTETS]);

/* Opens the file, made if there is none (0600), and takes its lock. Waits for
 * at most so many milliseconds: -1 with errno, which is EAGAIN if the lock was
 * held all the time. A symbolic link is not followed. */
int fta_audit_head_lock(const char *path, int64_t wait_ms);

/* Gives the lock back, also where a child was forked meanwhile and has a copy
 * of the descriptor. */
void fta_audit_head_unlock(int descriptor);

#endif
