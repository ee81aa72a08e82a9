#include "audit/line.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json_write.h"

#define SECONDS_PER_DAY 86400

/* fta_audit_line_make reserves memory for the longest line before anything is
 * written, so that nothing here has to check. */
static void
put(fta_audit_line *line, const char *text, size_t length)
{
    memcpy(line->text + line->used, text, length);
    line->used += length;
}

#define PUT(line, literal) put(line, literal, sizeof(literal) - 1)

static void
put_digits(fta_audit_line *line, unsigned value, unsigned count)
{
    for (unsigned place = count; place > 0; place--) {
        line->text[line->used + place - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    line->used += count;
}

static unsigned
days_before_year(unsigned year)
{
    unsigned past = year - 1;
    return past * 365 + past / 4 - past / 100 + past / 400;
}

/* "2026-11-23T15:28:01.123456Z". Not gmtime_r: it takes a lock, which a fork
 * in another thread would leave held in the child. */
static void
put_time(fta_audit_line *line, int64_t now_us)
{
    static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30,
                                            31, 31, 30, 31, 30, 31};
    uint64_t us = now_us < 0 ? 0 : (uint64_t)now_us;
    unsigned second = (unsigned)(us / 1000000 % SECONDS_PER_DAY);
    unsigned day = (unsigned)(us / 1000000 / SECONDS_PER_DAY);

    day += days_before_year(1970);
    unsigned year =
        day / 366 + 1; /* not too late, at most a few years too early */
    while (days_before_year(year + 1) <= day) {
        year++;
    }
    day -= days_before_year(year);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    unsigned month = 0;
    for (;; month++) {
        unsigned length = lengths[month] + (month == 1 && leap ? 1U : 0U);
        if (day < length) {
            break;
        }
        day -= length;
    }
    put_digits(line, year, 4);
    PUT(line, "-");
    put_digits(line, month + 1, 2);
    PUT(line, "-");
    put_digits(line, day + 1, 2);
    PUT(line, "T");
    put_digits(line, second / 3600, 2);
    PUT(line, ":");
    put_digits(line, second / 60 % 60, 2);
    PUT(line, ":");
    put_digits(line, second % 60, 2);
    PUT(line, ".");
    put_digits(line, (unsigned)(us % 1000000), 6);
    PUT(line, "Z");
}

/* The text as a JSON string; null if it is absent. */
static void
put_string(fta_audit_line *line, fta_text text)
{
    if (text.data == NULL) {
        PUT(line, "null");
    } else {
        char *end = fta_json_write_string(line->text + line->used, text);
        line->used = (size_t)(end - line->text);
    }
}

static void
put_uuid(fta_audit_line *line, const fta_uuid *uuid)
{
    char text[FTA_UUID_TEXT];
    fta_text written = {NULL, 0};
    if (uuid != NULL) {
        fta_uuid_format(uuid, text);
        written = (fta_text){text, sizeof text};
    }
    put_string(line, written);
}

/* All of a line but its texts: names, time, ids, status, quotes. */
#define LINE_FRAME 512

bool
fta_audit_line_make(fta_audit_line *line, const fta_audit_entry *entry)
{
    size_t octets = entry->method.length + entry->endpoint.length +
                    entry->address.length + entry->user_agent.length +
                    entry->reason.length + entry->role.length +
                    entry->actor.length;
    line->used = 0;
    line->text = line->buffer;
    if (octets > (FTA_AUDIT_LINE_BUFFER - LINE_FRAME) / FTA_JSON_ESCAPED_MAX) {
        if (octets > (SIZE_MAX - LINE_FRAME) / FTA_JSON_ESCAPED_MAX) {
            return false;
        }
        line->text = fta_malloc(LINE_FRAME + octets * FTA_JSON_ESCAPED_MAX);
        if (line->text == NULL) {
            return false;
        }
    }
    int status = entry->http_status;
    PUT(line, "\n{\"time\":\"");
    put_time(line, fta_clock_realtime_us());
    PUT(line, "\",\"method\":");
    put_string(line, entry->method);
    PUT(line, ",\"endpoint\":");
    put_string(line, entry->endpoint);
    PUT(line, ",\"status\":");
    if (status >= 100 && status <= 999) {
        put_digits(line, (unsigned)status, 3);
    } else {
        PUT(line, "null");
    }
    PUT(line, ",\"user_id\":");
    put_uuid(line, entry->user_id);
    PUT(line, ",\"tenant_id\":");
    put_uuid(line, entry->tenant_id);
    PUT(line, ",\"role\":");
    put_string(line, entry->role);
    if (entry->actor.data != NULL) {
        PUT(line, ",\"actor\":");
        put_string(line, entry->actor);
    }
    PUT(line, ",\"ip\":");
    put_string(line, entry->address);
    PUT(line, ",\"user_agent\":");
    put_string(line, entry->user_agent);
    PUT(line, ",\"reason\":");
    put_string(line, entry->reason);
    PUT(line, "}\n");
    return true;
}

void
fta_audit_line_free(fta_audit_line *line)
{
    if (line->text != line->buffer) {
        fta_free(line->text);
    }
}
