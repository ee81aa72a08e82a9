#include "audit/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "check.h"
#include "directory.h"
#include "failing_alloc.h"

#define TEXT(literal) ((fta_text){literal, sizeof(literal) - 1})

static const fta_uuid tenant = {{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33,
                                 0x84, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55,
                                 0x55}};
static const fta_uuid user = {{0xAA, 0xAA, 0xAA, 0xAA, 0xBB, 0xBB, 0x4C, 0xCC,
                               0x8D, 0xDD, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE}};

static fta_audit_entry
entry_by(fta_text user_agent)
{
    return (fta_audit_entry){.method = TEXT("GET"),
                             .endpoint = TEXT("/api/accounts"),
                             .address = TEXT("192.0.2.7"),
                             .user_agent = user_agent,
                             .role = TEXT("admin"),
                             .tenant_id = &tenant,
                             .user_id = &user,
                             .http_status = 200};
}

/* The file as NUL-terminated text in static memory; "" if there is none. */
static const char *
content(const char *path)
{
    static char text[1 << 23]; /* 16,000 lines and more */
    size_t length = 0;
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        length = fread(text, 1, sizeof text - 1, file);
        CHECK(length < sizeof text - 1); /* It is the whole file. */
        (void)fclose(file);
    }
    text[length] = '\0';
    return text;
}

static bool
is_json(const char *line, size_t length)
{
    char copy[1 << 16];
    static const fta_json_seed seed = {{1, 2}};
    if (length > sizeof copy) {
        return false;
    }
    memcpy(copy, line, length);
    fta_json reader;
    fta_json_start(&reader, copy, length, &seed);
    fta_json_event event = {.kind = FTA_JSON_NULL};
    fta_status status = FTA_OK;
    while (status == FTA_OK && event.kind != FTA_JSON_END) {
        status = fta_json_next(&reader, &event);
    }
    fta_json_finish(&reader);
    return status == FTA_OK;
}

/* How many lines of the file are JSON; *broken is how many are not. */
static long
good_lines(const char *path, long *broken)
{
    long good = 0;
    *broken = 0;
    const char *line = content(path);
    while (*line != '\0') {
        const char *end = strchr(line, '\n');
        size_t length = end == NULL ? strlen(line) : (size_t)(end - line);
        if (end != NULL && is_json(line, length)) {
            good++;
        } else {
            (*broken)++;
        }
        line += length + (end != NULL ? 1 : 0);
    }
    return good;
}

static fta_status
status_of(fta_text destination, fta_audit_log **log)
{
    return fta_audit_log_open(&(fta_audit_options){.destination = destination},
                              log);
}

static fta_audit_log *
open_log(const char *path)
{
    fta_audit_log *log = NULL;
    CHECK(status_of((fta_text){path, strlen(path)}, &log) == FTA_OK);
    return log;
}

static fta_audit_outcome
write_one(fta_audit_log *log)
{
    fta_audit_entry entry = entry_by(TEXT("curl/8.5"));
    return fta_audit_log_write(log, &entry);
}

static void
test_a_line_has_each_field_of_its_entry(void)
{
    fta_audit_log *log = open_log("log");
    fta_audit_entry entry = entry_by(TEXT("curl/8.5"));
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    fta_audit_entry unknown = {.method = TEXT("POST"),
                               .endpoint = TEXT("/"),
                               .reason = TEXT("expired"),
                               .http_status = 401};
    CHECK(fta_audit_log_write(log, &unknown).change == FTA_AUDIT_UNCHANGED);
    unknown.http_status = 7;
    CHECK(fta_audit_log_write(log, &unknown).change == FTA_AUDIT_UNCHANGED);
    const char *text = content("log");
    CHECK(strncmp(text, "{\"time\":\"20", 11) == 0);
    CHECK(strstr(text,
                 "Z\",\"method\":\"GET\",\"endpoint\":\"/api/accounts\","
                 "\"status\":200,"
                 "\"user_id\":\"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\","
                 "\"tenant_id\":\"11111111-2222-4333-8444-555555555555\","
                 "\"role\":\"admin\",\"ip\":\"192.0.2.7\","
                 "\"user_agent\":\"curl/8.5\",\"reason\":null}\n{") != NULL);
    CHECK(strstr(text, "\"method\":\"POST\",\"endpoint\":\"/\",\"status\":401,"
                       "\"user_id\":null,\"tenant_id\":null,\"role\":null,"
                       "\"ip\":null,\"user_agent\":null,"
                       "\"reason\":\"expired\"}\n") != NULL);
    CHECK(strstr(text, "\"status\":null,") != NULL);
    long broken;
    CHECK(good_lines("log", &broken) == 3 && broken == 0);
    struct stat file;
    CHECK(stat("log", &file) == 0 && (file.st_mode & 07777) == 0640);
    fta_audit_log_close(log);
}

static void
test_times_are_those_of_the_calendar(void)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } moments[] = {
        {0, "1970-01-01T00:00:00."},
        {68169599, "1972-02-28T23:59:59."},
        {68169600, "1972-02-29T00:00:00."},
        {94694399, "1972-12-31T23:59:59."},
        {951782400, "2000-02-29T00:00:00."},
        {951868800, "2000-03-01T00:00:00."},
        {1795447681, "2026-11-23T15:28:01."},
        {4107542399, "2100-02-28T23:59:59."},
        {4107542400, "2100-03-01T00:00:00."},
        {253402300799, "9999-12-31T23:59:59."},
    };
    fta_audit_log *log = open_log("times");
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        /* In the middle of the second, so that a busy machine changes
         * nothing. */
        fta_clock_shift(
            moments[i].seconds * 1000000 + 500000 - fta_clock_realtime_us(), 0);
        (void)write_one(log);
        fta_clock_reset();
        CHECK(strstr(content("times"), moments[i].text) != NULL);
    }
    fta_audit_log_close(log);
}

static void
test_an_actor_stands_beside_the_user_of_its_line_only(void)
{
    char octets[4096];
    fta_audit_log *log = open_log("actor");
    fta_audit_entry entry = entry_by(TEXT("curl/8.5"));
    (void)fta_audit_log_write(log, &entry);
    CHECK(strstr(content("actor"), "actor\":") == NULL);
    entry.actor = TEXT("a\"b@example.com");
    (void)fta_audit_log_write(log, &entry);
    CHECK(strstr(content("actor"),
                 "\"user_id\":\"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\","
                 "\"tenant_id\":\"11111111-2222-4333-8444-555555555555\","
                 "\"role\":\"admin\","
                 "\"actor\":\"a\\\"b@example.com\",\"ip\":") != NULL);
    /* Octets that are escaped need more memory than the line has at first. */
    memset(octets, 1, sizeof octets);
    entry.actor = (fta_text){octets, sizeof octets};
    (void)fta_audit_log_write(log, &entry);
    long broken;
    CHECK(good_lines("actor", &broken) == 3 && broken == 0);
    fta_audit_log_close(log);
}

static void
test_any_octets_make_valid_json(void)
{
    fta_audit_log *log = open_log("octets");
    long wanted = 0;
    for (unsigned first = 0; first < 256; first++) {
        /* Against every lead octet, one of each class that may follow. */
        static const unsigned char seconds[] = {0x00, '"',  '\\', 'a',  0x7F,
                                                0x80, 0x9F, 0xA0, 0xBF, 0xC2,
                                                0xED, 0xF4, 0xFF};
        for (size_t i = 0; i < sizeof seconds; i++) {
            char text[] = {(char)first, (char)seconds[i], (char)0x80,
                           (char)0x80};
            for (size_t length = 1; length <= sizeof text; length++) {
                fta_audit_entry entry = entry_by((fta_text){text, length});
                (void)fta_audit_log_write(log, &entry);
                wanted++;
            }
        }
        long broken;
        CHECK(good_lines("octets", &broken) == wanted && broken == 0);
        CHECK(truncate("octets", 0) == 0);
        wanted = 0;
    }
    fta_audit_log_close(log);
}

static void
test_invisible_characters_are_escaped(void)
{
    static const struct {
        fta_text given;
        const char *written;
    } texts[] = {
        {TEXT(""), "\"user_agent\":\"\""},
        {TEXT("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {TEXT("one\r\ntwo\0"), "\"one\\u000d\\u000atwo\\u0000\""},
        {TEXT("\x1b[2J\x7f"), "\"\\u001b[2J\\u007f\""},
        {TEXT("\xc2\x9b"
              "2J"),
         "\"\\u009b2J\""},
        {TEXT("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80"),
         "\"J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {TEXT("a\xe2\x80\xa8"
              "b\xe2\x80\xa9"),
         "\"a\\u2028b\\u2029\""},
        {TEXT("\xe2\x80\xae"
              "evil\xe2\x81\xa9\xd8\x9c"),
         "\"\\u202eevil\\u2069\\u061c\""},
        {TEXT("\xef\xbb\xbf\xe2\x80\x8b\xef\xbf\xbf"),
         "\"\\ufeff\\u200b\\uffff\""},
        {TEXT("\xf3\xa0\x80\xa1\xf4\x8f\xbf\xbf"),
         "\"\\udb40\\udc21\\udbff\\udfff\""},
        {TEXT("\xe2\x80\xa7\xe2\x81\x9e\xf4\x8f\xbf\xbd"), /* beside them */
         "\"\xe2\x80\xa7\xe2\x81\x9e\xf4\x8f\xbf\xbd\""},
        {TEXT("\xc2\xa0\xe2\x80\x83\xe2\x81\x9f\xe2\xa0\x80\xe3\x80\x80"),
         "\"\\u00a0\\u2003\\u205f\\u2800\\u3000\""},
        {TEXT("J\xf6rg"), "\"J\\ufffdrg\""},
        {TEXT("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"),
         "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
    };
    fta_audit_log *log = open_log("escapes");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fta_audit_entry entry = entry_by(texts[i].given);
        (void)fta_audit_log_write(log, &entry);
        CHECK(strstr(content("escapes"), texts[i].written) != NULL);
    }
    fta_audit_log_close(log);
}

static void
test_a_long_line_is_written_or_lost_without_memory(void)
{
    enum { LONG = 10000 };
    static char octets[LONG];
    memset(octets, 0x01, sizeof octets);
    fta_audit_log *log = open_log("long");
    fta_audit_entry entry = entry_by((fta_text){octets, sizeof octets});
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_audit_outcome outcome = fta_audit_log_write(log, &entry);
        if (!failing_alloc_stop()) {
            CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 1);
            break;
        }
        CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == ENOMEM);
    }
    long broken;
    CHECK(good_lines("long", &broken) == 1 && broken == 0);
    CHECK(strlen(content("long")) > (size_t)6 * LONG);
    fta_audit_log_close(log);
}

static void
test_a_moved_file_is_opened_again(void)
{
    long broken;
    fta_audit_log *log = open_log("log");
    (void)write_one(log);
    CHECK(rename("log", "log.1") == 0);
    (void)write_one(log); /* within the second, no check */
    CHECK(good_lines("log.1", &broken) == 2 && broken == 0);
    fta_clock_shift(0, 1000001);
    (void)write_one(log);
    CHECK(good_lines("log.1", &broken) == 2);
    CHECK(good_lines("log", &broken) == 1 && broken == 0);

    CHECK(rename("log", "log.2") == 0);
    fta_audit_log_reopen(log);
    (void)write_one(log);
    CHECK(good_lines("log.2", &broken) == 1);
    CHECK(good_lines("log", &broken) == 1);

    CHECK(unlink("log") == 0);
    fta_audit_log_reopen(log);
    (void)write_one(log);
    CHECK(good_lines("log", &broken) == 1);
    CHECK(truncate("log", 0) == 0); /* what copytruncate does */
    (void)write_one(log);
    CHECK(good_lines("log", &broken) == 1 && broken == 0);
    fta_clock_reset();
    fta_audit_log_close(log);
}

static void
test_a_path_that_cannot_be_opened_keeps_the_old_file(void)
{
    long broken;
    CHECK(mkdir("logs", 0700) == 0);
    fta_audit_log *log = open_log("logs/log");
    CHECK(rename("logs", "gone") == 0);
    fta_audit_log_reopen(log);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_KEEPS_OLD_FILE &&
          outcome.error == ENOENT);
    fta_audit_log_reopen(log);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED); /* reported once */
    CHECK(good_lines("gone/log", &broken) == 2);         /* and not lost */
    CHECK(mkdir("logs", 0700) == 0);
    fta_audit_log_reopen(log);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    CHECK(good_lines("logs/log", &broken) == 1);
    CHECK(rename("logs", "gone again") == 0);
    fta_audit_log_reopen(log);
    CHECK(write_one(log).change ==
          FTA_AUDIT_KEEPS_OLD_FILE); /* reported again */
    fta_audit_log_close(log);
}

#ifdef __linux__
static void
test_a_full_device_loses_lines_and_is_reported_once(void)
{
    fta_audit_log *log = open_log("/dev/full");
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == ENOSPC);
    CHECK(outcome.status == FTA_SYSTEM);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    fta_audit_log_close(log);
}
#endif

static void
limit_files_to(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void
test_a_full_disk_loses_lines_and_is_reported_once(void)
{
    long broken;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    fta_audit_log *log = open_log("log");
    limit_files_to(0);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == EFBIG);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    limit_files_to(RLIM_INFINITY);
    CHECK(fta_audit_log_lost(log) == 3);
    outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 3);
    CHECK(fta_audit_log_lost(log) == 3); /* since the start, not in a row */
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    CHECK(good_lines("log", &broken) == 2 && broken == 0);
    fta_audit_log_close(log);
    (void)signal(SIGXFSZ, before);
}

/* --- What may stand at the path ------------------------------------------- */

static fta_status
status_of_opening(const char *path)
{
    fta_audit_log *log = NULL;
    fta_status status = status_of((fta_text){path, strlen(path)}, &log);
    CHECK((status == FTA_OK) == (log != NULL));
    fta_audit_log_close(log);
    return status;
}

static void
test_a_link_in_the_place_of_the_file_is_not_followed(void)
{
    CHECK(fclose(fopen("victim", "w")) == 0);
    CHECK(symlink("victim", "link") == 0);
    CHECK(symlink("nothing", "dangling") == 0);
    CHECK(status_of_opening("link") == FTA_AUDIT_SYMLINK);
    CHECK(status_of_opening("dangling") == FTA_AUDIT_SYMLINK);
    CHECK(access("nothing", F_OK) != 0); /* not made through the link */
    CHECK(link("victim", "second") == 0);
    CHECK(status_of_opening("victim") == FTA_AUDIT_HARD_LINK);
    CHECK(unlink("second") == 0);
    CHECK(status_of_opening("victim") == FTA_OK);
    /* Links in the names of directories are followed. */
    CHECK(mkdir("logs", 0700) == 0);
    CHECK(symlink("logs", "directory") == 0);
    CHECK(status_of_opening("directory/log") == FTA_OK);
    CHECK(access("logs/log", F_OK) == 0);
}

static void
make_link_to_victim(void)
{
    CHECK(symlink("victim", "log") == 0);
}

static void
make_link_to_the_log_itself(void)
{
    CHECK(symlink("log.1", "log") == 0);
}

static void
make_hard_link_to_victim(void)
{
    CHECK(link("victim", "log") == 0);
}

static void
make_pipe(void)
{
    CHECK(mkfifo("log", 0600) == 0);
}

static void
make_directory(void)
{
    CHECK(mkdir("log", 0700) == 0);
}

/* Only root can give a file away. */
static void
make_file_of_another(void)
{
    CHECK(fclose(fopen("log", "w")) == 0);
    CHECK(chown("log", 65534, 65534) == 0);
}

static void
test_only_a_file_of_its_own_may_replace_an_open_log(void)
{
    static const struct {
        void (*make)(void);
        fta_status status;
        int error;
    } cases[] = {
        {make_link_to_victim, FTA_AUDIT_SYMLINK, 0},
        {make_link_to_the_log_itself, FTA_AUDIT_SYMLINK, 0},
        {make_hard_link_to_victim, FTA_AUDIT_HARD_LINK, 0},
        {make_pipe, FTA_SYSTEM, ENXIO},
        {make_directory, FTA_SYSTEM, EISDIR},
        {make_file_of_another, FTA_AUDIT_OWNER, 0},
    };
    size_t count = sizeof cases / sizeof cases[0] - (geteuid() == 0 ? 0 : 1);
    long broken;
    for (size_t i = 0; i < count; i++) {
        CHECK(fclose(fopen("victim", "w")) == 0);
        fta_audit_log *log = open_log("log");
        CHECK(rename("log", "log.1") == 0);
        cases[i].make();
        fta_audit_log_reopen(log);
        fta_audit_outcome outcome = write_one(log);
        CHECK(outcome.change == FTA_AUDIT_KEEPS_OLD_FILE);
        CHECK(outcome.status == cases[i].status);
        CHECK(cases[i].error == 0 || outcome.error == cases[i].error);
        fta_audit_log_reopen(log);
        CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED); /* reported once */
        CHECK(good_lines("log.1", &broken) == 2 && broken == 0);
        CHECK(content("victim")[0] == '\0');
        /* A new file is used again. */
        CHECK(remove("log") == 0);
        fta_audit_log_reopen(log);
        CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
        CHECK(good_lines("log", &broken) == 1 && broken == 0);
        fta_audit_log_close(log);
        CHECK(unlink("log") == 0 && unlink("log.1") == 0);
        CHECK(unlink("victim") == 0);
    }
}

static void
test_a_file_of_another_user_is_not_opened(void)
{
    CHECK(status_of_opening("ours") == FTA_OK);
    if (geteuid() == 0) {
        CHECK(chown("ours", 65534, 65534) == 0);
        CHECK(status_of_opening("ours") == FTA_AUDIT_OWNER);
        pid_t child = fork();
        if (child == 0) { /* a file of root that others may write */
            bool good = chmod(".", 0777) == 0 && chown("ours", 0, 65534) == 0 &&
                        chmod("ours", 0620) == 0 && setgid(65534) == 0 &&
                        setuid(65534) == 0 &&
                        status_of_opening("ours") == FTA_OK;
            _exit(good ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
}

/* A pipe with a reader, put in the place of a file, is no file. */
static void
test_a_pipe_may_not_replace_a_file(void)
{
    fta_audit_log *log = open_log("log");
    CHECK(rename("log", "log.1") == 0);
    make_pipe();
    int reader = open("log", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(reader >= 0);
    fta_audit_log_reopen(log);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_KEEPS_OLD_FILE &&
          outcome.status == FTA_AUDIT_NO_FILE);
    fta_audit_log_close(log);
    /* A pipe that was opened first may be replaced by a pipe. */
    log = open_log("log");
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    char line[1000];
    CHECK(read(reader, line, sizeof line) > 100);
    CHECK(rename("log", "old pipe") == 0);
    make_pipe();
    int second = open("log", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(second >= 0);
    fta_audit_log_reopen(log);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    CHECK(read(second, line, sizeof line) > 100);
    fta_audit_log_close(log);
    CHECK(close(reader) == 0 && close(second) == 0);
}

static void
test_the_output_of_the_process_is_duplicated(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        fta_audit_log *log = open_log("/dev/stderr");
        fta_audit_log_reopen(log);
        bool good = write_one(log).change == FTA_AUDIT_UNCHANGED &&
                    (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0;
        fta_audit_log_close(log);
        good = good && fcntl(STDERR_FILENO, F_GETFD) >= 0; /* still open */
        _exit(good ? 0 : 1);
    }
    int status;
    char line[1000];
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    ssize_t length = read(ends[0], line, sizeof line);
    CHECK(length > 100 && line[length - 1] == '\n');
    CHECK(is_json(line, (size_t)length - 1));
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* A disk that becomes full in the middle of a line, and then has space. */
static void
test_the_line_after_a_torn_one_is_whole(void)
{
    long broken;
    struct rlimit before, small;
    fta_audit_log *log = open_log("torn");
    (void)write_one(log);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = (rlim_t)strlen(content("torn")) + 10;
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK(write_one(log).change == FTA_AUDIT_LOSING);
    CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 2);
    (void)write_one(log);
    /* The part of a line stands alone; both lines after it are whole. */
    CHECK(good_lines("torn", &broken) == 3 && broken == 1);
    fta_audit_log_close(log);
}

/* Appends all that is in a pipe now to *used octets of text. */
static void
read_pipe(int reader, char *text, size_t size, size_t *used)
{
    ssize_t length;
    while (*used < size &&
           (length = read(reader, text + *used, size - *used)) > 0) {
        *used += (size_t)length;
    }
}

/* Lines of over PIPE_BUF octets, so that the pipe takes a part of one. */
static void
test_a_pipe_whose_reader_is_too_slow_loses_lines_and_says_so(void)
{
    enum { LONG = 3 * PIPE_BUF };
    static char octets[LONG], text[1 << 23];
    size_t used = 0;
    long broken;
    memset(octets, 'a', sizeof octets);
    fta_audit_entry entry = entry_by((fta_text){octets, sizeof octets});
    CHECK(mkfifo("pipe", 0600) == 0);
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    fta_audit_log *log = open_log("pipe");
    fta_audit_outcome outcome = {.change = FTA_AUDIT_UNCHANGED};
    long whole = -1;
    for (; outcome.change == FTA_AUDIT_UNCHANGED && whole < 1000; whole++) {
        outcome = fta_audit_log_write(log, &entry);
    }
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == EAGAIN);
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    read_pipe(reader, text, sizeof text, &used);
    CHECK(whole > 0 && used > (size_t)whole * LONG);
    outcome = write_one(log);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 2);
    (void)write_one(log);
    read_pipe(reader, text, sizeof text, &used);
    FILE *copy = fopen("copy", "wb");
    CHECK(copy != NULL && fwrite(text, 1, used, copy) == used);
    CHECK(fclose(copy) == 0);
    /* The part of a line stands alone; all others are whole. */
    CHECK(good_lines("copy", &broken) == whole + 2 && broken == 1);
    fta_audit_log_close(log);
    CHECK(close(reader) == 0);
}

enum { THREADS = 8, LINES = 2000 };

static void *
write_many(void *log)
{
    for (int i = 0; i < LINES; i++) {
        CHECK(write_one(log).change == FTA_AUDIT_UNCHANGED);
    }
    return NULL;
}

static void
test_no_line_is_lost_while_threads_write_and_the_file_moves(void)
{
    fta_audit_log *log = open_log("0");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, write_many, log) == 0);
    }
    char name[16];
    int moves = 0;
    for (; moves < 50; moves++) {
        (void)snprintf(name, sizeof name, "%d", moves + 1);
        CHECK(rename("0", name) == 0 || errno == ENOENT);
        fta_audit_log_reopen(log);
        (void)usleep(1000);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    long total = 0;
    for (int i = 0; i <= moves; i++) {
        long broken;
        (void)snprintf(name, sizeof name, "%d", i);
        total += good_lines(name, &broken);
        CHECK(broken == 0);
    }
    CHECK(total == (long)THREADS * LINES);
    fta_audit_log_close(log);
}

static void
test_children_share_the_file(void)
{
    long broken;
    fta_audit_log *log = open_log("fork");
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            (void)write_many(log);
            _exit(0);
        }
    }
    int status;
    while (wait(&status) > 0) {
        CHECK(status == 0);
    }
    CHECK(good_lines("fork", &broken) == 4L * LINES && broken == 0);
    fta_audit_log_close(log);
}

static void
test_a_path_that_cannot_be_opened_is_an_error(void)
{
    fta_audit_log *log = NULL;
    CHECK(status_of(TEXT(""), &log) == FTA_BAD_ARGUMENT);
    CHECK(status_of(TEXT("a\0b"), &log) == FTA_BAD_ARGUMENT);
    CHECK(status_of(TEXT("nowhere/log"), &log) == FTA_SYSTEM);
    CHECK(errno == ENOENT);
    CHECK(status_of(TEXT("."), &log) == FTA_SYSTEM);
    CHECK(errno == EISDIR);
    CHECK(mkfifo("pipe", 0600) == 0);
    CHECK(status_of(TEXT("pipe"), &log) == FTA_SYSTEM);
    CHECK(errno == ENXIO);
    for (long n = 0;; n++) {
        failing_alloc_start(n);
        fta_status status = status_of(TEXT("log"), &log);
        if (!failing_alloc_stop()) {
            CHECK(n == 2 && status == FTA_OK);
            break;
        }
        CHECK(status == FTA_NO_MEMORY && log == NULL);
    }
    fta_audit_log_close(log);
    log = NULL;
    CHECK(log == NULL);
    fta_audit_log_close(NULL);
}

int
main(void)
{
    static void (*const tests[])(void) = {
        test_a_line_has_each_field_of_its_entry,
        test_times_are_those_of_the_calendar,
        test_an_actor_stands_beside_the_user_of_its_line_only,
        test_any_octets_make_valid_json,
        test_invisible_characters_are_escaped,
        test_a_long_line_is_written_or_lost_without_memory,
        test_a_moved_file_is_opened_again,
        test_a_path_that_cannot_be_opened_keeps_the_old_file,
#ifdef __linux__
        test_a_full_device_loses_lines_and_is_reported_once,
#endif
        test_a_full_disk_loses_lines_and_is_reported_once,
        test_a_link_in_the_place_of_the_file_is_not_followed,
        test_only_a_file_of_its_own_may_replace_an_open_log,
        test_a_file_of_another_user_is_not_opened,
        test_a_pipe_may_not_replace_a_file,
        test_the_output_of_the_process_is_duplicated,
        test_the_line_after_a_torn_one_is_whole,
        test_a_pipe_whose_reader_is_too_slow_loses_lines_and_says_so,
        test_no_line_is_lost_while_threads_write_and_the_file_moves,
        test_children_share_the_file,
        test_a_path_that_cannot_be_opened_is_an_error,
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        enter_directory();
        tests[i]();
        leave_directory();
    }
    return check_report("test_audit_log");
}
