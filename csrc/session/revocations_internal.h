/* May be included by csrc/session/revocations*.c alone. The parts of the table;
 * the head of revocations.c says how they work together. */
#ifndef FTA_SESSION_REVOCATIONS_INTERNAL_H
#define FTA_SESSION_REVOCATIONS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/segment.h"
#include "session/revocations.h"

/* A lock hidden in an emulated atomic would be private to each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are needed");

/* A test kills a writer here, between any two stores to shared memory. */
#ifndef FTA_BETWEEN_STORES
#define FTA_BETWEEN_STORES() ((void)0)
#endif

/* -- Layout ---------------------------------------------------------------- */

#define FTA_TEXT_WORDS (FTA_REVOCATION_ID_MAX / 8)

/* entry.what = text length 8 | ... | has except | has user | has tenant |
 * widened | kind 4 */
#define FTA_WHAT_KIND UINT64_C(0xF)
#define FTA_WHAT_WIDENED (UINT64_C(1) << 4)
#define FTA_WHAT_TENANT (UINT64_C(1) << 5)
#define FTA_WHAT_USER (UINT64_C(1) << 6)
#define FTA_WHAT_EXCEPT (UINT64_C(1) << 7)
#define FTA_WHAT_DIGEST (UINT64_C(1) << 8)
#define FTA_WHAT_LENGTH_SHIFT 56

typedef struct fta_revocation_entry {
    _Atomic uint64_t hash;
    _Atomic uint64_t next; /* A reference; 0: the last of its chain. */
    _Atomic uint64_t what;
    _Atomic uint64_t at;
    _Atomic uint64_t ends_at;
    _Atomic uint64_t tenant[2];
    _Atomic uint64_t user[2];
    _Atomic uint64_t text[FTA_TEXT_WORDS]; /* The id, or except_session. */
    uint64_t unused[3];
} fta_revocation_entry;

_Static_assert(sizeof(fta_revocation_entry) == 192,
               "an entry is three cache lines");

/* The id of a token without a jti: this, and its digest in base64url. */
#define FTA_DIGEST_PREFIX "sha256:"

/* What is counted: entries by kind, and tokens by their digest. */
#define FTA_COUNT_DIGEST FTA_REVOKED_COUNT
#define FTA_COUNTS (FTA_REVOKED_COUNT + 1)

/* An entry is named by its number and 1. 0 names none. */
typedef struct fta_revocations_header {
    uint64_t secret[4];
    uint64_t entry_count; /* with the spare ones */
    uint64_t head_count;  /* a power of two */
    uint64_t pad_to_line[2];
    /* Changes before an entry leaves its chain, and before it is used again. */
    _Atomic uint64_t generation;
    _Atomic uint64_t counts[FTA_COUNTS]; /* At least what is linked. */
    _Atomic int64_t filled_us;           /* Monotonic; 0: never. */
    /* The leader in the high half, when it was heard in the low half. */
    _Atomic uint64_t leader;
    uint64_t pad_to_other_line[7];
    /* All below belongs to whoever holds the lock. */
    pthread_mutex_t lock;
    uint64_t first_free;
    uint64_t free_count;
    _Atomic uint64_t selected; /* of the two positions */
    uint64_t position_length[2];
    char position[2][FTA_REVOCATIONS_POSITION_MAX];
} fta_revocations_header;

#define FTA_REVOCATIONS_HEADER_BYTES ((size_t)4096)

_Static_assert(sizeof(fta_revocations_header) <= FTA_REVOCATIONS_HEADER_BYTES,
               "the header is one page");

/* Changes with everything that is in shared memory. The layouts of the counters
 * of limits are small numbers. */
#define FTA_REVOCATIONS_LAYOUT 0x52000001u

/* Entries that no revocation but a widened one takes: it is linked before those
 * that it stands for leave. */
#define FTA_SPARE_ENTRIES 64u

/* Of fta_revocations.writers: the table was left. The memory with the lock in
 * it is given up by whoever leaves, or by the last writer where some are
 * inside: a thread that has the lock then still has the memory it is in. A
 * child that was forked while one of them wrote never gives it up before it
 * ends. */
#define FTA_LEFT (UINT32_C(1) << 31)

struct fta_revocations {
    fta_segment *segment;           /* Owned */
    fta_revocations_header *header; /* Borrowed: inside the segment. */
    _Atomic uint32_t *heads;        /* Borrowed: inside the segment. */
    fta_revocation_entry *entries;  /* Borrowed: inside the segment. */
    size_t entry_count;
    size_t head_count;
    int64_t token_max_ms;
    int64_t silent_max_ms;
    uint64_t nonce; /* of this object, for its place as a leader */
    atomic_bool waived;
    /* How many threads have the lock or wait for it, and FTA_LEFT. */
    _Atomic uint32_t writers;
    /* Owned; for whoever holds the lock. */
    bool *marks;                         /* of each entry */
    struct fta_revocation_group *groups; /* as many as heads */
};

/* -- Accesses --------------------------------------------------------------
 *
 * Every load acquires and every store releases. So whoever reads a value that
 * was stored after a change of the generation reads that generation, too. */

static inline uint64_t
fta_load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void
fta_store_word(_Atomic uint64_t *word, uint64_t value)
{
    FTA_BETWEEN_STORES();
    atomic_store_explicit(word, value, memory_order_release);
}

static inline bool
fta_has_left(const fta_revocations *table)
{
    return (atomic_load(&table->writers) & FTA_LEFT) != 0;
}

/* Times only become later. */
static inline void
fta_store_later(_Atomic uint64_t *word, uint64_t ms)
{
    if (fta_load(word) < ms) {
        fta_store_word(word, ms);
    }
}

/* An entry by its reference; NULL for 0, and for a reference that only damaged
 * memory has. */
static inline fta_revocation_entry *
fta_entry_of(const fta_revocations *table, uint64_t reference)
{
    return reference - 1 < table->entry_count ? &table->entries[reference - 1]
                                              : NULL;
}

static inline _Atomic uint32_t *
fta_head_of(const fta_revocations *table, uint64_t hash)
{
    return &table->heads[hash & (table->head_count - 1)];
}

static inline fta_revocation_kind
fta_kind_of(uint64_t what)
{
    return (fta_revocation_kind)(what & FTA_WHAT_KIND);
}

/* -- Keys ------------------------------------------------------------------ */

/* Whose chain an entry is in: words of ids, or a text. */
uint64_t fta_hash_of_pair(const fta_revocations *table, uint64_t domain,
                          const uint64_t a[2], const uint64_t b[2]);
uint64_t fta_hash_of_text(const fta_revocations *table, uint64_t domain,
                          fta_text text);

/* A UUID as two words, and a text of up to FTA_REVOCATION_ID_MAX octets as
 * words whose rest is 0. */
void fta_words_of_uuid(const fta_uuid *uuid, uint64_t out[2]);
void fta_words_of_text(fta_text text, uint64_t out[FTA_TEXT_WORDS]);

/* -- Writing --------------------------------------------------------------- */

/* FTA_TABLE_LOCKED after some seconds, FTA_CLOSED once the table was left.
 * Repairs what a writer that was killed has left. */
fta_status fta_revocations_lock(fta_revocations *table);
void fta_revocations_unlock(fta_revocations *table);

/* Makes the lock of a new table. */
fta_status fta_revocations_make_lock(fta_revocations_header *header);

/* Removes entries, or widens some, until a revocation fits. The caller holds
 * the lock. */
void fta_revocations_make_room(fta_revocations *table);

/* The entry of a free place, which is then the caller's. NULL: only spare ones
 * are left, and may_use_spare is false; or none. */
fta_revocation_entry *fta_entry_take(fta_revocations *table,
                                     bool may_use_spare);

/* Links an entry whose words are filled. */
void fta_entry_link(fta_revocations *table, fta_revocation_entry *entry);

/* Unlinks and frees every entry whose mark is set; returns how many. */
size_t fta_entries_remove_marked(fta_revocations *table);

/* Calls use for each entry that is linked. */
typedef void fta_entry_use(fta_revocations *table, fta_revocation_entry *entry,
                           void *context);
void fta_entries_each(fta_revocations *table, fta_entry_use *use,
                      void *context);

/* A group of entries that may widen: the number of one of them, and 1. */
typedef struct fta_revocation_group {
    uint32_t entry; /* 0: none */
    uint32_t count;
} fta_revocation_group;

/* When an entry is of no matter to any token any more. */
int64_t fta_entry_until(const fta_revocations *table, int64_t at,
                        int64_t ends_at);

#endif
