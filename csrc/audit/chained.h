/* A line of a chain, read from untrusted octets.
 *
 * A line about a request:
 *
 *   {"time":"T",MEMBERS,"n":N,"personal":"C",PERSONAL,"digest":"D"}
 *
 * D is the SHA-256 of the digest of the line before (32 octets, of zeros for
 * the first line) and of all up to the quote after C. C is the SHA-256 of
 * PERSONAL from its first comma on, which begins with a random salt and so
 * tells nothing once it is gone. An erased line has ,"erased":"S" and spaces in
 * the place of PERSONAL, where S is a signature of D.
 *
 * A control line:
 *
 *   {"time":"T","event":"E","n":N,"previous":"P","count":M,"key":"K",
 *    "signature":"S","digest":"D"}
 *
 * in one line. P is the digest of the line before, so that a chain whose first
 * files are gone can be verified. K are the first 16 digits of the public key
 * of the signature S, which is of all up to the quote after K. D covers all
 * before ,"digest". */
#ifndef FTA_AUDIT_CHAINED_H
#define FTA_AUDIT_CHAINED_H

#include "audit/chain_key.h"

#define FTA_AUDIT_SIGNATURE_TEXT 86 /* of base64url */

/* What signatures are of, before the text itself, so that one is never taken
 * for a signature of anything else. */
#define FTA_AUDIT_SIGNED_LINE "flask_tenant_auth audit line 1\n"
#define FTA_AUDIT_SIGNED_ERASURE "flask_tenant_auth audit erasure 1\n"

typedef struct fta_audit_chained {
    uint64_t n;
    fta_text covered; /* by the digest. All texts are Borrowed of the line */
    uint8_t digest[FTA_AUDIT_DIGEST];

    /* Of a line about a request. */
    fta_text personal; /* absent in a control line, and where it is erased */
    uint8_t commitment[FTA_AUDIT_DIGEST];
    bool erased;

    /* Of a control line. */
    fta_text event; /* absent in a line about a request */
    uint8_t previous[FTA_AUDIT_DIGEST];
    uint64_t count;

    /* Of a control line and of an erased one. */
    fta_text signed_text;
    uint8_t signature[FTA_AUDIT_SIGNATURE];
} fta_audit_chained;

/* line is without its line feed. false: it has not the form of such a line. The
 * digests and signatures are not verified. */
bool fta_audit_chained_read(fta_text line, fta_audit_chained *out);

#endif
