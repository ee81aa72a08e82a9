#include "audit/line.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json_write.h"

#define SECONDS_PER_DAY 86400

bool
fta_audit_line_begin(fta_audit_line *line, const fta_audit_entry *entry)
{
    size_t octets = entry->method.length + entry->endpoint.length +
                    entry->address.length + entry->user_agent.length +
                    entry->reason.length + entry->role.length +
                    entry->actor.length;
    line->used = line->time = line->reason = line->personal = 0;
    line->text = line->buffer;
    if (octets >
        (FTA_AUDIT_LINE_BUFFER - FTA_AUDIT_LINE_FRAME) / FTA_JSON_ESCAPED_MAX) {
        if (octets > (SIZE_MAX - FTA_AUDIT_LINE_FRAME) / FTA_JSON_ESCAPED_MAX) {
            return false;
        }
        line->text =
            fta_malloc(FTA_AUDIT_LINE_FRAME + octets * FTA_JSON_ESCAPED_MAX);
    }
    return line->text != NULL;
}

void
fta_audit_line_free(fta_audit_line *line)
{
    if (line->text != line->buffer) {
        fta_free(line->text);
    }
}

void
fta_audit_put(fta_audit_line *line, const char *text, size_t length)
{
    memcpy(line->text + line->used, text, length);
    line->used += length;
}

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
put_moment(fta_audit_line *line, int64_t now_us)
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
    FTA_AUDIT_PUT(line, "-");
    put_digits(line, month + 1, 2);
    FTA_AUDIT_PUT(line, "-");
    put_digits(line, day + 1, 2);
    FTA_AUDIT_PUT(line, "T");
    put_digits(line, second / 3600, 2);
    FTA_AUDIT_PUT(line, ":");
    put_digits(line, second / 60 % 60, 2);
    FTA_AUDIT_PUT(line, ":");
    put_digits(line, second % 60, 2);
    FTA_AUDIT_PUT(line, ".");
    put_digits(line, (unsigned)(us % 1000000), 6);
    FTA_AUDIT_PUT(line, "Z");
}

void
fta_audit_put_time(fta_audit_line *line)
{
    line->time = line->used;
    put_moment(line, fta_clock_realtime_us());
}

void
fta_audit_put_status(fta_audit_line *line, int status)
{
    if (status >= 100 && status <= 999) {
        put_digits(line, (unsigned)status, 3);
    } else {
        FTA_AUDIT_PUT(line, "null");
    }
}

void
fta_audit_put_string(fta_audit_line *line, fta_text text)
{
    if (text.data == NULL) {
        FTA_AUDIT_PUT(line, "null");
    } else {
        char *end = fta_json_write_string(line->text + line->used, text);
        line->used = (size_t)(end - line->text);
    }
}

void
fta_audit_put_uuid(fta_audit_line *line, const fta_uuid *uuid)
{
    char text[FTA_UUID_TEXT];
    fta_text written = {NULL, 0};
    if (uuid != NULL) {
        fta_uuid_format(uuid, text);
        written = (fta_text){text, sizeof text};
    }
    fta_audit_put_string(line, written);
}

void
fta_audit_put_hex(fta_audit_line *line, const uint8_t *octets, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        line->text[line->used++] = digits[octets[i] >> 4];
        line->text[line->used++] = digits[octets[i] & 15];
    }
}

bool
fta_audit_line_make(fta_audit_line *line, const fta_audit_entry *entry)
{
    if (!fta_audit_line_begin(line, entry)) {
        return false;
    }
    FTA_AUDIT_PUT(line, "\n{\"time\":\"");
    fta_audit_put_time(line);
    FTA_AUDIT_PUT(line, "\",\"method\":");
    fta_audit_put_string(line, entry->method);
    FTA_AUDIT_PUT(line, ",\"endpoint\":");
    fta_audit_put_string(line, entry->endpoint);
    FTA_AUDIT_PUT(line, ",\"status\":");
    fta_audit_put_status(line, entry->http_status);
    FTA_AUDIT_PUT(line, ",\"user_id\":");
    fta_audit_put_uuid(line, entry->user_id);
    FTA_AUDIT_PUT(line, ",\"tenant_id\":");
    fta_audit_put_uuid(line, entry->tenant_id);
    FTA_AUDIT_PUT(line, ",\"role\":");
    fta_audit_put_string(line, entry->role);
    if (entry->actor.data != NULL) {
        FTA_AUDIT_PUT(line, ",\"actor\":");
        fta_audit_put_string(line, entry->actor);
    }
    FTA_AUDIT_PUT(line, ",\"ip\":");
    fta_audit_put_string(line, entry->address);
    FTA_AUDIT_PUT(line, ",\"user_agent\":");
    fta_audit_put_string(line, entry->user_agent);
    FTA_AUDIT_PUT(line, ",\"reason\":");
    line->reason = line->used;
    fta_audit_put_string(line, entry->reason);
    FTA_AUDIT_PUT(line, "}\n");
    return true;
}
