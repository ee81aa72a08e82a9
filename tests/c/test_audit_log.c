#include "audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "failing_alloc.h"
#include "json.h"

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

/* Each test works in a directory of its own, which is the current one. */
static void
enter_directory(void)
{
    char name[] = "/tmp/test_audit_log-XXXXXX";
    CHECK(mkdtemp(name) != NULL);
    CHECK(chdir(name) == 0);
}

static void
leave_directory(void)
{
    char name[4096];
    CHECK(getcwd(name, sizeof name) != NULL);
    CHECK(system("rm -rf -- *") == 0);
    CHECK(chdir("/") == 0);
    CHECK(rmdir(name) == 0);
}

/* The file as NUL-terminated text in static memory; "" if there is none. */
static const char *
content(const char *path)
{
    static char text[1 << 22];
    size_t length = 0;
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        length = fread(text, 1, sizeof text - 1, file);
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

static fta_audit_log *
open_log(const char *path)
{
    fta_audit_log *log = NULL;
    CHECK(fta_audit_log_open((fta_text){path, strlen(path)}, &log) == FTA_OK);
    return log;
}

static fta_audit_outcome
write_one(fta_audit_log *log)
{
    fta_audit_entry entry = entry_by(TEXT("curl/8.5"));
    return fta_audit_log_write(log, &entry);
}

static void
test_a_line(void)
{
    fta_audit_log *log = open_log("log");
    fta_audit_entry entry = entry_by(TEXT("curl/8.5"));
    CHECK(fta_audit_log_write(log, &entry).news == FTA_AUDIT_NOTHING_NEW);
    fta_audit_entry unknown = {.method = TEXT("POST"),
                               .endpoint = TEXT("/"),
                               .reason = TEXT("expired"),
                               .http_status = 401};
    CHECK(fta_audit_log_write(log, &unknown).news == FTA_AUDIT_NOTHING_NEW);
    unknown.http_status = 7;
    CHECK(fta_audit_log_write(log, &unknown).news == FTA_AUDIT_NOTHING_NEW);
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
test_times(void)
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
        fta_clock_travel(
            moments[i].seconds * 1000000 + 500000 - fta_clock_realtime_us(), 0);
        (void)write_one(log);
        fta_clock_return();
        CHECK(strstr(content("times"), moments[i].text) != NULL);
    }
    fta_audit_log_close(log);
}

static void
test_every_octet_and_pair(void)
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
test_escapes(void)
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
test_a_long_line(void)
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
            CHECK(outcome.news == FTA_AUDIT_RESUMED && outcome.lost == 1);
            break;
        }
        CHECK(outcome.news == FTA_AUDIT_LOSING && outcome.error == ENOMEM);
    }
    long broken;
    CHECK(good_lines("long", &broken) == 1 && broken == 0);
    CHECK(strlen(content("long")) > (size_t)6 * LONG);
    fta_audit_log_close(log);
}

static void
test_rotation(void)
{
    long broken;
    fta_audit_log *log = open_log("log");
    (void)write_one(log);
    CHECK(rename("log", "log.1") == 0);
    (void)write_one(log); /* within the second, nobody looks */
    CHECK(good_lines("log.1", &broken) == 2 && broken == 0);
    fta_clock_travel(0, 1000001);
    (void)write_one(log);
    CHECK(good_lines("log.1", &broken) == 2);
    CHECK(good_lines("log", &broken) == 1 && broken == 0);

    CHECK(rename("log", "log.2") == 0);
    fta_audit_log_look(log);
    (void)write_one(log);
    CHECK(good_lines("log.2", &broken) == 1);
    CHECK(good_lines("log", &broken) == 1);

    CHECK(unlink("log") == 0);
    fta_audit_log_look(log);
    (void)write_one(log);
    CHECK(good_lines("log", &broken) == 1);
    CHECK(truncate("log", 0) == 0); /* what copytruncate does */
    (void)write_one(log);
    CHECK(good_lines("log", &broken) == 1 && broken == 0);
    fta_clock_return();
    fta_audit_log_close(log);
}

static void
test_a_directory_that_goes(void)
{
    long broken;
    CHECK(mkdir("logs", 0700) == 0);
    fta_audit_log *log = open_log("logs/log");
    CHECK(rename("logs", "gone") == 0);
    fta_audit_log_look(log);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.news == FTA_AUDIT_MOVED_OFF && outcome.error == ENOENT);
    fta_audit_log_look(log);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW); /* told already */
    CHECK(good_lines("gone/log", &broken) == 2);         /* and not lost */
    CHECK(mkdir("logs", 0700) == 0);
    fta_audit_log_look(log);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    CHECK(good_lines("logs/log", &broken) == 1);
    CHECK(rename("logs", "gone again") == 0);
    fta_audit_log_look(log);
    CHECK(write_one(log).news == FTA_AUDIT_MOVED_OFF); /* a new story */
    fta_audit_log_close(log);
}

#ifdef __linux__
static void
test_a_full_disk(void)
{
    long broken;
    CHECK(symlink("/dev/full", "log") == 0);
    fta_audit_log *log = open_log("log");
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.news == FTA_AUDIT_LOSING && outcome.error == ENOSPC);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    CHECK(unlink("log") == 0);
    fta_audit_log_look(log);
    outcome = write_one(log);
    CHECK(outcome.news == FTA_AUDIT_RESUMED && outcome.lost == 3);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    CHECK(good_lines("log", &broken) == 2 && broken == 0);
    fta_audit_log_close(log);
}
#endif

/* A disk that becomes full in the middle of a line, and has room again. */
static void
test_a_torn_line(void)
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
    CHECK(write_one(log).news == FTA_AUDIT_LOSING);
    CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    fta_audit_outcome outcome = write_one(log);
    CHECK(outcome.news == FTA_AUDIT_RESUMED && outcome.lost == 2);
    (void)write_one(log);
    /* The half line stands alone; both after it are whole. */
    CHECK(good_lines("torn", &broken) == 3 && broken == 1);
    fta_audit_log_close(log);
}

enum { THREADS = 8, LINES = 2000 };

static void *
write_many(void *log)
{
    for (int i = 0; i < LINES; i++) {
        CHECK(write_one(log).news == FTA_AUDIT_NOTHING_NEW);
    }
    return NULL;
}

static void
test_threads_and_rotation(void)
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
        fta_audit_log_look(log);
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
test_fork(void)
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
test_bad_paths(void)
{
    fta_audit_log *log = NULL;
    CHECK(fta_audit_log_open(TEXT(""), &log) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_log_open(TEXT("a\0b"), &log) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_log_open(TEXT("nowhere/log"), &log) == FTA_SYSTEM);
    CHECK(errno == ENOENT);
    CHECK(fta_audit_log_open(TEXT("."), &log) == FTA_SYSTEM);
    CHECK(errno == EISDIR);
    CHECK(mkfifo("pipe", 0600) == 0);
    CHECK(fta_audit_log_open(TEXT("pipe"), &log) == FTA_SYSTEM);
    CHECK(errno == ENXIO);
    failing_alloc_start(0);
    fta_status status = fta_audit_log_open(TEXT("log"), &log);
    CHECK(failing_alloc_stop());
    CHECK(status == FTA_NO_MEMORY);
    CHECK(log == NULL);
    fta_audit_log_close(NULL);
}

int
main(void)
{
    static void (*const tests[])(void) = {
        test_a_line,
        test_times,
        test_every_octet_and_pair,
        test_escapes,
        test_a_long_line,
        test_rotation,
        test_a_directory_that_goes,
#ifdef __linux__
        test_a_full_disk,
#endif
        test_a_torn_line,
        test_threads_and_rotation,
        test_fork,
        test_bad_paths,
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        enter_directory();
        tests[i]();
        leave_directory();
    }
    return check_report("test_audit_log");
}
