#include "audit/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/chained.h"
#include "audit/head.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "check.h"
#include "directory.h"
#include "failing_alloc.h"

#define TEXT(literal) ((fta_text){literal, sizeof(literal) - 1})

/* A seed of 32 octets and the key of an HMAC of 32. */
static char key_octets[FTA_AUDIT_KEY + 1] =
    "the seed of the first key.......the MAC of the first key........";
static char other_octets[FTA_AUDIT_KEY + 1] =
    "the seed of another key.........the MAC of another key..........";
static fta_audit_key *key;

/* --- Files ---------------------------------------------------------------- */

typedef struct content {
    char text[1 << 20];
    size_t length;
} content;

static void
read_file(const char *path, content *out)
{
    FILE *file = fopen(path, "rb");
    out->length = 0;
    if (file != NULL) {
        out->length = fread(out->text, 1, sizeof out->text, file);
        CHECK(out->length < sizeof out->text);
        (void)fclose(file);
    }
}

static void
write_file(const char *path, const char *text, size_t length)
{
    /* In place, so that the inode stays. */
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && write(file, text, length) == (ssize_t)length);
    CHECK(close(file) == 0);
}

static off_t
size_of(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? found.st_size : 0;
}

/* --- The log -------------------------------------------------------------- */

static fta_status
open_with(const fta_text *keys, size_t count, fta_audit_log **log)
{
    return fta_audit_log_open(&(fta_audit_options){.destination = TEXT("log"),
                                                   .keys = keys,
                                                   .key_count = count},
                              log);
}

static fta_audit_log *
open_log(void)
{
    fta_text keys = {key_octets, FTA_AUDIT_KEY};
    fta_audit_log *log = NULL;
    CHECK(open_with(&keys, 1, &log) == FTA_OK);
    return log;
}

static fta_audit_outcome
write_one(fta_audit_log *log)
{
    static const fta_uuid user = {{1}};
    fta_audit_entry entry = {
        .method = TEXT("GET"),
        .endpoint = TEXT("/api/accounts"),
        .address = TEXT("192.0.2.7"),
        .user_agent = TEXT("a \",\"n\":7,\"personal\":\" b"),
        .role = TEXT("admin"),
        .tenant_id = &user,
        .user_id = &user,
        .http_status = 200,
    };
    return fta_audit_log_write(log, &entry);
}

static bool
writes(fta_audit_log *log)
{
    return write_one(log).change == FTA_AUDIT_UNCHANGED;
}

/* --- Verification --------------------------------------------------------- */

static fta_audit_finding
verify_text(fta_audit_verifier *verifier, const char *text, size_t length)
{
    const char *end = text + length;
    fta_audit_verifier_file(verifier);
    while (text < end) {
        const char *feed = memchr(text, '\n', (size_t)(end - text));
        if (feed == NULL) {
            return fta_audit_verifier_cut_line(verifier);
        }
        fta_audit_finding finding = fta_audit_verifier_line(
            verifier, (fta_text){text, (size_t)(feed - text)});
        if (finding != FTA_AUDIT_FOUND_NOTHING) {
            return finding;
        }
        text = feed + 1;
    }
    return FTA_AUDIT_FOUND_NOTHING;
}

static fta_audit_head
head_now(void)
{
    content found;
    fta_audit_head head = {.n = 0};
    read_file("log.head", &found);
    CHECK(fta_audit_head_read((fta_text){found.text, found.length}, &key, 1,
                              &head));
    return head;
}

/* Whether the files, the oldest first, are the whole chain: so many lines. */
static bool
is_whole(uint64_t lines, const char *const *paths, size_t count)
{
    static content found;
    fta_audit_verifier verifier;
    fta_audit_verifier_start(&verifier, &key, 1);
    for (size_t i = 0; i < count; i++) {
        read_file(paths[i], &found);
        fta_audit_finding finding =
            verify_text(&verifier, found.text, found.length);
        if (finding != FTA_AUDIT_FOUND_NOTHING) {
            fprintf(stderr, "%s:%llu: %s\n", paths[i],
                    (unsigned long long)verifier.line,
                    fta_audit_finding_text(finding));
            return false;
        }
    }
    fta_audit_head head = head_now();
    return verifier.first == 1 && verifier.n == lines && head.n == lines &&
           head.intended == 0 &&
           memcmp(verifier.digest, head.digest, FTA_AUDIT_DIGEST) == 0;
}

static bool
log_is_whole(uint64_t lines)
{
    static const char *const path[] = {"log"};
    return is_whole(lines, path, 1);
}

static bool
both_are_whole(uint64_t lines)
{
    static const char *const paths[] = {"log.1", "log"};
    return is_whole(lines, paths, 2);
}

/* --- Tests ---------------------------------------------------------------- */

/* RFC 8032, section 7.1, test 2; RFC 4231, section 4.3. */
static void
test_the_algorithms_are_those_of_the_rfcs(void)
{
    static const uint8_t seed[] = {
        0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
        0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
        0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
    static const uint8_t public_start[] = {0x3d, 0x40, 0x17, 0xc3};
    static const uint8_t signature_start[] = {0x92, 0xa0, 0x09, 0xa9};
    static const uint8_t mac_start[] = {0x5b, 0xdc, 0xc1, 0x46};
    char octets[FTA_AUDIT_KEY] = {0};
    uint8_t signature[FTA_AUDIT_SIGNATURE], mac[FTA_AUDIT_DIGEST];
    fta_audit_key *made = NULL, *public = NULL;
    memcpy(octets, seed, sizeof seed);
    memcpy(octets + sizeof seed, "Jefe", 4);
    CHECK(fta_audit_key_make((fta_text){octets, sizeof octets}, &made) ==
          FTA_OK);
    CHECK(memcmp(fta_audit_key_public_octets(made), public_start, 4) == 0);
    CHECK(fta_audit_key_sign(made, (fta_text){"\x72", 1}, signature) == FTA_OK);
    CHECK(memcmp(signature, signature_start, 4) == 0);
    CHECK(fta_audit_key_mac(made, TEXT("what do ya want for nothing?"), mac));
    CHECK(memcmp(mac, mac_start, 4) == 0);

    CHECK(fta_audit_key_public(
              (fta_text){(const char *)fta_audit_key_public_octets(made),
                         FTA_AUDIT_PUBLIC},
              &public) == FTA_OK);
    CHECK(fta_audit_key_verifies(public, (fta_text){"\x72", 1}, signature));
    CHECK(!fta_audit_key_verifies(public, (fta_text){"\x73", 1}, signature));
    CHECK(fta_audit_key_sign(public, (fta_text){"\x72", 1}, signature) ==
          FTA_BAD_ARGUMENT);
    fta_audit_key_free(public);
    fta_audit_key_free(made);
    made = NULL;
    CHECK(fta_audit_key_make(TEXT("short"), &made) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_key_public(TEXT("short"), &made) == FTA_BAD_ARGUMENT);
    CHECK(made == NULL);
}

static void
test_lines_are_a_chain_over_moved_files(void)
{
    fta_audit_log *log = open_log();
    CHECK(writes(log) && writes(log));
    CHECK(rename("log", "log.1") == 0);
    CHECK(writes(log) && writes(log)); /* at once, not within a second */
    CHECK(both_are_whole(6));          /* each file begins with its own line */
    CHECK(size_of("log") > 0);
    fta_audit_log_close(log);
    log = open_log();
    CHECK(writes(log));
    CHECK(both_are_whole(7));
    fta_audit_log_close(log);
}

static void
test_a_chain_begins_after_lines_without_one(void)
{
    write_file("log", "{\"old\":1}\nhalf a li", 19);
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    CHECK(log_is_whole(2));
    fta_audit_log_close(log);
    /* What stood before is counted, octet by octet. */
    content found;
    fta_audit_verifier verifier;
    read_file("log", &found);
    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text + 1, found.length - 1) ==
          FTA_AUDIT_FOUND_BEGINNING);
    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text, found.length) ==
              FTA_AUDIT_FOUND_NOTHING &&
          verifier.before == 2);
}

static void
test_a_chain_is_signed_every_hour(void)
{
    static content found;
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    fta_clock_shift((int64_t)3590 * 1000000, 0);
    CHECK(writes(log));
    CHECK(log_is_whole(3));
    fta_clock_shift((int64_t)20 * 1000000, 0);
    CHECK(writes(log));
    CHECK(log_is_whole(5));
    read_file("log", &found);
    CHECK(strstr(found.text, "\"event\":\"signed\",\"n\":4,") != NULL);
    fta_clock_shift(-(int64_t)3600 * 1000000, 0); /* a clock that was stepped */
    CHECK(writes(log));
    CHECK(log_is_whole(7));
    fta_clock_reset();
    CHECK(fta_audit_log_note(log, "erased", 7) == FTA_OK);
    CHECK(fta_audit_log_note(log, "Erased", 7) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_log_note(log, "", 7) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_log_note(log, "abcdefghijklmnopq", 7) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_log_note(log, "a", UINT64_MAX) == FTA_BAD_ARGUMENT);
    fta_audit_log_close(log);
}

/* Every octet of a log, changed; every line removed, repeated and exchanged
 * with the next one; every end cut off. */
static void
test_every_change_of_one_octet_or_line_is_found(void)
{
    static content found, changed;
    fta_audit_log *log = open_log();
    for (int i = 0; i < 4; i++) {
        CHECK(writes(log));
    }
    CHECK(fta_audit_log_note(log, "signed", 0) == FTA_OK);
    CHECK(writes(log));
    CHECK(log_is_whole(7));
    fta_audit_log_close(log);
    read_file("log", &found);
    fta_audit_head head = head_now();
    fta_audit_verifier verifier;

    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text, found.length) ==
          FTA_AUDIT_FOUND_NOTHING); /* the control */
    for (size_t i = 0; i < found.length; i++) {
        changed = found;
        changed.text[i] ^= (char)(1 << (i % 7));
        fta_audit_verifier_start(&verifier, &key, 1);
        CHECK(verify_text(&verifier, changed.text, changed.length) !=
                  FTA_AUDIT_FOUND_NOTHING ||
              verifier.n != head.n);
        fta_audit_verifier_start(&verifier, &key, 1);
        CHECK(verify_text(&verifier, found.text, i) !=
                  FTA_AUDIT_FOUND_NOTHING ||
              verifier.n != head.n);
    }
    size_t lines[16], count = 0;
    for (size_t i = 0; i < found.length; i++) {
        if (i == 0 || found.text[i - 1] == '\n') {
            lines[count++] = i;
        }
    }
    CHECK(count == 7);
    lines[count] = found.length;
    for (size_t i = 0; i < count; i++) {
        size_t length = lines[i + 1] - lines[i];
        /* Removed. */
        memcpy(changed.text, found.text, lines[i]);
        memcpy(changed.text + lines[i], found.text + lines[i + 1],
               found.length - lines[i + 1]);
        fta_audit_verifier_start(&verifier, &key, 1);
        CHECK(verify_text(&verifier, changed.text, found.length - length) !=
                  FTA_AUDIT_FOUND_NOTHING ||
              verifier.n != head.n);
        /* Repeated. */
        memcpy(changed.text, found.text, lines[i + 1]);
        memcpy(changed.text + lines[i + 1], found.text + lines[i],
               found.length - lines[i]);
        fta_audit_verifier_start(&verifier, &key, 1);
        CHECK(verify_text(&verifier, changed.text, found.length + length) !=
              FTA_AUDIT_FOUND_NOTHING);
        if (i + 1 == count) {
            break;
        }
        /* Exchanged with the next one. */
        changed = found;
        size_t next = lines[i + 2] - lines[i + 1];
        memcpy(changed.text + lines[i], found.text + lines[i + 1], next);
        memcpy(changed.text + lines[i] + next, found.text + lines[i], length);
        fta_audit_verifier_start(&verifier, &key, 1);
        CHECK(verify_text(&verifier, changed.text, found.length) !=
              FTA_AUDIT_FOUND_NOTHING);
    }
}

/* Digests need no key, signatures do. */
static void
test_a_chain_that_somebody_else_made_is_found(void)
{
    static content found;
    fta_text keys = {other_octets, FTA_AUDIT_KEY};
    fta_audit_log *log = NULL;
    CHECK(open_with(&keys, 1, &log) == FTA_OK);
    CHECK(writes(log));
    fta_audit_log_close(log);
    read_file("log", &found);
    fta_audit_verifier verifier;
    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text, found.length) ==
          FTA_AUDIT_FOUND_SIGNATURE);
    /* Neither does such a head count. */
    keys.data = key_octets;
    CHECK(open_with(&keys, 1, &log) == FTA_AUDIT_HEAD);
}

static void
test_a_key_that_is_replaced_still_verifies(void)
{
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    fta_audit_log_close(log);
    const fta_text keys[] = {{other_octets, FTA_AUDIT_KEY},
                             {key_octets, FTA_AUDIT_KEY}};
    CHECK(open_with(keys, 2, &log) == FTA_OK);
    CHECK(writes(log));
    CHECK(fta_audit_log_note(log, "signed", 0) == FTA_OK);
    fta_audit_log_close(log);
    static content found;
    fta_audit_key *both[2] = {key, NULL};
    fta_audit_verifier verifier;
    CHECK(fta_audit_key_make(keys[0], &both[1]) == FTA_OK);
    read_file("log", &found);
    fta_audit_verifier_start(&verifier, both, 2);
    CHECK(verify_text(&verifier, found.text, found.length) ==
              FTA_AUDIT_FOUND_NOTHING &&
          verifier.n == 4);
    fta_audit_key_free(both[1]);
}

/* A kill after each step of a write: the head says what is intended, so many
 * octets of the line are written, the head is as before or says that it is
 * done. `moved`: the log is moved before somebody writes again. */
static void
check_kills(bool moved)
{
    static content before, after, head_before;
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    fta_audit_log_close(log);
    fta_audit_head start = head_now();
    read_file("log.head", &head_before);
    read_file("log", &before);
    log = open_log();
    CHECK(writes(log));
    fta_audit_log_close(log);
    fta_audit_head end = head_now();
    read_file("log", &after);

    fta_audit_head intent = start;
    intent.intended = end.offset - start.offset;
    memcpy(intent.intended_digest, end.digest, FTA_AUDIT_DIGEST);
    char octets[FTA_AUDIT_HEAD_OCTETS];
    CHECK(fta_audit_head_write(&intent, key, octets));
    for (size_t length = before.length; length <= after.length; length++) {
        bool whole = length == after.length;
        write_file("log", after.text, length);
        write_file("log.head", octets, sizeof octets);
        if (moved) {
            CHECK(rename("log", "log.1") == 0);
        }
        log = open_log();
        CHECK(writes(log));
        fta_audit_log_close(log);
        if (!moved) {
            CHECK(log_is_whole(whole ? 4 : 3));
            continue;
        }
        CHECK(both_are_whole(whole ? 5 : 4));
        CHECK(unlink("log") == 0 && rename("log.1", "log") == 0);
    }
}

static void
test_a_kill_at_any_moment_leaves_a_chain(void)
{
    check_kills(false);
}

static void
test_a_kill_at_any_moment_before_the_log_is_moved_leaves_a_chain(void)
{
    check_kills(true);
}

static void
test_a_full_disk_leaves_a_chain(void)
{
    struct rlimit before, small;
    (void)signal(SIGXFSZ, SIG_IGN);
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    off_t size = size_of("log");
    uint64_t lines = 2;
    for (off_t room = 0; room < 420; room += 7) {
        small = before;
        small.rlim_cur = (rlim_t)(size + room);
        CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
        CHECK(write_one(log).change == FTA_AUDIT_LOSING);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(size_of("log") == size);
        CHECK(log_is_whole(lines));
        fta_audit_outcome outcome = write_one(log);
        CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 1);
        CHECK(log_is_whole(++lines));
        size = size_of("log");
    }
    fta_audit_log_close(log);
}

/* A limit of the size of files that leaves no room even for the head. */
static void
test_a_head_that_cannot_be_written_whole_stays_as_it_was(void)
{
    struct rlimit before, small;
    (void)signal(SIGXFSZ, SIG_IGN);
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    for (rlim_t room = 0; room < FTA_AUDIT_HEAD_OCTETS; room++) {
        small = before;
        small.rlim_cur = room;
        CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
        (void)write_one(log);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(log_is_whole(2));
    }
    CHECK(write_one(log).change == FTA_AUDIT_RESUMED);
    CHECK(log_is_whole(3));
    fta_audit_log_close(log);
}

/* The last line of a file, put before the first one of the next file. */
static void
test_a_line_that_was_moved_over_the_end_of_a_file_is_found(void)
{
    static content found, next;
    fta_audit_verifier verifier;
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    CHECK(rename("log", "log.1") == 0);
    CHECK(writes(log));
    CHECK(both_are_whole(4));
    fta_audit_log_close(log);
    read_file("log.1", &found);
    read_file("log", &next);
    const char *first_end = memchr(found.text, '\n', found.length);
    size_t left = (size_t)(first_end + 1 - found.text);
    size_t line = found.length - left;
    memmove(next.text + line, next.text, next.length);
    memcpy(next.text, found.text + left, line);
    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text, left) == FTA_AUDIT_FOUND_NOTHING);
    CHECK(verify_text(&verifier, next.text, next.length + line) ==
          FTA_AUDIT_FOUND_BEGINNING);
}

/* A process that holds the lock and is stopped. */
static void
test_a_lock_that_is_held_loses_lines_and_is_waited_for_once(void)
{
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    int holder = open("log.head", O_RDWR);
    CHECK(flock(holder, LOCK_EX) == 0);
    int64_t begin = fta_clock_monotonic_us();
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == EAGAIN);
    CHECK(fta_clock_monotonic_us() - begin >= 50000);
    /* A thousand more do not take 50 ms each. */
    begin = fta_clock_monotonic_us();
    for (int i = 0; i < 1000; i++) {
        CHECK(writes(log)); /* no change: lines are still lost */
    }
    CHECK(fta_clock_monotonic_us() - begin < 1000 * 50000);
    CHECK(flock(holder, LOCK_UN) == 0 && close(holder) == 0);
    outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 1001);
    CHECK(log_is_whole(3));
    fta_audit_log_close(log);
}

static void
test_a_head_that_was_changed_begins_a_new_chain_and_is_reported(void)
{
    static content found;
    fta_audit_log *log = open_log();
    CHECK(writes(log));
    write_file("log.head", "nonsense", 8);
    CHECK(write_one(log).change == FTA_AUDIT_BEGINS_ANEW);
    CHECK(writes(log));
    read_file("log", &found);
    fta_audit_verifier verifier;
    fta_audit_verifier_start(&verifier, &key, 1);
    CHECK(verify_text(&verifier, found.text, found.length) !=
          FTA_AUDIT_FOUND_NOTHING);
    fta_audit_log_close(log);
    /* Nothing is written through a link, or where nothing may be made. */
    CHECK(unlink("log.head") == 0 && symlink("victim", "log.head") == 0);
    fta_text keys = {key_octets, FTA_AUDIT_KEY};
    CHECK(open_with(&keys, 1, &log) == FTA_SYSTEM && errno == ELOOP);
    CHECK(access("victim", F_OK) != 0);
}

enum { THREADS = 4, PROCESSES = 4, LINES = 100 };

static void *
write_many(void *log)
{
    for (int i = 0; i < LINES; i++) {
        (void)write_one(log);
    }
    return NULL;
}

static void
write_with_threads(fta_audit_log *log)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, write_many, log) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void
test_processes_and_threads_write_one_chain(void)
{
    fta_audit_log *log = open_log();
    int lost_of[2];
    CHECK(pipe(lost_of) == 0);
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        if (child == 0) {
            write_with_threads(log);
            uint64_t lost = fta_audit_log_lost(log);
            _exit(write(lost_of[1], &lost, sizeof lost) == sizeof lost ? 0 : 1);
        }
        CHECK(child > 0);
    }
    uint64_t lost = 0, of_one;
    int status;
    for (int i = 0; i < PROCESSES; i++) {
        CHECK(wait(&status) > 0 && status == 0);
        CHECK(read(lost_of[0], &of_one, sizeof of_one) == sizeof of_one);
        lost += of_one;
    }
    /* On a busy machine the lock may take too long. What is lost is counted. */
    CHECK(log_is_whole(1 + (uint64_t)PROCESSES * THREADS * LINES - lost));
    CHECK(close(lost_of[0]) == 0 && close(lost_of[1]) == 0);
    fta_audit_log_close(log);
}

static void
test_each_allocation_may_fail(void)
{
    fta_text keys = {key_octets, FTA_AUDIT_KEY};
    fta_audit_log *log = NULL;
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = open_with(&keys, 1, &log);
        if (!failing_alloc_stop()) {
            CHECK(status == FTA_OK && n == 4);
            break;
        }
        CHECK(status == FTA_NO_MEMORY && log == NULL);
    }
    static char octets[5000];
    fta_audit_entry entry = {.user_agent = {octets, sizeof octets},
                             .http_status = 200};
    failing_alloc_start(0);
    fta_audit_outcome outcome = fta_audit_log_write(log, &entry);
    CHECK(failing_alloc_stop());
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == ENOMEM);
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_RESUMED);
    CHECK(log_is_whole(2));
    fta_audit_log_close(log);
}

static void
test_only_a_regular_file_has_a_chain(void)
{
    fta_text keys = {key_octets, FTA_AUDIT_KEY};
    static const char *const paths[] = {"/dev/null", "/dev/stdout",
                                        "syslog:", "syslog://localhost",
                                        "journal:"};
    fta_audit_log *log = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        fta_audit_options options = {
            .destination = {paths[i], strlen(paths[i])},
            .keys = &keys,
            .key_count = 1};
        CHECK(fta_audit_log_open(&options, &log) == FTA_AUDIT_CHAIN_NO_FILE);
    }
    keys.length--;
    CHECK(open_with(&keys, 1, &log) == FTA_BAD_ARGUMENT);
    fta_text many[FTA_AUDIT_KEYS_MAX + 1] = {{NULL, 0}};
    CHECK(open_with(many, FTA_AUDIT_KEYS_MAX + 1, &log) == FTA_BAD_ARGUMENT);
    CHECK(log == NULL);
    CHECK(fta_audit_log_open(&(fta_audit_options){.destination = TEXT("log")},
                             &log) == FTA_OK);
    CHECK(fta_audit_log_note(log, "signed", 0) == FTA_AUDIT_CHAIN_NO_FILE);
    fta_audit_log_close(log);
}

int
main(void)
{
    static void (*const tests[])(void) = {
        test_the_algorithms_are_those_of_the_rfcs,
        test_lines_are_a_chain_over_moved_files,
        test_a_chain_begins_after_lines_without_one,
        test_a_chain_is_signed_every_hour,
        test_every_change_of_one_octet_or_line_is_found,
        test_a_chain_that_somebody_else_made_is_found,
        test_a_key_that_is_replaced_still_verifies,
        test_a_kill_at_any_moment_leaves_a_chain,
        test_a_kill_at_any_moment_before_the_log_is_moved_leaves_a_chain,
        test_a_full_disk_leaves_a_chain,
        test_a_head_that_cannot_be_written_whole_stays_as_it_was,
        test_a_line_that_was_moved_over_the_end_of_a_file_is_found,
        test_a_lock_that_is_held_loses_lines_and_is_waited_for_once,
        test_a_head_that_was_changed_begins_a_new_chain_and_is_reported,
        test_processes_and_threads_write_one_chain,
        test_each_allocation_may_fail,
        test_only_a_regular_file_has_a_chain,
    };
    CHECK(fta_audit_key_make((fta_text){key_octets, FTA_AUDIT_KEY}, &key) ==
          FTA_OK);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        enter_directory();
        tests[i]();
        leave_directory();
    }
    fta_audit_key_free(key);
    return check_report("test_audit_chain");
}
