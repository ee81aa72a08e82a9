/* What is revoked, in memory that all processes of this host share. How it
 * works, and why it is right, is at the top of revocations.c. */
#ifndef FTA_SESSION_REVOCATIONS_H
#define FTA_SESSION_REVOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "base/uuid.h"
#include "base/words.h"

#define FTA_REVOCATIONS_SLOTS_MIN ((size_t)16)
#define FTA_REVOCATIONS_SLOTS_MAX ((size_t)1 << 20)

/* Octets of the id of a session or a token, and of a position of the store. */
#define FTA_REVOCATION_ID_MAX ((size_t)96)
#define FTA_REVOCATIONS_POSITION_MAX ((size_t)256)

/* The latest time, in milliseconds since 1970. */
#define FTA_REVOCATION_MS_MAX ((int64_t)1 << 53)

#define FTA_REVOCATION_KIND_LIST(X)                                            \
    X(SESSION, "session")                                                      \
    X(USER, "user")                                                            \
    X(TENANT, "tenant")                                                        \
    X(TOKEN, "token")                                                          \
    X(EVERYTHING, "everything")

typedef enum fta_revocation_kind {
#define X(name, text) FTA_REVOKED_##name,
    FTA_REVOCATION_KIND_LIST(X)
#undef X
        FTA_REVOKED_COUNT
} fta_revocation_kind;

extern const fta_words fta_revocation_kinds;

typedef struct fta_revocation {
    fta_revocation_kind kind;
    int64_t at;      /* Milliseconds since 1970, by the clock of the store. */
    int64_t ends_at; /* When the store forgets it. */
    bool has_tenant; /* Of a user and a tenant always. */
    bool has_user;   /* Of a user always. */
    fta_uuid tenant;
    fta_uuid user;
    /* Of a session: its id. Of a token: its jti, or "sha256:" and the SHA-256
     * of the token up to its last dot, in base64url. The signature is left
     * out, because one of ECDSA has a second form that is as valid. */
    fta_text id;
    fta_text except_session; /* Of a user: data NULL: none is spared. */
} fta_revocation;

typedef struct fta_revocations fta_revocations;

typedef struct fta_revocations_options {
    fta_text name;         /* Those that give the same name meet. */
    size_t slots;          /* FTA_REVOCATIONS_SLOTS_MIN .. _MAX */
    bool shared;           /* With processes that are not children, too. */
    const char *directory; /* Where they meet; NULL: the usual place. */
    int64_t token_max_ms;  /* From iat to exp and leeway; 1 or more. */
    int64_t silent_max_ms; /* 1 or more. */
} fta_revocations_options;

/* Where shared memory cannot be had, the table belongs to this process and its
 * children, and *unshared is the errno. FTA_SEGMENT_FOREIGN, FTA_NO_MEMORY,
 * FTA_CRYPTO, FTA_SYSTEM, FTA_BAD_ARGUMENT. */
fta_status fta_revocations_open(const fta_revocations_options *options,
                                fta_revocations **out, int *unshared);

/* Denies all that is asked from now on. Removes the shared memory if nothing
 * in it matters and no other process uses it; where other threads write, the
 * last of them does. May be repeated. */
void fta_revocations_leave(fta_revocations *table);

/* Leaves, then frees. NULL is allowed. No other thread may be inside. */
void fta_revocations_close(fta_revocations *table);

/* -- Asking: any number of threads and processes, no lock -------------------
 */

/* What a token says. */
typedef struct fta_revocation_query {
    const fta_uuid *tenant; /* NULL: not known here; only its life is checked */
    const fta_uuid *user;
    const fta_uuid *actor; /* Who acts as the user; NULL: nobody. */
    fta_text session;      /* sid; data NULL: none */
    fta_text jti;          /* data NULL: none */
    double issued_at;      /* iat, seconds; NAN: none */
    double expires_at;     /* exp and the leeway; NAN: was checked before */
    double now;            /* seconds since 1970 */
    fta_text signed_part;  /* The token up to its last dot; data NULL: see: */
    const uint8_t *digest; /* 32 octets: SHA-256 of it; NULL: none */
} fta_revocation_query;

/* FTA_OK, or why the token is denied: FTA_TOKEN_REVOKED, FTA_REFRESH_FIRST,
 * FTA_ISSUED_AT_UNKNOWN, FTA_LIVES_TOO_LONG, FTA_REVOCATIONS_UNKNOWN; or
 * FTA_CRYPTO. */
fta_status fta_revocations_check(fta_revocations *table,
                                 const fta_revocation_query *query);

/* -- Writing --------------------------------------------------------------- */

/* Each waits for other writers. FTA_TABLE_LOCKED: one was stopped while it
 * wrote. FTA_CLOSED: this process has left the table. The lock of one that was
 * killed is taken over. */

/* Once it returns FTA_OK, each token that the revocation concerns is denied.
 * FTA_BAD_ARGUMENT for one that lacks what its kind needs. */
fta_status fta_revocations_add(fta_revocations *table,
                               const fta_revocation *revocation);

/* A revocation that was copied from the table. */
typedef struct fta_revocation_copy {
    fta_revocation revocation;
    char text[FTA_REVOCATION_ID_MAX]; /* What its id or except_session is. */
} fta_revocation_copy;

/* Copies those that have not ended and were not widened, up to `most`. */
fta_status fta_revocations_copy(fta_revocations *table,
                                fta_revocation_copy *out, size_t most,
                                size_t *count);

fta_status fta_revocations_mark_filled(fta_revocations *table,
                                       fta_text position);
fta_status fta_revocations_position(fta_revocations *table,
                                    char out[FTA_REVOCATIONS_POSITION_MAX],
                                    size_t *length);

/* -- The state of it ------------------------------------------------------- */

/* How long a leader may be silent. */
#define FTA_LEADER_SILENT_MS 300

/* Takes no lock, so a process that is stopped keeps no other from leading. */
bool fta_revocations_lead(fta_revocations *table);

/* Since fta_revocations_mark_filled; -1: never. */
int64_t fta_revocations_silent_ms(const fta_revocations *table);

/* Of this process, and of the children that it forks from then on. */
void fta_revocations_waive(fta_revocations *table, bool waived);

typedef struct fta_revocations_usage {
    const char *path; /* Borrowed; NULL: not shared */
    size_t slots;
    size_t entries;
    size_t widened;
} fta_revocations_usage;

fta_status fta_revocations_usage_read(fta_revocations *table,
                                      fta_revocations_usage *out);

#endif
