#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "child.h"
#include "failing_alloc.h"
#include "revocation_model.h"

#define FILLED ((fta_text){"1", 1})

static int64_t
now_ms(void)
{
    return fta_clock_realtime_us() / 1000;
}

static double
now_s(void)
{
    return (double)fta_clock_realtime_us() / 1e6;
}

static fta_revocations *
filled_table(size_t slots)
{
    fta_revocations *table = model_open(slots);
    CHECK(table != NULL);
    if (table == NULL) {
        exit(check_report("test_revocations"));
    }
    CHECK(fta_revocations_mark_filled(table, FILLED) == FTA_OK);
    return table;
}

static unsigned seed = 1;

static unsigned
below(unsigned most)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % most;
}

/* -- A random history against the list --------------------------------------
 */

#define TENANTS 3
#define USERS 4
#define SESSIONS 60
#define POOL 400

typedef struct session {
    uint8_t tenant, user;
    char id[37];
    int64_t began_ms;
} session;

static session sessions[SESSIONS];
static model_token pool[POOL];
static size_t pool_size;
static unsigned numbers;

static void
begin_session(session *s)
{
    s->tenant = (uint8_t)(1 + below(TENANTS));
    s->user = (uint8_t)(1 + below(USERS));
    s->began_ms = now_ms();
    model_session(s->began_ms, ++numbers, s->id);
}

/* A token as the app issues it: of a session only if the store lets it be
 * refreshed. */
static void
issue(void)
{
    session *s = &sessions[below(SESSIONS)];
    model_token t = {.tenant = s->tenant,
                     .user = s->user,
                     .began_ms = s->began_ms,
                     .issued_at = floor(now_s()),
                     .dies_ms = now_ms() + TOKEN_MAX_MS - 1000};
    t.actor = below(8) == 0 ? (uint8_t)(1 + below(USERS)) : 0;
    if (below(3) != 0) {
        memcpy(t.session, s->id, sizeof t.session);
        if (model_check(&t, now_ms(), true) != FTA_OK) {
            begin_session(s);
            return;
        }
    }
    (void)snprintf(t.jti, sizeof t.jti, "jti-%u", ++numbers);
    t.jti[0] = below(5) == 0 ? '\0' : 'j';
    t.issued_at = below(10) == 0 ? NAN : t.issued_at;
    pool[pool_size < POOL ? pool_size++ : below(POOL)] = t;
}

static model_revocation
random_revocation(void)
{
    static const fta_revocation_kind kinds[] = {
        FTA_REVOKED_SESSION, FTA_REVOKED_SESSION, FTA_REVOKED_SESSION,
        FTA_REVOKED_TOKEN,   FTA_REVOKED_TOKEN,   FTA_REVOKED_USER};
    const model_token *t = &pool[below((unsigned)pool_size)];
    model_revocation r = {.kind = kinds[below(6)],
                          .at = now_ms(),
                          .ends_at = now_ms() + 2 * TOKEN_MAX_MS,
                          .tenant = t->tenant,
                          .user = t->user};
    unsigned rare = below(200);
    r.kind = rare == 0  ? FTA_REVOKED_EVERYTHING
             : rare < 4 ? FTA_REVOKED_TENANT
                        : r.kind;
    const char *text = r.kind == FTA_REVOKED_TOKEN ? t->jti : t->session;
    bool needs_text =
        r.kind == FTA_REVOKED_TOKEN || r.kind == FTA_REVOKED_SESSION;
    if (needs_text && text[0] == '\0') {
        r.kind = FTA_REVOKED_USER;
    } else if (needs_text || (r.kind == FTA_REVOKED_USER && below(2) == 0)) {
        (void)snprintf(r.text, sizeof r.text, "%s", text);
    }
    return r;
}

typedef struct history {
    size_t steps;
    size_t slots;
    bool forgets; /* The control: each 20th revocation is not added. */
    size_t denied, admitted, refresh_first, differing;
} history;

static void
compare(fta_revocations *table, history *h)
{
    for (size_t i = 0; i < pool_size; i++) {
        if (pool[i].dies_ms <= now_ms()) {
            pool[i] = pool[--pool_size];
            i--;
            continue;
        }
        double now = now_s();
        fta_status exact = model_check(&pool[i], (int64_t)(now * 1000), false);
        fta_status status = model_ask(table, &pool[i], now);
        h->denied += exact != FTA_OK;
        h->admitted += status == FTA_OK;
        h->refresh_first += status == FTA_REFRESH_FIRST;
        h->differing += h->slots > 10000 ? status != exact
                                         : exact != FTA_OK && status == FTA_OK;
    }
}

static void
run(history *h)
{
    fta_revocations *table = filled_table(h->slots);
    model_count = pool_size = 0;
    for (size_t i = 0; i < SESSIONS; i++) {
        begin_session(&sessions[i]);
    }
    for (size_t step = 0; step < h->steps; step++) {
        int64_t move_ms = below(50) == 0 ? 600000 : below(3000);
        fta_clock_shift(move_ms * 1000, 0);
        issue();
        if (pool_size > 0 && below(3) == 0 && model_count < MODEL_MAX) {
            model_revocation r = random_revocation();
            if (h->forgets && below(20) == 0) {
                model_list[model_count++] = r;
            } else {
                CHECK(model_add(table, &r) == FTA_OK);
            }
        }
        if (below(10) == 0) {
            compare(table, h);
        }
    }
    fta_revocations_close(table);
    fta_clock_reset();
}

static void
test_a_table_with_room_says_what_the_list_says(void)
{
    history h = {.steps = 3000, .slots = 16384};
    run(&h);
    CHECK(h.differing == 0);
    CHECK(h.denied > 1000 && h.admitted > 1000 && h.refresh_first == 0);
}

static void
test_a_full_table_admits_nothing_that_the_list_denies(void)
{
    static const size_t slots[] = {16, 30, 60};
    for (size_t i = 0; i < 3; i++) {
        history h = {.steps = 3000, .slots = slots[i]};
        run(&h);
        CHECK(h.differing == 0);
        CHECK(h.denied > 1000 && h.admitted > 100 && h.refresh_first > 10);
    }
}

static void
test_the_comparison_sees_a_revocation_that_is_missing(void)
{
    history full = {.steps = 3000, .slots = 40, .forgets = true};
    history roomy = {.steps = 3000, .slots = 16384, .forgets = true};
    run(&full);
    run(&roomy);
    CHECK(full.differing > 0 && roomy.differing > 0);
}

/* -- Cases ------------------------------------------------------------------
 */

static model_token
token_of(uint8_t tenant, uint8_t user, int64_t began_ms)
{
    model_token t = {.tenant = tenant, .user = user, .began_ms = began_ms};
    t.issued_at = floor(now_s()) - 5;
    if (began_ms != 0) {
        model_session(began_ms, ++numbers, t.session);
    }
    return t;
}

static model_revocation
revoked(fta_revocation_kind kind, uint8_t tenant, uint8_t user, int64_t at)
{
    return (model_revocation){.kind = kind,
                              .at = at,
                              .ends_at = at + 10 * TOKEN_MAX_MS,
                              .tenant = tenant,
                              .user = user};
}

static void
test_a_login_in_the_second_of_a_revocation_works(void)
{
    fta_revocations *table = filled_table(16);
    int64_t at = now_ms();
    model_revocation r = revoked(FTA_REVOKED_USER, 1, 2, at);
    CHECK(model_add(table, &r) == FTA_OK);
    model_token before = token_of(1, 2, at), after = token_of(1, 2, at + 1);
    after.issued_at = before.issued_at = (double)(at / 1000);
    CHECK(model_ask(table, &before, now_s()) == FTA_TOKEN_REVOKED);
    CHECK(model_ask(table, &after, now_s()) == FTA_OK);
    model_token other = token_of(1, 3, at - 1), elsewhere = token_of(2, 2, at);
    CHECK(model_ask(table, &other, now_s()) == FTA_OK);
    CHECK(model_ask(table, &elsewhere, now_s()) == FTA_OK);
    other.actor = 2;
    CHECK(model_ask(table, &other, now_s()) == FTA_TOKEN_REVOKED);
    /* A session from the future says nothing, so iat decides. */
    model_token future = token_of(1, 2, at + 120000);
    CHECK(model_ask(table, &future, now_s()) == FTA_TOKEN_REVOKED);
    fta_revocations_close(table);
}

static void
test_an_unknown_issue_is_denied_while_an_entry_concerns_it(void)
{
    fta_revocations *table = filled_table(16);
    model_token none = token_of(1, 2, 0), ahead = none, old = none;
    none.issued_at = NAN;
    ahead.issued_at = now_s() + 10;
    CHECK(model_ask(table, &none, now_s()) == FTA_OK);
    CHECK(model_ask(table, &ahead, now_s()) == FTA_OK);
    model_revocation r = revoked(FTA_REVOKED_TENANT, 1, 0, now_ms());
    CHECK(model_add(table, &r) == FTA_OK);
    CHECK(model_ask(table, &none, now_s()) == FTA_ISSUED_AT_UNKNOWN);
    CHECK(model_ask(table, &ahead, now_s()) == FTA_ISSUED_AT_UNKNOWN);
    CHECK(model_ask(table, &old, now_s()) == FTA_TOKEN_REVOKED);
    fta_clock_shift((TOKEN_MAX_MS + SKEW + 1000) * 1000, 0);
    none.issued_at = NAN;
    CHECK(model_ask(table, &none, now_s()) == FTA_OK);
    fta_clock_reset();
    fta_revocations_close(table);
}

static void
test_a_user_keeps_the_session_that_is_spared(void)
{
    fta_revocations *table = filled_table(16);
    int64_t began = now_ms() - 1000;
    model_token kept = token_of(1, 2, began), other = token_of(1, 2, began);
    model_revocation r = revoked(FTA_REVOKED_USER, 1, 2, now_ms());
    memcpy(r.text, kept.session, sizeof r.text);
    CHECK(model_add(table, &r) == FTA_OK);
    CHECK(model_ask(table, &kept, now_s()) == FTA_OK);
    CHECK(model_ask(table, &other, now_s()) == FTA_TOKEN_REVOKED);
    memcpy(r.text, other.session, sizeof r.text);
    CHECK(model_add(table, &r) == FTA_OK);
    CHECK(model_ask(table, &kept, now_s()) == FTA_TOKEN_REVOKED);
    fta_revocations_close(table);
}

static void
test_the_fullest_user_widens_first(void)
{
    fta_revocations *table = filled_table(16);
    fta_revocations_usage usage;
    CHECK(fta_revocations_usage_read(table, &usage) == FTA_OK);
    int64_t at = now_ms(), began = at - 5000;
    model_revocation single = revoked(FTA_REVOKED_SESSION, 1, 1, at);
    model_session(began, 1, single.text);
    CHECK(model_add(table, &single) == FTA_OK);
    for (unsigned i = 0; i < usage.slots; i++) {
        model_revocation r = revoked(FTA_REVOKED_SESSION, 1, 2, at);
        model_session(began, 100 + i, r.text);
        CHECK(model_add(table, &r) == FTA_OK);
    }
    model_token one = token_of(1, 1, began), another = one;
    memcpy(one.session, single.text, sizeof one.session);
    CHECK(model_ask(table, &one, now_s()) == FTA_TOKEN_REVOKED);
    CHECK(model_ask(table, &another, now_s()) == FTA_OK);
    model_token wide = token_of(1, 2, began);
    CHECK(model_ask(table, &wide, now_s()) == FTA_REFRESH_FIRST);
    /* A refresh later gives a token of the same session that passes. */
    fta_clock_shift(2000000, 0);
    wide.issued_at = floor(now_s());
    CHECK(model_ask(table, &wide, now_s()) == FTA_OK);
    fta_clock_reset();
    CHECK(fta_revocations_usage_read(table, &usage) == FTA_OK);
    CHECK(usage.widened == 1 && usage.entries < usage.slots);
    /* What was widened is not what anybody has revoked. */
    static fta_revocation_copy copies[64];
    size_t count;
    CHECK(fta_revocations_copy(table, copies, 64, &count) == FTA_OK);
    CHECK(count == usage.entries - 1);
    fta_revocations_close(table);
}

static void
test_what_has_ended_goes_before_anything_widens(void)
{
    fta_revocations *table = filled_table(16);
    fta_revocations_usage usage;
    for (unsigned i = 0; i < 100; i++) {
        fta_clock_shift(TOKEN_MAX_MS / 5 * 1000, 0);
        model_revocation r = revoked(FTA_REVOKED_SESSION, 1, 2, now_ms());
        model_session(now_ms(), i, r.text);
        CHECK(model_add(table, &r) == FTA_OK);
    }
    CHECK(fta_revocations_usage_read(table, &usage) == FTA_OK);
    CHECK(usage.widened == 0 && usage.entries > 4);
    fta_clock_reset();
    fta_revocations_close(table);
}

static void
test_a_token_that_lives_too_long_is_denied(void)
{
    fta_revocations *table = filled_table(16);
    fta_uuid id = model_uuid(1);
    double now = now_s(), most = (double)TOKEN_MAX_MS / 1000;
    fta_revocation_query q = {.tenant = &id,
                              .user = &id,
                              .issued_at = now - most + 10,
                              .expires_at = now + 10,
                              .now = now};
    CHECK(fta_revocations_check(table, &q) == FTA_OK);
    q.issued_at -= 1; /* It ends soon, but was issued long ago. */
    CHECK(fta_revocations_check(table, &q) == FTA_LIVES_TOO_LONG);
    q.issued_at = NAN;
    CHECK(fta_revocations_check(table, &q) == FTA_OK);
    q.expires_at = now + most + 1;
    CHECK(fta_revocations_check(table, &q) == FTA_LIVES_TOO_LONG);
    q.issued_at = now + 100; /* Which may be a lie. */
    CHECK(fta_revocations_check(table, &q) == FTA_LIVES_TOO_LONG);
    fta_revocations_close(table);
}

static void
test_a_table_that_is_not_filled_denies(void)
{
    fta_revocations *table = model_open(16);
    model_token t = token_of(1, 2, 0);
    CHECK(fta_revocations_silent_ms(table) == -1);
    CHECK(model_ask(table, &t, now_s()) == FTA_REVOCATIONS_UNKNOWN);
    CHECK(fta_revocations_mark_filled(table, FILLED) == FTA_OK);
    CHECK(model_ask(table, &t, now_s()) == FTA_OK);
    fta_clock_shift(0, 59 * 1000000);
    CHECK(model_ask(table, &t, now_s()) == FTA_OK);
    fta_clock_shift(0, 2 * 1000000);
    CHECK(model_ask(table, &t, now_s()) == FTA_REVOCATIONS_UNKNOWN);
    /* The clock that people set does not make it younger. */
    fta_clock_shift(-3600 * INT64_C(1000000), 0);
    CHECK(model_ask(table, &t, now_s()) == FTA_REVOCATIONS_UNKNOWN);
    fta_clock_reset();
    fta_clock_shift(0, 61 * 1000000);
    fta_revocations_waive(table, true);
    CHECK(model_ask(table, &t, now_s()) == FTA_OK);
    model_revocation r = revoked(FTA_REVOKED_EVERYTHING, 0, 0, now_ms());
    CHECK(model_add(table, &r) == FTA_OK);
    CHECK(model_ask(table, &t, now_s()) == FTA_TOKEN_REVOKED);
    fta_revocations_waive(table, false);
    fta_clock_reset();
    fta_revocations_leave(table);
    CHECK(model_ask(table, &t, now_s()) == FTA_REVOCATIONS_UNKNOWN);
    CHECK(model_add(table, &r) == FTA_CLOSED);
    fta_revocations_close(table);
}

static void
test_a_position_is_the_last_that_was_marked(void)
{
    fta_revocations *table = model_open(16);
    char position[FTA_REVOCATIONS_POSITION_MAX];
    char long_one[FTA_REVOCATIONS_POSITION_MAX + 1];
    size_t length = 7;
    memset(long_one, 'x', sizeof long_one);
    CHECK(fta_revocations_position(table, position, &length) == FTA_OK);
    CHECK(length == 0);
    for (size_t i = 0; i <= FTA_REVOCATIONS_POSITION_MAX; i += 64) {
        CHECK(fta_revocations_mark_filled(table, (fta_text){long_one, i}) ==
              FTA_OK);
        CHECK(fta_revocations_position(table, position, &length) == FTA_OK);
        CHECK(length == i && memcmp(position, long_one, i) == 0);
    }
    CHECK(fta_revocations_mark_filled(table,
                                      (fta_text){long_one, sizeof long_one}) ==
          FTA_BAD_ARGUMENT);
    fta_revocations_close(table);
}

static void
test_a_revocation_without_what_its_kind_needs_is_refused(void)
{
    fta_revocations *table = filled_table(16);
    char long_id[FTA_REVOCATION_ID_MAX + 1] = {0};
    fta_text id = {"x", 1}, too_long = {long_id, sizeof long_id},
             empty = {"", 0}, none = {NULL, 0};
    const fta_revocation wrong[] = {
        {.kind = FTA_REVOKED_SESSION},
        {.kind = FTA_REVOKED_SESSION, .id = too_long},
        {.kind = FTA_REVOKED_SESSION, .id = empty},
        {.kind = FTA_REVOKED_TOKEN},
        {.kind = FTA_REVOKED_USER, .has_tenant = true},
        {.kind = FTA_REVOKED_USER, .has_user = true},
        {.kind = FTA_REVOKED_TENANT},
        {.kind = FTA_REVOKED_TENANT, .has_tenant = true, .id = id},
        {.kind = FTA_REVOKED_TENANT, .has_tenant = true, .has_user = true},
        {.kind = FTA_REVOKED_EVERYTHING, .has_tenant = true},
        {.kind = FTA_REVOKED_EVERYTHING, .id = id},
        {.kind = FTA_REVOKED_SESSION, .id = id, .except_session = id},
        {.kind = FTA_REVOKED_EVERYTHING, .at = -1},
        {.kind = FTA_REVOKED_EVERYTHING, .ends_at = FTA_REVOCATION_MS_MAX + 1},
        {.kind = FTA_REVOKED_COUNT, .id = none},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(fta_revocations_add(table, &wrong[i]) == FTA_BAD_ARGUMENT);
    }
    fta_revocations_usage usage;
    CHECK(fta_revocations_usage_read(table, &usage) == FTA_OK);
    CHECK(usage.entries == 0);
    fta_revocations_close(table);
}

static void
test_one_process_leads_until_it_is_silent(void)
{
    fta_revocations *table = filled_table(16);
    CHECK(fta_revocations_lead(table));
    pid_t child = fork();
    if (child == 0) {
        bool good = !fta_revocations_lead(table);
        fta_clock_shift(0, 250000);
        good = good && !fta_revocations_lead(table);
        fta_clock_shift(0, 100000);
        good = good && fta_revocations_lead(table);
        child_leave(good);
    }
    CHECK(child_was_good(child));
    /* The child leads, by a clock that is ahead by less than is silence. */
    fta_clock_shift(0, 349000);
    CHECK(!fta_revocations_lead(table));
    fta_clock_shift(0, 400000);
    CHECK(fta_revocations_lead(table));
    fta_clock_reset();
    fta_revocations_close(table);
}

static void
test_processes_with_one_name_share_the_table(void)
{
    char directory[] = "/tmp/fta-revocations-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    const fta_revocations_options options = {.name = {"a", 1},
                                             .slots = 100,
                                             .shared = true,
                                             .directory = directory,
                                             .token_max_ms = TOKEN_MAX_MS,
                                             .silent_max_ms = 60000};
    fta_revocations_options other = options;
    other.name = (fta_text){"b", 1};
    fta_revocations *a, *b, *c;
    int unshared;
    CHECK(fta_revocations_open(&options, &a, &unshared) == FTA_OK);
    CHECK(fta_revocations_open(&options, &b, &unshared) == FTA_OK);
    CHECK(fta_revocations_open(&other, &c, &unshared) == FTA_OK);
    CHECK(unshared == 0);
    model_revocation r = revoked(FTA_REVOKED_USER, 1, 2, now_ms() - 1000);
    r.ends_at = now_ms(); /* So nothing is to be kept. */
    model_token t = token_of(1, 2, 0);
    CHECK(fta_revocations_mark_filled(a, FILLED) == FTA_OK);
    CHECK(fta_revocations_mark_filled(c, FILLED) == FTA_OK);
    CHECK(model_add(a, &r) == FTA_OK);
    double then = (double)(r.ends_at - 500) / 1000;
    CHECK(model_ask(b, &t, then) == FTA_TOKEN_REVOKED);
    CHECK(model_ask(c, &t, then) == FTA_OK);
    fta_revocations_close(a);
    CHECK(model_ask(b, &t, then) == FTA_TOKEN_REVOKED);
    fta_revocations_close(b);
    fta_revocations_close(c);
    CHECK(rmdir(directory) == 0); /* The files are gone. */
}

static void
test_every_allocation_may_fail(void)
{
    const fta_revocations_options options = {
        .slots = 16, .token_max_ms = 1, .silent_max_ms = 1};
    for (long n = 0;; n++) {
        fta_revocations *table = NULL;
        int unshared;
        failing_alloc_start(n);
        fta_status status = fta_revocations_open(&options, &table, &unshared);
        if (!failing_alloc_stop()) {
            CHECK(status == FTA_OK && n > 2);
            fta_revocations_close(table);
            return;
        }
        CHECK(status == FTA_NO_MEMORY && table == NULL);
    }
}

/* -- Threads -----------------------------------------------------------------
 */

typedef struct crew {
    fta_revocations *table;
    atomic_bool stop;
    atomic_long denied, unknown, admitted, added;
    model_token always[3];
    model_token never;
} crew;

static void *
read_always(void *argument)
{
    crew *c = argument;
    while (!atomic_load(&c->stop)) {
        for (size_t i = 0; i < 3; i++) {
            fta_status status = model_ask(c->table, &c->always[i], now_s());
            atomic_fetch_add(status == FTA_OK ? &c->admitted : &c->denied, 1);
        }
        fta_status status = model_ask(c->table, &c->never, now_s());
        atomic_fetch_add(&c->unknown, status != FTA_OK);
    }
    return NULL;
}

static void *
write_always(void *argument)
{
    crew *c = argument;
    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        fta_revocation r = {.kind = FTA_REVOKED_SESSION,
                            .at = now_ms(),
                            .has_tenant = true,
                            .has_user = true,
                            .tenant = model_uuid(7),
                            .user = model_uuid(i % 8)};
        char id[24];
        r.id = (fta_text){
            id, (size_t)snprintf(id, sizeof id, "%p-%u", (void *)&r, i)};
        r.ends_at = i % 2 == 0 ? 1 : now_ms() + TOKEN_MAX_MS;
        CHECK(fta_revocations_add(c->table, &r) == FTA_OK);
        atomic_fetch_add(&c->added, 1);
    }
    return NULL;
}

static void
test_readers_meet_no_gap_while_writers_sweep_and_widen(void)
{
    crew c = {.table = filled_table(64)};
    int64_t at = now_ms();
    static const fta_revocation_kind kinds[] = {
        FTA_REVOKED_SESSION, FTA_REVOKED_USER, FTA_REVOKED_TENANT};
    for (size_t i = 0; i < 3; i++) {
        c.always[i] = token_of((uint8_t)(i + 1), 2, at - 1000);
        model_revocation r = revoked(kinds[i], (uint8_t)(i + 1), 2, at);
        if (i == 0) {
            memcpy(r.text, c.always[0].session, sizeof r.text);
        }
        CHECK(model_add(c.table, &r) == FTA_OK);
    }
    c.never = token_of(9, 9, at);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL,
                             i < 2 ? read_always : write_always, &c) == 0);
    }
    int64_t enough = now_ms() + 1500, end = enough + 120000;
    while (now_ms() < enough ||
           ((atomic_load(&c.denied) <= 1000 || atomic_load(&c.added) <= 500) &&
            now_ms() < end)) {
        (void)usleep(10000);
    }
    atomic_store(&c.stop, true);
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    CHECK(atomic_load(&c.admitted) == 0);
    CHECK(atomic_load(&c.denied) > 1000 && atomic_load(&c.added) > 500);
    /* Seldom a reader gives up, and denies: while a writer that holds the lock
     * has no core. */
    CHECK(atomic_load(&c.unknown) * 4 < atomic_load(&c.denied));
    fta_revocations_close(c.table);
}

int
main(void)
{
    test_a_table_with_room_says_what_the_list_says();
    test_a_full_table_admits_nothing_that_the_list_denies();
    test_the_comparison_sees_a_revocation_that_is_missing();
    test_a_login_in_the_second_of_a_revocation_works();
    test_an_unknown_issue_is_denied_while_an_entry_concerns_it();
    test_a_user_keeps_the_session_that_is_spared();
    test_the_fullest_user_widens_first();
    test_what_has_ended_goes_before_anything_widens();
    test_a_token_that_lives_too_long_is_denied();
    test_a_table_that_is_not_filled_denies();
    test_a_position_is_the_last_that_was_marked();
    test_a_revocation_without_what_its_kind_needs_is_refused();
    test_one_process_leads_until_it_is_silent();
    test_processes_with_one_name_share_the_table();
    test_every_allocation_may_fail();
    test_readers_meet_no_gap_while_writers_sweep_and_widen();
    return check_report("test_revocations");
}
