#include "session/revocations_internal.h"

#include <string.h>

#include "base/clock.h"

/* What an entry is to say. */
typedef struct content {
    uint64_t hash;
    uint64_t what;
    uint64_t tenant[2];
    uint64_t user[2];
    uint64_t text[FTA_TEXT_WORDS];
} content;

static bool
has_id(const fta_revocation *revocation)
{
    return revocation->id.data != NULL && revocation->id.length > 0 &&
           revocation->id.length <= FTA_REVOCATION_ID_MAX;
}

/* Whether it has all that its kind needs, and times that can be. */
static bool
is_whole(const fta_revocation *r)
{
    if (r->at < 0 || r->at > FTA_REVOCATION_MS_MAX || r->ends_at < 0 ||
        r->ends_at > FTA_REVOCATION_MS_MAX || (r->has_user && !r->has_tenant) ||
        (r->except_session.data != NULL &&
         (r->kind != FTA_REVOKED_USER || r->except_session.length == 0 ||
          r->except_session.length > FTA_REVOCATION_ID_MAX))) {
        return false;
    }
    switch (r->kind) {
    case FTA_REVOKED_SESSION:
    case FTA_REVOKED_TOKEN:
        return has_id(r);
    case FTA_REVOKED_USER:
        return r->has_user && r->id.data == NULL;
    case FTA_REVOKED_TENANT:
        return r->has_tenant && !r->has_user && r->id.data == NULL;
    case FTA_REVOKED_EVERYTHING:
        return !r->has_tenant && r->id.data == NULL;
    case FTA_REVOKED_COUNT:
        break;
    }
    return false;
}

static content
content_of(const fta_revocations *table, const fta_revocation *r)
{
    content c;
    memset(&c, 0, sizeof c);
    fta_text text = r->kind == FTA_REVOKED_USER ? r->except_session : r->id;
    c.what = (uint64_t)r->kind;
    if (r->has_tenant) {
        c.what |= FTA_WHAT_TENANT;
        fta_words_of_uuid(&r->tenant, c.tenant);
    }
    if (r->has_user) {
        c.what |= FTA_WHAT_USER;
        fta_words_of_uuid(&r->user, c.user);
    }
    if (text.data != NULL) {
        c.what |= (uint64_t)text.length << FTA_WHAT_LENGTH_SHIFT;
        c.what |= r->kind == FTA_REVOKED_USER ? FTA_WHAT_EXCEPT : 0;
        fta_words_of_text(text, c.text);
    }
    size_t prefix = sizeof FTA_DIGEST_PREFIX - 1;
    if (r->kind == FTA_REVOKED_TOKEN && text.length > prefix &&
        memcmp(text.data, FTA_DIGEST_PREFIX, prefix) == 0) {
        c.what |= FTA_WHAT_DIGEST;
    }
    c.hash = has_id(r) ? fta_hash_of_text(table, r->kind, text)
                       : fta_hash_of_pair(table, r->kind, c.tenant, c.user);
    return c;
}

static bool
says(const fta_revocation_entry *entry, const content *c)
{
    bool same =
        fta_load(&entry->hash) == c->hash && fta_load(&entry->what) == c->what;
    for (size_t i = 0; i < 2 && same; i++) {
        same = fta_load(&entry->tenant[i]) == c->tenant[i] &&
               fta_load(&entry->user[i]) == c->user[i];
    }
    for (size_t i = 0; i < FTA_TEXT_WORDS && same; i++) {
        same = fta_load(&entry->text[i]) == c->text[i];
    }
    return same;
}

static fta_revocation_entry *
find(const fta_revocations *table, const content *c)
{
    fta_revocation_entry *entry =
        fta_entry_of(table, atomic_load(fta_head_of(table, c->hash)));
    while (entry != NULL && !says(entry, c)) {
        entry = fta_entry_of(table, fta_load(&entry->next));
    }
    return entry;
}

static void
fill_entry(fta_revocation_entry *entry, const content *c,
           const fta_revocation *r)
{
    fta_store_word(&entry->hash, c->hash);
    fta_store_word(&entry->what, c->what);
    fta_store_word(&entry->at, (uint64_t)r->at);
    fta_store_word(&entry->ends_at, (uint64_t)r->ends_at);
    for (size_t i = 0; i < 2; i++) {
        fta_store_word(&entry->tenant[i], c->tenant[i]);
        fta_store_word(&entry->user[i], c->user[i]);
    }
    for (size_t i = 0; i < FTA_TEXT_WORDS; i++) {
        fta_store_word(&entry->text[i], c->text[i]);
    }
}

/* Keeps the memory as long as a token may meet the revocation, also when all
 * processes end meanwhile. */
static void
keep(const fta_revocations *table, const fta_revocation *r)
{
    int64_t left = fta_entry_until(table, r->at, r->ends_at) -
                   fta_clock_realtime_us() / 1000;
    int64_t most = table->token_max_ms;
    left = left > most ? most : left;
    if (left > 0) {
        fta_segment_keep_until(table->segment,
                               fta_clock_monotonic_us() + left * 1000);
    }
}

fta_status
fta_revocations_add(fta_revocations *table, const fta_revocation *revocation)
{
    if (!is_whole(revocation)) {
        return FTA_BAD_ARGUMENT;
    }
    fta_status status = fta_revocations_lock(table);
    if (status != FTA_OK) {
        return status;
    }
    keep(table, revocation);
    content c = content_of(table, revocation);
    fta_revocation_entry *entry = find(table, &c);
    if (entry != NULL) {
        fta_store_later(&entry->at, (uint64_t)revocation->at);
        fta_store_later(&entry->ends_at, (uint64_t)revocation->ends_at);
    } else {
        entry = fta_entry_take(table, false);
        if (entry == NULL) {
            fta_revocations_make_room(table);
            entry = fta_entry_take(table, false);
        }
        if (entry != NULL) {
            fill_entry(entry, &c, revocation);
            fta_entry_link(table, entry);
        } else {
            status = FTA_SYSTEM; /* Only damaged memory has no room now. */
        }
    }
    fta_revocations_unlock(table);
    return status;
}

/* -- Copies ---------------------------------------------------------------- */

static fta_uuid
uuid_of(const _Atomic uint64_t words[2])
{
    fta_uuid uuid;
    const uint64_t loaded[2] = {fta_load(&words[0]), fta_load(&words[1])};
    memcpy(uuid.bytes, loaded, sizeof uuid.bytes);
    return uuid;
}

static void
copy_entry(const fta_revocation_entry *entry, fta_revocation_copy *out)
{
    uint64_t what = fta_load(&entry->what);
    size_t length = (size_t)(what >> FTA_WHAT_LENGTH_SHIFT);
    uint64_t words[FTA_TEXT_WORDS];
    for (size_t i = 0; i < FTA_TEXT_WORDS; i++) {
        words[i] = fta_load(&entry->text[i]);
    }
    memcpy(out->text, words, sizeof out->text);
    fta_text text = {length == 0 ? NULL : out->text, length};
    fta_text none = {NULL, 0};
    bool is_except = (what & FTA_WHAT_EXCEPT) != 0;
    out->revocation = (fta_revocation){
        .kind = fta_kind_of(what),
        .at = (int64_t)fta_load(&entry->at),
        .ends_at = (int64_t)fta_load(&entry->ends_at),
        .has_tenant = (what & FTA_WHAT_TENANT) != 0,
        .has_user = (what & FTA_WHAT_USER) != 0,
        .tenant = uuid_of(entry->tenant),
        .user = uuid_of(entry->user),
        .id = is_except ? none : text,
        .except_session = is_except ? text : none,
    };
}

typedef struct copying {
    fta_revocation_copy *out;
    size_t most;
    size_t count;
    int64_t now_ms;
} copying;

static void
copy_live(fta_revocations *table, fta_revocation_entry *entry, void *context)
{
    copying *c = context;
    (void)table;
    if (c->count < c->most &&
        (fta_load(&entry->what) & FTA_WHAT_WIDENED) == 0 &&
        (int64_t)fta_load(&entry->ends_at) > c->now_ms) {
        copy_entry(entry, &c->out[c->count++]);
    }
}

fta_status
fta_revocations_copy(fta_revocations *table, fta_revocation_copy *out,
                     size_t most, size_t *count)
{
    copying c = {out, most, 0, fta_clock_realtime_us() / 1000};
    *count = 0;
    fta_status status = fta_revocations_lock(table);
    if (status == FTA_OK) {
        fta_entries_each(table, copy_live, &c);
        fta_revocations_unlock(table);
        *count = c.count;
    }
    return status;
}

/* -- The position of the store --------------------------------------------- */

fta_status
fta_revocations_mark_filled(fta_revocations *table, fta_text position)
{
    if (position.length > FTA_REVOCATIONS_POSITION_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    fta_revocations_header *h = table->header;
    fta_status status = fta_revocations_lock(table);
    if (status == FTA_OK) {
        uint64_t other = fta_load(&h->selected) & 1 ? 0 : 1;
        memcpy(h->position[other], position.data, position.length);
        h->position_length[other] = position.length;
        fta_store_word(&h->selected, other);
        int64_t now_us = fta_clock_monotonic_us();
        atomic_store_explicit(&h->filled_us, now_us > 0 ? now_us : 1,
                              memory_order_release);
        fta_revocations_unlock(table);
    }
    return status;
}

fta_status
fta_revocations_position(fta_revocations *table,
                         char out[FTA_REVOCATIONS_POSITION_MAX], size_t *length)
{
    const fta_revocations_header *h = table->header;
    fta_status status = fta_revocations_lock(table);
    if (status == FTA_OK) {
        uint64_t selected = fta_load(&h->selected) & 1;
        uint64_t size = h->position_length[selected];
        *length = size > FTA_REVOCATIONS_POSITION_MAX ? 0 : (size_t)size;
        memcpy(out, h->position[selected], *length);
        fta_revocations_unlock(table);
    }
    return status;
}

/* -- For people ------------------------------------------------------------ */

static void
count_entry(fta_revocations *table, fta_revocation_entry *entry, void *context)
{
    fta_revocations_usage *usage = context;
    (void)table;
    usage->entries++;
    usage->widened += (fta_load(&entry->what) & FTA_WHAT_WIDENED) != 0;
}

fta_status
fta_revocations_usage_read(fta_revocations *table, fta_revocations_usage *out)
{
    *out = (fta_revocations_usage){
        .path = fta_segment_path(table->segment),
        .slots = table->entry_count - FTA_SPARE_ENTRIES,
    };
    fta_status status = fta_revocations_lock(table);
    if (status == FTA_OK) {
        fta_entries_each(table, count_entry, out);
        fta_revocations_unlock(table);
    }
    return status;
}
