#include "audit/audit_log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "failing_alloc.h"

#define TEXT(literal) ((fta_text){literal, sizeof(literal) - 1})

static char socket_path[64];
static char received[1 << 20];

static int
open_receiver(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(socket_path, sizeof socket_path, "/tmp/test_audit-%ld",
                   (long)getpid());
    (void)unlink(socket_path);
    memcpy(address.sun_path, socket_path, strlen(socket_path));
    int opened = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(opened, (struct sockaddr *)&address, sizeof address) == 0);
    return opened;
}

static int
open_udp_receiver(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int opened = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(opened, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getsockname(opened, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return opened;
}

static fta_status
open_log(const char *format, const char *argument, fta_audit_log **log)
{
    char destination[256];
    (void)snprintf(destination, sizeof destination, "%s%s", format, argument);
    return fta_audit_log_open(
        &(fta_audit_options){.destination = {destination, strlen(destination)}},
        log);
}

static const fta_uuid user = {{0xAA, 0xAA, 0xAA, 0xAA, 0xBB, 0xBB, 0x4C, 0xCC,
                               0x8D, 0xDD, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE}};

static fta_audit_entry
entry_of(int status, const char *reason)
{
    fta_audit_entry entry = {.method = TEXT("GET"),
                             .endpoint = TEXT("/a"),
                             .user_id = &user,
                             .http_status = status};
    if (reason != NULL) {
        entry.reason = (fta_text){reason, strlen(reason)};
    }
    return entry;
}

/* The next datagram as NUL-terminated text. */
static size_t
receive(int receiver)
{
    ssize_t length = recv(receiver, received, sizeof received - 1, 0);
    CHECK(length > 0);
    received[length < 0 ? 0 : length] = '\0';
    return length < 0 ? 0 : (size_t)length;
}

static bool
matches(const char *pattern)
{
    regex_t compiled;
    CHECK(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    bool found = regexec(&compiled, received, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

/* RFC 5424, section 6, without structured data. */
#define HEADER(pri)                                                            \
    "^<" pri ">1 [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{6}Z "            \
    "[!-~]{1,255} flask_tenant_auth [0-9]+ audit - "

static void
test_a_line_is_one_message_of_syslog(void)
{
    int receiver = open_receiver();
    fta_audit_log *log = NULL;
    CHECK(open_log("syslog:", socket_path, &log) == FTA_OK);
    fta_audit_entry entry = entry_of(200, NULL);
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    (void)receive(receiver);
    CHECK(matches(HEADER("86") "\\{\"time\":\".*\"reason\":null\\}$"));
    entry = entry_of(403, "role\ninsufficient");
    (void)fta_audit_log_write(log, &entry);
    (void)receive(receiver);
    CHECK(matches(HEADER("84") "\\{.*\"role.u000ainsufficient\"\\}$"));
    entry = entry_of(500, NULL);
    (void)fta_audit_log_write(log, &entry);
    (void)receive(receiver);
    CHECK(matches(HEADER("83") "\\{.*\\}$"));
    fta_audit_log_close(log);
    CHECK(close(receiver) == 0);
}

static void
test_datagrams_reach_a_server(void)
{
    unsigned port;
    char authority[64];
    int receiver = open_udp_receiver(&port);
    fta_audit_log *log = NULL;
    (void)snprintf(authority, sizeof authority, "127.0.0.1:%u", port);
    CHECK(open_log("syslog://", authority, &log) == FTA_OK);
    fta_audit_entry entry = entry_of(200, NULL);
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    (void)receive(receiver);
    CHECK(matches(HEADER("86") "\\{.*\\}$"));

    /* A server that is away is not noticed: no datagram is connected. */
    CHECK(close(receiver) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    }

    /* A line that is longer than any datagram is lost, and counted. */
    static char octets[70000];
    memset(octets, 'a', sizeof octets);
    entry.user_agent = (fta_text){octets, sizeof octets};
    fta_audit_outcome outcome = fta_audit_log_write(log, &entry);
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == EMSGSIZE);
    entry = entry_of(200, NULL);
    outcome = fta_audit_log_write(log, &entry);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 1);
    CHECK(fta_audit_log_lost(log) == 1);
    fta_audit_log_close(log);
}

/* Nobody reads: the queue becomes full. */
static void
test_a_receiver_that_is_too_slow_loses_lines_and_makes_nobody_wait(
    const char *scheme)
{
    int receiver = open_receiver();
    fta_audit_log *log = NULL;
    CHECK(open_log(scheme, socket_path, &log) == FTA_OK);
    fta_audit_entry entry = entry_of(200, NULL);
    fta_audit_outcome outcome = {.change = FTA_AUDIT_UNCHANGED};
    long sent = -1;
    for (; outcome.change == FTA_AUDIT_UNCHANGED && sent < 100000; sent++) {
        outcome = fta_audit_log_write(log, &entry);
    }
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == EAGAIN);
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    for (; sent > 0; sent--) {
        (void)receive(receiver);
    }
    outcome = fta_audit_log_write(log, &entry);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 2);
    (void)receive(receiver);

    /* One that is started anew is found by itself. */
    CHECK(close(receiver) == 0 && unlink(socket_path) == 0);
    outcome = fta_audit_log_write(log, &entry);
    CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == ENOENT);
    receiver = open_receiver();
    outcome = fta_audit_log_write(log, &entry);
    CHECK(outcome.change == FTA_AUDIT_RESUMED && outcome.lost == 1);
    (void)receive(receiver);
    fta_audit_log_close(log);
    CHECK(close(receiver) == 0);
}

static void
test_an_entry_of_the_journal_has_fields(void)
{
    int receiver = open_receiver();
    fta_audit_log *log = NULL;
    CHECK(open_log("journal:", socket_path, &log) == FTA_OK);
    fta_audit_entry entry = entry_of(403, "a\nPRIORITY=0");
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);
    (void)receive(receiver);
    CHECK(
        matches("^PRIORITY=4\nSYSLOG_FACILITY=10\n"
                "SYSLOG_IDENTIFIER=flask_tenant_auth\nTENANT_AUTH_STATUS=403\n"
                "TENANT_AUTH_USER_ID=aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\n"
                "TENANT_AUTH_REASON=a.u000aPRIORITY=0\n"
                "MESSAGE=\\{\"time\":[^\n]*\\}\n$"));
    entry = entry_of(200, NULL);
    (void)fta_audit_log_write(log, &entry);
    (void)receive(receiver);
    CHECK(matches("^PRIORITY=6\n.*eeeeeeeeee\nMESSAGE=\\{[^\n]*\\}\n$"));
    CHECK(strstr(received, "REASON=") == NULL);
    fta_audit_log_close(log);
    CHECK(close(receiver) == 0);
}

#ifdef __linux__
/* What the journal demands of a descriptor: a memfd that nobody can change. */
static void
test_a_large_entry_is_a_sealed_memfd(void)
{
    enum { LONG = 400000 };
    static char octets[LONG];
    memset(octets, 'a', sizeof octets);
    int receiver = open_receiver();
    fta_audit_log *log = NULL;
    CHECK(open_log("journal:", socket_path, &log) == FTA_OK);
    fta_audit_entry entry = entry_of(200, NULL);
    entry.user_agent = (fta_text){octets, sizeof octets};
    CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_UNCHANGED);

    union {
        struct cmsghdr aligned;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    char data[16];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.octets,
                             .msg_controllen = sizeof control.octets};
    CHECK(recvmsg(receiver, &message, 0) == 0); /* no data beside it */
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS);
    int memory = -1;
    if (header != NULL) {
        memcpy(&memory, CMSG_DATA(header), sizeof memory);
    }
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    CHECK(fcntl(memory, F_GET_SEALS) == seals);
    ssize_t length = pread(memory, received, sizeof received - 1, 0);
    CHECK(length > LONG);
    received[length < 0 ? 0 : length] = '\0';
    CHECK(strncmp(received, "PRIORITY=6\n", 11) == 0);
    CHECK(strcmp(received + length - 17, "\"reason\":null}\n") != 0);
    CHECK(strcmp(received + length - 15, "\"reason\":null}\n") == 0);
    CHECK(close(memory) == 0);

    /* The descriptor of this process is closed: it opens the same again. */
    int before = dup(receiver), after;
    CHECK(close(before) == 0);
    for (int i = 0; i < 10; i++) {
        (void)fta_audit_log_write(log, &entry);
        message.msg_controllen = 0;
        (void)recvmsg(receiver, &message, 0);
    }
    after = dup(receiver);
    CHECK(after == before && close(after) == 0);
    fta_audit_log_close(log);
    CHECK(close(receiver) == 0);
}
#endif

static void
test_a_receiver_that_is_not_there_is_an_error(void)
{
    fta_audit_log *log = NULL;
    char path[256];
    CHECK(open_log("syslog:", "/nowhere/at/all", &log) == FTA_SYSTEM);
    CHECK(errno == ENOENT);
    CHECK(open_log("journal:", "/nowhere", &log) == FTA_SYSTEM);
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[200] = '\0';
    CHECK(open_log("syslog:", path, &log) == FTA_SYSTEM);
    CHECK(errno == ENAMETOOLONG);
    CHECK(open_log("syslog://", "no.such.host.invalid", &log) ==
          FTA_AUDIT_HOST);
    CHECK(log == NULL);
}

static void
test_no_allocation_that_fails_leaves_anything(void)
{
    int receiver = open_receiver();
    static const char *const schemes[] = {"syslog:", "journal:"};
    for (size_t i = 0; i < 2; i++) {
        fta_audit_log *log = NULL;
        for (long n = 0;; n++) {
            failing_alloc_start(n);
            fta_status status = open_log(schemes[i], socket_path, &log);
            if (!failing_alloc_stop()) {
                CHECK(status == FTA_OK && n == 2);
                break;
            }
            CHECK(status == FTA_NO_MEMORY && log == NULL);
        }
        static char octets[5000];
        fta_audit_entry entry = entry_of(200, NULL);
        entry.user_agent = (fta_text){octets, sizeof octets};
        failing_alloc_start(0);
        fta_audit_outcome outcome = fta_audit_log_write(log, &entry);
        CHECK(failing_alloc_stop());
        CHECK(outcome.change == FTA_AUDIT_LOSING && outcome.error == ENOMEM);
        CHECK(fta_audit_log_write(log, &entry).change == FTA_AUDIT_RESUMED);
        (void)receive(receiver);
        fta_audit_log_close(log);
    }
    CHECK(close(receiver) == 0);
}

int
main(void)
{
    test_a_line_is_one_message_of_syslog();
    test_datagrams_reach_a_server();
    test_a_receiver_that_is_too_slow_loses_lines_and_makes_nobody_wait(
        "syslog:");
    test_a_receiver_that_is_too_slow_loses_lines_and_makes_nobody_wait(
        "journal:");
    test_an_entry_of_the_journal_has_fields();
#ifdef __linux__
    test_a_large_entry_is_a_sealed_memfd();
#endif
    test_a_receiver_that_is_not_there_is_an_error();
    test_no_allocation_that_fails_leaves_anything();
    CHECK(unlink(socket_path) == 0);
    return check_report("test_audit_datagrams");
}
