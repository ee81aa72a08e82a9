#include "audit/destination.h"

#include "check.h"
#include "guarded.h"

#define TEXT(literal) ((fta_text){literal, sizeof(literal) - 1})

static void
test_each_destination_is_read_from_its_text(void)
{
    static const struct {
        fta_text text;
        fta_audit_kind kind;
        const char *path, *host, *port;
    } cases[] = {
        {TEXT("audit.jsonl"), FTA_AUDIT_FILE, "audit.jsonl", "", ""},
        {TEXT("/var/log/a:b"), FTA_AUDIT_FILE, "/var/log/a:b", "", ""},
        {TEXT("./syslog:x"), FTA_AUDIT_FILE, "./syslog:x", "", ""},
        {TEXT("logs://x/y"), FTA_AUDIT_FILE, NULL, "", ""},
        {TEXT("log s://x"), FTA_AUDIT_FILE, "log s://x", "", ""},
        {TEXT("c:/x"), FTA_AUDIT_FILE, "c:/x", "", ""},
        {TEXT("syslog:"), FTA_AUDIT_SYSLOG, "/dev/log", "", ""},
        {TEXT("syslog:/run/l"), FTA_AUDIT_SYSLOG, "/run/l", "", ""},
        {TEXT("syslog:log"), FTA_AUDIT_SYSLOG, NULL, "", ""},
        {TEXT("journal:"), FTA_AUDIT_JOURNAL, "/run/systemd/journal/socket", "",
         ""},
        {TEXT("journal:/s"), FTA_AUDIT_JOURNAL, "/s", "", ""},
        {TEXT("journal://s"), FTA_AUDIT_JOURNAL, "//s", "", ""},
        {TEXT("syslog://h"), FTA_AUDIT_SYSLOG_UDP, "", "h", "514"},
        {TEXT("syslog://log-1.example.com:1514"), FTA_AUDIT_SYSLOG_UDP, "",
         "log-1.example.com", "1514"},
        {TEXT("syslog://[::1]"), FTA_AUDIT_SYSLOG_UDP, "", "::1", "514"},
        {TEXT("syslog://[fe80::1%eth0]:65535"), FTA_AUDIT_SYSLOG_UDP, "",
         "fe80::1%eth0", "65535"},
        {TEXT("syslog://"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://:514"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h:"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h:0"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h:65536"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h:51x"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h:000514"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://u@h"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://h/path"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://::1"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://[::1"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://[]"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
        {TEXT("syslog://[::1]x"), FTA_AUDIT_SYSLOG_UDP, NULL, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fta_audit_destination found;
        guarded copy = guarded_copy(cases[i].text.data, cases[i].text.length);
        fta_status status = fta_audit_destination_read(
            (fta_text){copy.text, cases[i].text.length}, &found);
        if (cases[i].path == NULL) {
            CHECK(status == FTA_AUDIT_DESTINATION);
            guarded_free(&copy);
            continue;
        }
        CHECK(status == FTA_OK && found.kind == cases[i].kind);
        fta_text path = {cases[i].path, strlen(cases[i].path)};
        fta_text host = {cases[i].host, strlen(cases[i].host)};
        fta_text port = {cases[i].port, strlen(cases[i].port)};
        CHECK(fta_text_equal(found.path, path));
        CHECK(fta_text_equal(found.host, host));
        CHECK(fta_text_equal(found.port, port));
        guarded_free(&copy);
    }
}

static void
test_what_is_no_destination_says_why(void)
{
    fta_audit_destination found;
    char host[9 + FTA_AUDIT_HOST_MAX + 1];
    CHECK(fta_audit_destination_read(TEXT(""), &found) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_destination_read(TEXT("a\0b"), &found) == FTA_BAD_ARGUMENT);
    CHECK(fta_audit_destination_read(TEXT("syslog+tcp://h"), &found) ==
          FTA_AUDIT_STREAM);
    CHECK(fta_audit_destination_read(TEXT("syslog+tls://h"), &found) ==
          FTA_AUDIT_STREAM);
    CHECK(fta_audit_destination_read(TEXT("file:///x"), &found) ==
          FTA_AUDIT_DESTINATION);
    CHECK(fta_audit_destination_read(TEXT("sylog://h"), &found) ==
          FTA_AUDIT_DESTINATION);
    memset(host, 'a', sizeof host);
    memcpy(host, "syslog://", 9);
    CHECK(fta_audit_destination_read((fta_text){host, sizeof host}, &found) ==
          FTA_AUDIT_DESTINATION);
    CHECK(fta_audit_destination_read((fta_text){host, sizeof host - 1},
                                     &found) == FTA_OK);
}

int
main(void)
{
    test_each_destination_is_read_from_its_text();
    test_what_is_no_destination_says_why();
    return check_report("test_audit_destination");
}
