#include "audit/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

#define LOOK_EVERY_US 1000000
#define SECONDS_A_DAY 86400

/* A line that fits here needs no memory but the stack's. Ordinary ones take
 * 300 bytes. */
#define LINE_ON_STACK 4096

/* The most that one octet becomes: \u and four digits. Twice that for a code
 * point beyond U+FFFF, which is four octets. */
#define ESCAPED_OCTET 6

struct fta_audit_log {
    /* The number never changes while the log lives: a new file is dup'ed onto
     * it, so that a write in another thread hits the old file or the new one
     * and never a closed descriptor. */
    int descriptor;
    _Atomic int64_t look_at_us; /* monotonic; who moves it on does the look */
    _Atomic uint64_t lost;      /* lines, since the first of this outage */
    atomic_bool torn;           /* the file may end in the middle of a line */
    atomic_bool moved_off;      /* told already */
    bool inherited;             /* of the process, as /dev/stdout */
    mode_t kind;                /* S_IFREG and so on, at the start */
    char path[];                /* NUL-terminated, for open() */
};

/* --- A line ------------------------------------------------------------- */

typedef struct audit_line {
    char *text; /* buffer, or Owned */
    size_t used;
    char buffer[LINE_ON_STACK];
} audit_line;

/* room for the worst case is made before anything is written, so that nothing
 * below has to check */
static void
put(audit_line *line, const char *text, size_t length)
{
    memcpy(line->text + line->used, text, length);
    line->used += length;
}

#define PUT(line, literal) put(line, literal, sizeof(literal) - 1)

static void
put_digits(audit_line *line, unsigned value, unsigned count)
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
 * at the wrong moment would leave held. */
static void
put_time(audit_line *line, int64_t now_us)
{
    static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30,
                                            31, 31, 30, 31, 30, 31};
    uint64_t us = now_us < 0 ? 0 : (uint64_t)now_us;
    unsigned second = (unsigned)(us / 1000000 % SECONDS_A_DAY);
    unsigned day = (unsigned)(us / 1000000 / SECONDS_A_DAY);

    day += days_before_year(1970);
    unsigned year = day / 366 + 1; /* never too late, at most a few too early */
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

/* What each octet below 0x80 is inside a JSON string. */
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
put_escape(audit_line *line, unsigned code)
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

/* A JSON string of the text. What is not UTF-8 becomes U+FFFD, octet by octet.
 * Logs are read on terminals and in browsers: what ends a line there, cannot
 * be seen or changes how its surroundings are seen is escaped. */
static void
put_string(audit_line *line, fta_text text)
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
put_uuid(audit_line *line, const fta_uuid *uuid)
{
    char text[FTA_UUID_TEXT];
    fta_text written = {NULL, 0};
    if (uuid != NULL) {
        fta_uuid_format(uuid, text);
        written = (fta_text){text, sizeof text};
    }
    put_string(line, written);
}

/* Everything of a line but its texts: names, time, ids, status, quotes. */
#define LINE_FRAME 512

static bool
make_line(audit_line *line, const fta_audit_entry *entry)
{
    size_t octets = entry->method.length + entry->endpoint.length +
                    entry->address.length + entry->user_agent.length +
                    entry->reason.length + entry->role.length;
    line->used = 0;
    line->text = line->buffer;
    if (octets > (LINE_ON_STACK - LINE_FRAME) / ESCAPED_OCTET) {
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

/* --- The file ------------------------------------------------------------ */

/* Whether lines may be written to what was opened. It is asked about the
 * descriptor: whatever happens to the path, nothing else is written to. */
static fta_status
check_kind(int descriptor, mode_t *kind)
{
    struct stat found;
    if (fstat(descriptor, &found) != 0) {
        return FTA_SYSTEM;
    }
    *kind = found.st_mode & S_IFMT;
    if (S_ISCHR(found.st_mode)) {
        return FTA_OK; /* Only root makes devices. */
    }
    if (!S_ISREG(found.st_mode) && !S_ISFIFO(found.st_mode)) {
        return FTA_AUDIT_NO_FILE;
    }
    if (found.st_uid != geteuid() && found.st_uid != 0) {
        return FTA_AUDIT_OWNER;
    }
    return found.st_nlink > 1 ? FTA_AUDIT_HARD_LINK : FTA_OK;
}

/* Never waits: a pipe that nobody reads, or that is full, is an error. Never
 * follows a symbolic link in the place of the file. On FTA_OK *descriptor is
 * the caller's to close; on FTA_SYSTEM errno tells more. */
static fta_status
open_path(const char *path, int *descriptor, mode_t *kind)
{
    int opened = open(path,
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
                          O_NONBLOCK | O_NOFOLLOW,
                      0640);
    if (opened < 0) {
        struct stat found;
        int error = errno;
        bool is_link = lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
        errno = error;
        return is_link ? FTA_AUDIT_SYMLINK : FTA_SYSTEM;
    }
    fta_status status = check_kind(opened, kind);
    if (status != FTA_OK) {
        (void)close(opened);
        return status;
    }
    *descriptor = opened;
    return FTA_OK;
}

/* These names are symbolic links to what the process was started with, which
 * is there without them: to be duplicated and left as it is. */
static int
inherited_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdout") == 0   ? STDOUT_FILENO
           : strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO
                                              : -1;
}

static fta_status
open_first(fta_audit_log *log)
{
    int descriptor = inherited_descriptor(log->path);
    if (descriptor < 0) {
        return open_path(log->path, &log->descriptor, &log->kind);
    }
    log->inherited = true;
    log->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return log->descriptor < 0 ? FTA_SYSTEM : FTA_OK;
}

fta_status
fta_audit_log_open(fta_text path, fta_audit_log **out)
{
    fta_status status = FTA_BAD_ARGUMENT;
    fta_audit_log *log = NULL;

    if (path.length == 0 || memchr(path.data, 0, path.length) != NULL) {
        goto done;
    }
    status = FTA_NO_MEMORY;
    log = fta_calloc(1, sizeof *log + path.length + 1);
    if (log == NULL) {
        goto done;
    }
    memcpy(log->path, path.data, path.length);
    status = open_first(log);
    if (status != FTA_OK) {
        goto done;
    }
    atomic_init(&log->look_at_us, fta_clock_monotonic_us() + LOOK_EVERY_US);
    *out = log;
    log = NULL;
done:;
    int error = errno;
    fta_free(log);
    errno = error;
    return status;
}

void
fta_audit_log_close(fta_audit_log *log)
{
    if (log != NULL) {
        (void)close(log->descriptor);
        fta_free(log);
    }
}

void
fta_audit_log_look(fta_audit_log *log)
{
    atomic_store_explicit(&log->look_at_us, INT64_MIN, memory_order_relaxed);
}

/* Not stat: a link to the very file that is open is something else too. */
static bool
path_leads_elsewhere(const fta_audit_log *log)
{
    struct stat here, there;
    return fstat(log->descriptor, &here) == 0 &&
           (lstat(log->path, &there) != 0 || here.st_ino != there.st_ino ||
            here.st_dev != there.st_dev);
}

/* Opens the path anew under the number of the old descriptor. */
static fta_status
replace_file(fta_audit_log *log)
{
    int opened;
    mode_t kind;
    fta_status status = open_path(log->path, &opened, &kind);
    if (status != FTA_OK) {
        return status;
    }
    if (kind != S_IFREG && kind != log->kind) {
        status = FTA_AUDIT_NO_FILE;
    } else {
#ifdef __linux__
        int replaced = dup3(opened, log->descriptor, O_CLOEXEC);
#else
        /* Between the two a fork with exec would inherit the descriptor. */
        int replaced = dup2(opened, log->descriptor);
        (void)fcntl(log->descriptor, F_SETFD, FD_CLOEXEC);
#endif
        status = replaced < 0 ? FTA_SYSTEM : FTA_OK;
    }
    int error = errno;
    (void)close(opened);
    errno = error;
    return status;
}

static void
look(fta_audit_log *log, fta_audit_outcome *outcome)
{
    int64_t now = fta_clock_monotonic_us();
    int64_t due = atomic_load_explicit(&log->look_at_us, memory_order_relaxed);
    if (log->inherited || now < due ||
        !atomic_compare_exchange_strong(&log->look_at_us, &due,
                                        now + LOOK_EVERY_US)) {
        return;
    }
    if (path_leads_elsewhere(log)) {
        fta_status status = replace_file(log);
        if (status != FTA_OK) {
            if (!atomic_exchange(&log->moved_off, true)) {
                outcome->news = FTA_AUDIT_MOVED_OFF;
                outcome->status = status;
                outcome->error = errno;
            }
            return;
        }
        atomic_store(&log->torn, false);
    }
    atomic_store(&log->moved_off, false);
}

/* 0, or the errno of what went wrong. */
static int
write_line(fta_audit_log *log, const audit_line *line)
{
    /* The line begins with a line feed, for use after a torn one. */
    size_t skip = atomic_exchange(&log->torn, false) ? 0 : 1;
    size_t length = line->used - skip;
    ssize_t written;
    do {
        written = write(log->descriptor, line->text + skip, length);
    } while (written < 0 && errno == EINTR);
    if (written == (ssize_t)length) {
        return 0;
    }
    /* A short write is a disk that has just become full, or a pipe that has
     * no room for a line of more than PIPE_BUF octets. */
    int error = written < 0 ? errno : S_ISFIFO(log->kind) ? EAGAIN : ENOSPC;
    if (written > 0 || skip == 0) {
        atomic_store(&log->torn, true);
    }
    return error;
}

fta_audit_outcome
fta_audit_log_write(fta_audit_log *log, const fta_audit_entry *entry)
{
    fta_audit_outcome outcome = {.news = FTA_AUDIT_NOTHING_NEW};
    look(log, &outcome);

    audit_line line;
    int error = ENOMEM;
    if (make_line(&line, entry)) {
        error = write_line(log, &line);
        if (line.text != line.buffer) {
            fta_free(line.text);
        }
    }
    if (error != 0) {
        if (atomic_fetch_add(&log->lost, 1) == 0) {
            outcome.news = FTA_AUDIT_LOSING;
            outcome.status = FTA_SYSTEM;
            outcome.error = error;
        }
    } else if (atomic_load_explicit(&log->lost, memory_order_relaxed) != 0) {
        outcome.lost = atomic_exchange(&log->lost, 0);
        if (outcome.lost != 0) {
            outcome.news = FTA_AUDIT_RESUMED;
        }
    }
    return outcome;
}
