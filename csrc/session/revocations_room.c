/* How a table that is full gets room: what has ended goes, then what matters to
 * no token any more, and then what is revoked widens.
 *
 * The sessions and tokens of a user become one entry of the user, what is
 * revoked in a tenant one of the tenant, and at last all become one of
 * everything. The fullest users and tenants go first. An entry that was widened
 * says when that was, and denies what was issued until then. */
#include "session/revocations_internal.h"

#include <string.h>

#include "base/clock.h"

/* What becomes free at least: this part of the table. So the next revocations
 * need no walk through all of it. */
#define ROOM_PART 32

/* How wide an entry may become. */
typedef enum entry_width { OF_USER, OF_TENANT, OF_ALL } entry_width;

typedef struct widening {
    entry_width width;
    int64_t now_ms;
    uint32_t fullest; /* how many are in the fullest group */
} widening;

/* Whether an entry is one of those that a wider one of this width stands for.
 * What was revoked as widely as that stays as precise as it is. */
static bool
is_of_width(const fta_revocation_entry *entry, entry_width width)
{
    uint64_t what = fta_load(&entry->what);
    fta_revocation_kind kind = fta_kind_of(what);
    bool is_widened = (what & FTA_WHAT_WIDENED) != 0;
    switch (width) {
    case OF_USER:
        return (what & FTA_WHAT_USER) != 0 &&
               (kind != FTA_REVOKED_USER || is_widened ||
                (what & FTA_WHAT_EXCEPT) != 0);
    case OF_TENANT:
        return (what & FTA_WHAT_TENANT) != 0 &&
               (kind != FTA_REVOKED_TENANT || is_widened);
    case OF_ALL:
        break;
    }
    return kind != FTA_REVOKED_EVERYTHING || is_widened;
}

static fta_revocation_kind
kind_of_width(entry_width width)
{
    return width == OF_USER     ? FTA_REVOKED_USER
           : width == OF_TENANT ? FTA_REVOKED_TENANT
                                : FTA_REVOKED_EVERYTHING;
}

/* Which group of this width an entry is in. */
typedef struct group_key {
    uint64_t tenant[2];
    uint64_t user[2];
} group_key;

static group_key
key_of(const fta_revocation_entry *entry, entry_width width)
{
    group_key key = {{0, 0}, {0, 0}};
    for (size_t i = 0; i < 2; i++) {
        key.tenant[i] = width == OF_ALL ? 0 : fta_load(&entry->tenant[i]);
        key.user[i] = width == OF_USER ? fta_load(&entry->user[i]) : 0;
    }
    return key;
}

static uint64_t
hash_of_key(const fta_revocations *table, const group_key *key,
            entry_width width)
{
    return fta_hash_of_pair(table, kind_of_width(width), key->tenant,
                            key->user);
}

/* The place of a group: where it is, or where it would be. There are twice as
 * many places as entries. */
static fta_revocation_group *
group_of(fta_revocations *table, const fta_revocation_entry *entry,
         entry_width width)
{
    group_key key = key_of(entry, width);
    size_t at = hash_of_key(table, &key, width) & (table->head_count - 1);
    for (;; at = (at + 1) & (table->head_count - 1)) {
        fta_revocation_group *group = &table->groups[at];
        if (group->entry == 0) {
            return group;
        }
        group_key other = key_of(&table->entries[group->entry - 1], width);
        if (memcmp(&key, &other, sizeof key) == 0) {
            return group;
        }
    }
}

static void
count_in_group(fta_revocations *table, fta_revocation_entry *entry,
               void *context)
{
    widening *w = context;
    if (!is_of_width(entry, w->width)) {
        return;
    }
    fta_revocation_group *group = group_of(table, entry, w->width);
    if (group->entry == 0) {
        group->entry = (uint32_t)(entry - table->entries) + 1;
    }
    group->count++;
    w->fullest = group->count > w->fullest ? group->count : w->fullest;
}

/* -- The wider entries ----------------------------------------------------- */

/* The widened entry of a group; NULL: there is none. */
static fta_revocation_entry *
find_widened(fta_revocations *table, const group_key *key, entry_width width)
{
    uint64_t hash = hash_of_key(table, key, width);
    fta_revocation_entry *entry =
        fta_entry_of(table, atomic_load(fta_head_of(table, hash)));
    for (; entry != NULL; entry = fta_entry_of(table, fta_load(&entry->next))) {
        uint64_t what = fta_load(&entry->what);
        group_key other = key_of(entry, width);
        if (fta_load(&entry->hash) == hash && (what & FTA_WHAT_WIDENED) != 0 &&
            fta_kind_of(what) == kind_of_width(width) &&
            memcmp(key, &other, sizeof *key) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* The widened entry of the group of an entry: a new one, which is not linked
 * yet, where there was none. NULL: there is no spare entry left. */
static fta_revocation_entry *
widened_of(fta_revocations *table, const fta_revocation_entry *member,
           const widening *w)
{
    group_key key = key_of(member, w->width);
    fta_revocation_entry *entry = find_widened(table, &key, w->width);
    if (entry != NULL) {
        return entry;
    }
    entry = fta_entry_take(table, true);
    if (entry == NULL) {
        return NULL;
    }
    uint64_t what = (uint64_t)kind_of_width(w->width) | FTA_WHAT_WIDENED;
    what |= w->width != OF_ALL ? FTA_WHAT_TENANT : 0;
    what |= w->width == OF_USER ? FTA_WHAT_USER : 0;
    fta_store_word(&entry->hash, hash_of_key(table, &key, w->width));
    fta_store_word(&entry->what, what);
    fta_store_word(&entry->at, 0);
    fta_store_word(&entry->ends_at, 0);
    for (size_t i = 0; i < 2; i++) {
        fta_store_word(&entry->tenant[i], key.tenant[i]);
        fta_store_word(&entry->user[i], key.user[i]);
    }
    for (size_t i = 0; i < FTA_TEXT_WORDS; i++) {
        fta_store_word(&entry->text[i], 0);
    }
    return entry;
}

/* Lets an entry deny what one that it stands for denies, as long. It is not
 * linked yet, or both are. */
static void
reach(fta_revocation_entry *wider, const fta_revocation_entry *member,
      const widening *w)
{
    fta_store_later(&wider->at, fta_load(&member->at));
    fta_store_later(&wider->at, (uint64_t)w->now_ms);
    fta_store_later(&wider->ends_at, fta_load(&member->ends_at));
}

static void
reach_member(fta_revocations *table, fta_revocation_entry *entry, void *context)
{
    const widening *w = context;
    group_key key = key_of(entry, w->width);
    fta_revocation_entry *wider = is_of_width(entry, w->width)
                                      ? find_widened(table, &key, w->width)
                                      : NULL;
    if (wider != NULL && wider != entry) {
        reach(wider, entry, w);
        table->marks[entry - table->entries] = true;
    }
}

/* Links the wider entries of the fullest groups, then removes those that they
 * stand for. Until then both deny. Returns how many it has removed. */
static size_t
widen_groups(fta_revocations *table, const widening *w, size_t wanted)
{
    size_t expected = 0;
    for (size_t i = 0; i < table->head_count && expected < wanted; i++) {
        const fta_revocation_group *group = &table->groups[i];
        if (group->count < 2 || group->count <= w->fullest / 2) {
            continue;
        }
        const fta_revocation_entry *member = &table->entries[group->entry - 1];
        fta_revocation_entry *wider = widened_of(table, member, w);
        if (wider == NULL) {
            break;
        }
        group_key key = key_of(member, w->width);
        if (find_widened(table, &key, w->width) == NULL) {
            reach(wider, member, w);
            fta_entry_link(table, wider);
        }
        expected += group->count - 1;
    }
    memset(table->marks, 0, table->entry_count * sizeof *table->marks);
    widening all = *w;
    fta_entries_each(table, reach_member, &all);
    return fta_entries_remove_marked(table);
}

/* Widens the fullest groups until so many entries are free. */
static void
widen(fta_revocations *table, entry_width width, size_t wanted, int64_t now_ms)
{
    while (table->header->free_count < wanted) {
        widening w = {width, now_ms, 0};
        memset(table->groups, 0, table->head_count * sizeof *table->groups);
        fta_entries_each(table, count_in_group, &w);
        if (w.fullest < 2 ||
            widen_groups(table, &w, wanted - table->header->free_count) == 0) {
            return;
        }
    }
}

/* -- What has ended -------------------------------------------------------- */

typedef struct sweep {
    int64_t now_ms;
    bool keeps_until_end; /* what no token meets stays till it ends */
} sweep;

static void
mark_ended(fta_revocations *table, fta_revocation_entry *entry, void *context)
{
    const sweep *s = context;
    int64_t ends_at = (int64_t)fta_load(&entry->ends_at);
    if (!s->keeps_until_end) {
        ends_at =
            fta_entry_until(table, (int64_t)fta_load(&entry->at), ends_at);
    }
    table->marks[entry - table->entries] = ends_at <= s->now_ms;
}

static void
remove_ended(fta_revocations *table, int64_t now_ms, bool keeps_until_end)
{
    sweep s = {now_ms, keeps_until_end};
    memset(table->marks, 0, table->entry_count * sizeof *table->marks);
    fta_entries_each(table, mark_ended, &s);
    (void)fta_entries_remove_marked(table);
}

void
fta_revocations_make_room(fta_revocations *table)
{
    int64_t now_ms = fta_clock_realtime_us() / 1000;
    size_t slots = table->entry_count - FTA_SPARE_ENTRIES;
    size_t wanted = FTA_SPARE_ENTRIES + (slots + ROOM_PART - 1) / ROOM_PART;
    remove_ended(table, now_ms, true);
    if (table->header->free_count < wanted) {
        remove_ended(table, now_ms, false);
    }
    for (int i = OF_USER; i <= OF_ALL; i++) {
        widen(table, (entry_width)i, wanted, now_ms);
    }
}
