/* A writer is killed between any two of its stores. What was revoked stays
 * revoked, what it reported as added is there, and no entry is lost. */
#include <stdlib.h>

#include "check.h"
#include "child.h"

static long stores_left = -1; /* -1: nobody is killed */
static int how = SIGUSR1;

static void
between_stores(void)
{
    if (stores_left >= 0 && stores_left-- == 0) {
        (void)kill(getpid(), how);
    }
}

#define FTA_BETWEEN_STORES() between_stores()
/* The files of the core themselves, with the stops. */
#include "session/revocations.c"
#include "session/revocations_lock.c"
#include "session/revocations_open.c"
#include "session/revocations_room.c"
#include "session/revocations_write.c"

#include "revocation_model.h"

#define SLOTS 16

static double
now_s(void)
{
    return (double)fta_clock_realtime_us() / 1e6;
}

static model_token
token_of(const model_revocation *r)
{
    model_token t = {.tenant = r->tenant, .user = r->user};
    t.issued_at = floor((double)r->at / 1000) - 5;
    (void)snprintf(t.session, sizeof t.session, "%s", r->text);
    t.began_ms = r->at - 5000;
    return t;
}

/* A table that is as full as can be, of three users. */
static fta_revocations *
full_table(void)
{
    model_count = 0;
    fta_revocations *table = model_open(SLOTS);
    CHECK(table != NULL);
    if (table == NULL) {
        exit(1);
    }
    CHECK(fta_revocations_mark_filled(table, (fta_text){"1", 1}) == FTA_OK);
    size_t room = table->entry_count - FTA_SPARE_ENTRIES;
    int64_t at = fta_clock_realtime_us() / 1000;
    for (size_t i = 0; i < room; i++) {
        model_revocation r = {
            .kind = i % 5 == 0 ? FTA_REVOKED_USER : FTA_REVOKED_SESSION,
            .at = at,
            .ends_at = at + TOKEN_MAX_MS,
            .tenant = (uint8_t)(1 + i % 2),
            .user = (uint8_t)(i % 5 == 0 ? 100 + i : 1 + i % 3)};
        if (r.kind == FTA_REVOKED_SESSION) {
            model_session(at - 5000, (unsigned)i, r.text);
        }
        CHECK(model_add(table, &r) == FTA_OK);
    }
    CHECK(table->header->free_count == FTA_SPARE_ENTRIES);
    return table;
}

static void
check_all_denied(fta_revocations *table)
{
    for (size_t i = 0; i < model_count; i++) {
        model_token t = token_of(&model_list[i]);
        CHECK(model_ask(table, &t, now_s()) != FTA_OK);
    }
    model_token other = {.tenant = 9, .user = 9, .issued_at = 1};
    CHECK(model_ask(table, &other, now_s()) == FTA_OK);
}

static void
check_none_lost(fta_revocations *table)
{
    fta_revocations_usage usage;
    CHECK(fta_revocations_usage_read(table, &usage) == FTA_OK);
    CHECK(usage.entries + table->header->free_count == table->entry_count);
    uint64_t counted = 0;
    for (size_t i = 0; i < FTA_REVOKED_COUNT; i++) {
        counted += fta_load(&table->header->counts[i]);
    }
    CHECK(counted == usage.entries);
}

static model_revocation
one_more(unsigned number)
{
    model_revocation r = {.kind = FTA_REVOKED_SESSION,
                          .at = fta_clock_realtime_us() / 1000,
                          .tenant = 1,
                          .user = 9};
    r.ends_at = r.at + TOKEN_MAX_MS;
    model_session(r.at - 5000, 1000 + number, r.text);
    return r;
}

/* True: the child was killed at that store; false: it had no so many. */
static bool
kill_at(fta_revocations *table, long store)
{
    model_revocation r = one_more(0);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGUSR1, SIG_DFL);
        stores_left = store;
        fta_status status = model_add(table, &r);
        stores_left = -1;
        child_leave(status == FTA_OK);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGUSR1 || WTERMSIG(status) == SIGKILL);
    if (WTERMSIG(status) == SIGKILL) {
        model_list[model_count++] = r; /* It reported success. */
        return false;
    }
    return true;
}

static void
test_a_writer_may_be_killed_at_any_store(void)
{
    long store = 0;
    for (bool killed = true; killed; store++) {
        fta_revocations *table = full_table();
        killed = kill_at(table, store);
        check_all_denied(table);
        model_revocation next = one_more(1);
        CHECK(model_add(table, &next) == FTA_OK);
        check_all_denied(table);
        check_none_lost(table);
        fta_revocations_close(table);
    }
    CHECK(store > 50); /* It widens. */
}

/* One after the other, in the same table: also those that repair. */
static void
test_writers_may_be_killed_again_and_again(void)
{
    fta_revocations *table = full_table();
    unsigned killed = 0;
    for (long i = 0; i < 600; i++) {
        killed += kill_at(table, i * 7 % 97);
        check_all_denied(table);
    }
    model_revocation next = one_more(2);
    CHECK(model_add(table, &next) == FTA_OK);
    check_all_denied(table);
    check_none_lost(table);
    CHECK(killed > 300);
    fta_revocations_close(table);
}

/* A stopped writer keeps others from writing, for a bounded time, and nobody
 * from asking or leading. */
static void
test_a_writer_that_is_stopped_makes_others_fail_in_time(void)
{
    fta_revocations *table = full_table();
    model_revocation r = one_more(4);
    pid_t child = fork();
    if (child == 0) {
        how = SIGSTOP;
        stores_left = 3;
        child_leave(model_add(table, &r) == FTA_OK);
    }
    int status;
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    int64_t started = fta_clock_monotonic_us();
    model_revocation other = one_more(5);
    CHECK(model_add(table, &other) == FTA_TABLE_LOCKED);
    model_count--;
    CHECK(fta_revocations_mark_filled(table, (fta_text){"2", 1}) ==
          FTA_TABLE_LOCKED);
    CHECK(fta_clock_monotonic_us() - started < 20000000);
    check_all_denied(table);
    CHECK(fta_revocations_lead(table));
    CHECK(kill(child, SIGCONT) == 0);
    CHECK(child_was_good(child));
    model_list[model_count++] = r;
    CHECK(model_add(table, &other) == FTA_OK);
    check_all_denied(table);
    check_none_lost(table);
    fta_revocations_close(table);
}

/* The comparison sees what is lost: a table that lacks its last entry. */
static void
test_an_entry_that_is_lost_is_seen(void)
{
    fta_revocations *table = full_table();
    model_list[model_count++] = one_more(3);
    model_token t = token_of(&model_list[model_count - 1]);
    CHECK(model_ask(table, &t, now_s()) == FTA_OK);
    fta_revocations_close(table);
}

int
main(void)
{
    test_a_writer_may_be_killed_at_any_store();
    test_writers_may_be_killed_again_and_again();
    test_a_writer_that_is_stopped_makes_others_fail_in_time();
    test_an_entry_that_is_lost_is_seen();
    return check_report("test_revocations_killed");
}
