/* A table of revocations in shared memory: one writer at a time, and readers
 * that neither wait nor write.
 *
 * Layout. A header of one page, the heads of chains, then entries of three
 * cache lines. An entry is in the chain of its key: sessions and tokens of
 * their id, users of tenant and user, tenants of the tenant. So a token asks
 * for five keys at most, and most chains are empty. The hash is keyed, but it
 * decides about time alone: whole keys are compared.
 *
 * Writing. Whoever holds the lock, a robust mutex, writes. An entry is filled
 * first and linked then, by one store. It is changed in place to later times
 * only, one word each. Before entries leave their chains, and again before they
 * are used for others, the generation changes:
 *
 *     add      fill the entry; link it
 *     remove   change the generation; unlink; change the generation; free
 *     widen    link the wider entry; then remove those that it stands for
 *
 * Reading. Read the generation, walk the chains, read the generation again. If
 * it is the same, every entry that was in the table for that time was seen: an
 * entry that is reached was not used for another one meanwhile (that would have
 * changed the generation before its words), and one that was passed by because
 * it was unlinked was unlinked after a change, too. Otherwise read again; a
 * reader that never gets through denies the token (FTA_REVOCATIONS_UNKNOWN).
 * No reader ever waits for a writer, and a writer that stopped between any two
 * stores has left chains that are whole.
 *
 * A writer that is killed. The next one that takes the lock is told, and makes
 * the list of free entries anew from what the chains have. What was being added
 * is in a chain or was not reported as added. What was being widened is there
 * twice, or partly so, because the wider entry comes first. What was being
 * removed is gone or still there. So no state exists that admits a token which
 * was revoked before. tests/c/test_revocations_killed.c kills writers between
 * any two of their stores.
 *
 * What is judged. The time at which a session began is in its id, by the clock
 * of the store, which also sets the times of revocations. A token without such
 * a session is judged by its iat. An id whose time is ahead of our clock by
 * more than a minute says nothing. A widened entry stands for sessions that
 * nobody can tell any more: it denies what was issued before it was made, and
 * a refresh asks the store, which knows. */
#include "session/revocations_internal.h"

#include <math.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "session/uuid7.h"

/* How far the clocks of two hosts, or of a host and the store, may differ. */
#define SKEW_MS INT64_C(300000)
/* How far ahead of our clock a session may have begun. */
#define AHEAD_MS INT64_C(60000)
/* A reader that meets so many removals meanwhile gives up. */
#define MOST_TRIES 64

#define DIGEST_BYTES 32

static const fta_text kind_texts[] = {
#define X(name, text) {text, sizeof(text) - 1},
    FTA_REVOCATION_KIND_LIST(X)
#undef X
};
const fta_words fta_revocation_kinds = FTA_WORDS(kind_texts);

/* -- Keys ------------------------------------------------------------------ */

/* Both halves of the product: each depends on all bits of both factors. */
static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* What every key is hashed with. */
static inline uint64_t
hash_start(const uint64_t *secret, uint64_t domain)
{
    return secret[0] ^ domain;
}

static inline uint64_t
hash_more(const uint64_t *secret, uint64_t hash, const uint64_t words[2])
{
    return fold(words[0] ^ secret[1], words[1] ^ secret[2] ^ hash);
}

static inline uint64_t
hash_end(const uint64_t *secret, uint64_t hash)
{
    return fold(hash ^ secret[3], secret[1]);
}

uint64_t
fta_hash_of_pair(const fta_revocations *table, uint64_t domain,
                 const uint64_t a[2], const uint64_t b[2])
{
    const uint64_t *secret = table->header->secret;
    uint64_t hash = hash_start(secret, domain);
    hash = hash_more(secret, hash, a);
    hash = hash_more(secret, hash, b);
    return hash_end(secret, hash);
}

uint64_t
fta_hash_of_text(const fta_revocations *table, uint64_t domain, fta_text text)
{
    const uint64_t *secret = table->header->secret;
    uint64_t words[2];
    uint64_t hash = hash_start(secret, domain | (uint64_t)text.length << 8);
    size_t at = 0;
    for (; at + sizeof words <= text.length; at += sizeof words) {
        memcpy(words, text.data + at, sizeof words);
        hash = hash_more(secret, hash, words);
    }
    if (at < text.length) {
        words[0] = words[1] = 0;
        memcpy(words, text.data + at, text.length - at);
        hash = hash_more(secret, hash, words);
    }
    return hash_end(secret, hash);
}

void
fta_words_of_uuid(const fta_uuid *uuid, uint64_t out[2])
{
    memcpy(out, uuid->bytes, FTA_UUID_BYTES);
}

void
fta_words_of_text(fta_text text, uint64_t out[FTA_TEXT_WORDS])
{
    memset(out, 0, FTA_REVOCATION_ID_MAX);
    memcpy(out, text.data, text.length);
}

int64_t
fta_entry_until(const fta_revocations *table, int64_t at, int64_t ends_at)
{
    int64_t until = at + table->token_max_ms + SKEW_MS;
    return until < ends_at ? until : ends_at;
}

/* -- One token ------------------------------------------------------------- */

/* A question, and what was found so far. */
typedef struct search {
    fta_revocations *table;
    const fta_revocation_query *query;
    uint64_t tenant[2];
    int64_t now_ms;
    fta_status found;
    bool is_whole; /* no chain was longer than the table */
} search;

/* Of several reasons the one that says most. */
static void
note(search *s, fta_status reason)
{
    static const fta_status order[] = {
        FTA_OK, FTA_REFRESH_FIRST, FTA_ISSUED_AT_UNKNOWN, FTA_TOKEN_REVOKED};
    size_t known = 0, new = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        known = order[i] == s->found ? i : known;
        new = order[i] == reason ? i : new;
    }
    if (new > known) {
        s->found = reason;
    }
}

static bool
has_tenant(const search *s, const fta_revocation_entry *entry)
{
    return fta_load(&entry->tenant[0]) == s->tenant[0] &&
           fta_load(&entry->tenant[1]) == s->tenant[1];
}

static bool
has_text(const fta_revocation_entry *entry, uint64_t what, fta_text text)
{
    if (what >> FTA_WHAT_LENGTH_SHIFT != text.length) {
        return false;
    }
    uint64_t words[FTA_TEXT_WORDS];
    fta_words_of_text(text, words);
    for (size_t i = 0; i < (text.length + 7) / 8; i++) {
        if (fta_load(&entry->text[i]) != words[i]) {
            return false;
        }
    }
    return true;
}

/* By iat, which is in whole seconds mostly, rounded down. */
static fta_status
judge_by_issue(const search *s, int64_t at, fta_status reason)
{
    double issued_at = s->query->issued_at;
    if (issued_at * 1000 <= (double)at) {
        return reason;
    }
    return isnan(issued_at) || issued_at > s->query->now ? FTA_ISSUED_AT_UNKNOWN
                                                         : FTA_OK;
}

/* When its session began: the time in a UUID of version 7. */
static bool
read_began(const fta_revocation_query *query, int64_t *out)
{
    fta_uuid id;
    if (query->session.data == NULL ||
        !fta_uuid_parse(query->session.data, query->session.length, &id) ||
        id.bytes[6] >> 4 != 7) {
        return false;
    }
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id.bytes[i];
    }
    *out = ms;
    return (double)(ms - AHEAD_MS) <= query->now * 1000;
}

/* An entry that concerns the user, the tenant or everybody. */
static fta_status
judge(const search *s, const fta_revocation_entry *entry, uint64_t what)
{
    int64_t at = (int64_t)fta_load(&entry->at);
    if ((what & FTA_WHAT_WIDENED) != 0) {
        return judge_by_issue(s, at, FTA_REFRESH_FIRST);
    }
    fta_text session = s->query->session;
    if ((what & FTA_WHAT_EXCEPT) != 0 && session.data != NULL &&
        has_text(entry, what, session)) {
        return FTA_OK;
    }
    int64_t began_ms;
    if (read_began(s->query, &began_ms)) {
        return began_ms <= at ? FTA_TOKEN_REVOKED : FTA_OK;
    }
    return judge_by_issue(s, at, FTA_TOKEN_REVOKED);
}

static bool
is_over(const search *s, const fta_revocation_entry *entry)
{
    return fta_entry_until(s->table, (int64_t)fta_load(&entry->at),
                           (int64_t)fta_load(&entry->ends_at)) <= s->now_ms;
}

/* The next entry of a chain with this hash and kind, or NULL. */
typedef struct walk {
    uint64_t next;
    size_t steps;
} walk;

static walk
start(const search *s, uint64_t hash)
{
    return (walk){
        atomic_load_explicit(fta_head_of(s->table, hash), memory_order_acquire),
        0};
}

static const fta_revocation_entry *
next_of(search *s, walk *at, uint64_t hash, fta_revocation_kind kind,
        uint64_t *what)
{
    while (at->next != 0) {
        const fta_revocation_entry *entry = fta_entry_of(s->table, at->next);
        if (entry == NULL || at->steps++ > s->table->entry_count) {
            s->is_whole = false;
            return NULL;
        }
        at->next = fta_load(&entry->next);
        *what = fta_load(&entry->what);
        if (fta_load(&entry->hash) == hash && fta_kind_of(*what) == kind &&
            !is_over(s, entry)) {
            return entry;
        }
    }
    return NULL;
}

static bool
has_some(const search *s, size_t count)
{
    return fta_load(&s->table->header->counts[count]) != 0;
}

/* A session or a token by its id. It is denied whenever it was issued: an id
 * that is revoked never becomes another's. */
static void
find_text(search *s, fta_revocation_kind kind, fta_text text)
{
    uint64_t what = 0, hash = fta_hash_of_text(s->table, kind, text);
    walk at = start(s, hash);
    const fta_revocation_entry *entry;
    while ((entry = next_of(s, &at, hash, kind, &what)) != NULL) {
        if (has_text(entry, what, text) &&
            ((what & FTA_WHAT_TENANT) == 0 || has_tenant(s, entry))) {
            note(s, FTA_TOKEN_REVOKED);
        }
    }
}

static void
find_user(search *s, const fta_uuid *user)
{
    uint64_t words[2], what = 0;
    fta_words_of_uuid(user, words);
    uint64_t hash =
        fta_hash_of_pair(s->table, FTA_REVOKED_USER, s->tenant, words);
    walk at = start(s, hash);
    const fta_revocation_entry *entry;
    while ((entry = next_of(s, &at, hash, FTA_REVOKED_USER, &what)) != NULL) {
        if (has_tenant(s, entry) && fta_load(&entry->user[0]) == words[0] &&
            fta_load(&entry->user[1]) == words[1]) {
            note(s, judge(s, entry, what));
        }
    }
}

static void
find_tenant(search *s)
{
    static const uint64_t nobody[2];
    uint64_t what = 0;
    uint64_t hash =
        fta_hash_of_pair(s->table, FTA_REVOKED_TENANT, s->tenant, nobody);
    walk at = start(s, hash);
    const fta_revocation_entry *entry;
    while ((entry = next_of(s, &at, hash, FTA_REVOKED_TENANT, &what)) != NULL) {
        if (has_tenant(s, entry)) {
            note(s, judge(s, entry, what));
        }
    }
}

static void
find_everything(search *s)
{
    static const uint64_t nobody[2];
    uint64_t what = 0;
    uint64_t hash =
        fta_hash_of_pair(s->table, FTA_REVOKED_EVERYTHING, nobody, nobody);
    walk at = start(s, hash);
    const fta_revocation_entry *entry;
    while ((entry = next_of(s, &at, hash, FTA_REVOKED_EVERYTHING, &what)) !=
           NULL) {
        note(s, judge(s, entry, what));
    }
}

#define DIGEST_TEXT (sizeof FTA_DIGEST_PREFIX - 1 + 43)

static fta_status
find_digest(search *s)
{
    const fta_revocation_query *query = s->query;
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT + 1];
    if (query->digest != NULL) {
        memcpy(digest, query->digest, sizeof digest);
    } else if (query->signed_part.data == NULL) {
        return FTA_OK;
    } else if (EVP_Digest(query->signed_part.data, query->signed_part.length,
                          digest, NULL, EVP_sha256(), NULL) != 1) {
        return FTA_CRYPTO;
    }
    memcpy(text, FTA_DIGEST_PREFIX, sizeof FTA_DIGEST_PREFIX);
    fta_base64url_encode(digest, sizeof digest,
                         text + sizeof FTA_DIGEST_PREFIX - 1);
    find_text(s, FTA_REVOKED_TOKEN, (fta_text){text, DIGEST_TEXT});
    return FTA_OK;
}

static bool
can_be_id(fta_text text)
{
    return text.data != NULL && text.length != 0 &&
           text.length <= FTA_REVOCATION_ID_MAX;
}

/* From the narrow to the wide. */
static fta_status
find_all(search *s)
{
    const fta_revocation_query *query = s->query;
    s->found = FTA_OK;
    s->is_whole = true;
    if (has_some(s, FTA_REVOKED_SESSION) && can_be_id(query->session)) {
        find_text(s, FTA_REVOKED_SESSION, query->session);
    }
    if (has_some(s, FTA_REVOKED_TOKEN) && can_be_id(query->jti)) {
        find_text(s, FTA_REVOKED_TOKEN, query->jti);
    }
    fta_status status = FTA_OK;
    if (has_some(s, FTA_COUNT_DIGEST)) {
        status = find_digest(s);
    }
    if (has_some(s, FTA_REVOKED_USER)) {
        find_user(s, query->user);
        if (query->actor != NULL) {
            find_user(s, query->actor);
        }
    }
    if (has_some(s, FTA_REVOKED_TENANT)) {
        find_tenant(s);
    }
    if (has_some(s, FTA_REVOKED_EVERYTHING)) {
        find_everything(s);
    }
    return status;
}

/* From when it was issued, or from now at the latest, to its end. */
static bool
lives_too_long(const fta_revocations *table, const fta_revocation_query *query)
{
    double start_s =
        query->issued_at < query->now ? query->issued_at : query->now;
    return (query->expires_at - start_s) * 1000 > (double)table->token_max_ms;
}

static bool
may_be_relied_on(fta_revocations *table)
{
    int64_t silent = fta_revocations_silent_ms(table);
    return (silent >= 0 && silent <= table->silent_max_ms) ||
           atomic_load_explicit(&table->waived, memory_order_relaxed);
}

fta_status
fta_revocations_check(fta_revocations *table, const fta_revocation_query *query)
{
    if (fta_has_left(table)) {
        return FTA_REVOCATIONS_UNKNOWN;
    }
    if (lives_too_long(table, query)) { /* never, where expires_at is NAN */
        return FTA_LIVES_TOO_LONG;
    }
    if (query->tenant == NULL) {
        return FTA_OK;
    }
    search s = {.table = table, .query = query};
    fta_words_of_uuid(query->tenant, s.tenant);
    s.now_ms = (int64_t)(query->now * 1000);
    for (int i = 0; i < MOST_TRIES; i++) {
        uint64_t generation = fta_load(&table->header->generation);
        fta_status status = find_all(&s);
        if (status != FTA_OK) {
            return status;
        }
        if (s.is_whole && fta_load(&table->header->generation) == generation) {
            if (s.found != FTA_OK) {
                return s.found;
            }
            return may_be_relied_on(table) ? FTA_OK : FTA_REVOCATIONS_UNKNOWN;
        }
    }
    return FTA_REVOCATIONS_UNKNOWN;
}
