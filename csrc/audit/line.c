#include "audit/line.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

#define SECONDS_PER_DAY 86400

/* The longest form of one octet: \u and four digits. A code point beyond U+FFFF
 * is four octets and takes twice that. */
#define ESCAPED_OCTET 6

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

/* How an octet below 0x80 is written in a JSON string. */
typedef enum octet_class { PLAIN, QUOTED, CONTROL } octet_class;

static octet_class
class_of(unsigned char octet)
{
    if (octet == '"' || octet == '\\') {
        return QUOTED;
    }
    return octet < 0x20 || octet == 0x7F ? CONTROL : PLAIN;
}

static void
put_escape(fta_audit_line *line, unsigned code)
{
    if (code > 0xFFFF) {
        put_escape(line, 0xD800 + ((code - 0x10000) >> 10));
        code = 0xDC00 + ((code - 0x10000) & 0x3FF);
    }
    static const char hex[] = "0123456789abcdef";
    char text[ESCAPED_OCTET] = {'\\',
                                'u',
                                hex[code >> 12 & 15],
                                hex[code >> 8 & 15],
                                hex[code >> 4 & 15],
                                hex[code & 15]};
    put(line, text, sizeof text);
}

/* The text as a JSON string. An octet that is no part of UTF-8 becomes U+FFFD.
 * Logs are read on terminals and in browsers. So characters are escaped that
 * end a line there, are invisible, or change how the text around them is shown.
 */
static void
put_string(fta_audit_line *line, fta_text text)
{
    if (text.data == NULL) {
        PUT(line, "null");
        return;
    }
    PUT(line, "\"");
    const char *in = text.data;
    const char *end = in + text.length;
    while (in < end) {
        const char *plain = in;
        while (in < end && (unsigned char)*in < 0x80 &&
               class_of((unsigned char)*in) == PLAIN) {
            in++;
        }
        put(line, plain, (size_t)(in - plain));
        if (in == end) {
            break;
        }
        unsigned char octet = (unsigned char)*in;
        if (octet < 0x80) {
            if (class_of(octet) == QUOTED) {
                PUT(line, "\\");
                put(line, in, 1);
            } else {
                put_escape(line, octet);
            }
            in++;
            continue;
        }
        size_t length = fta_utf8_length(in, end);
        uint32_t code = length == 0 ? 0xFFFD : fta_utf8_code_point(in, length);
        if (length == 0 || fta_utf8_is_deceptive(code)) {
            put_escape(line, code);
        } else {
            put(line, in, length);
        }
        in += length == 0 ? 1 : length;
    }
    PUT(line, "\"");
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
                    entry->reason.length + entry->role.length;
    line->used = 0;
    line->text = line->buffer;
    if (octets > (FTA_AUDIT_LINE_BUFFER - LINE_FRAME) / ESCAPED_OCTET) {
        if (octets > (SIZE_MAX - LINE_FRAME) / ESCAPED_OCTET) {
            return false;
        }
        line->text = fta_malloc(LINE_FRAME + octets * ESCAPED_OCTET);
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
