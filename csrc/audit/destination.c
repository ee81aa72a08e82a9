#include "audit/destination.h"

#define LITERAL(text) ((fta_text){text, sizeof(text) - 1})

/* Takes a prefix off the text. */
static bool
skip(fta_text *text, fta_text prefix)
{
    if (text->length < prefix.length ||
        memcmp(text->data, prefix.data, prefix.length) != 0) {
        return false;
    }
    text->data += prefix.length;
    text->length -= prefix.length;
    return true;
}

static bool
is_port(fta_text text)
{
    unsigned long value = 0;
    if (text.length == 0 || text.length > 5) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned long)(text.data[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

/* Letters, digits, dots, hyphens; in brackets also colons and a zone. */
static bool
is_host(fta_text text, bool in_brackets)
{
    if (text.length == 0 || text.length > FTA_AUDIT_HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool usual = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
        if (!usual && !(in_brackets && (c == ':' || c == '%'))) {
            return false;
        }
    }
    return true;
}

/* host, host:port, [address] or [address]:port. */
static bool
read_authority(fta_text text, fta_audit_destination *out)
{
    bool in_brackets = text.length != 0 && text.data[0] == '[';
    const char *end =
        text.length == 0
            ? NULL
            : memchr(text.data, in_brackets ? ']' : ':', text.length);
    size_t length = end == NULL ? text.length : (size_t)(end - text.data);
    out->port = LITERAL("514");
    if (!in_brackets) {
        out->host = (fta_text){text.data, length};
    } else if (end != NULL) {
        out->host = (fta_text){text.data + 1, length - 1};
        length++;
    } else {
        return false;
    }
    if (length < text.length) {
        if (text.data[length] != ':') {
            return false;
        }
        out->port =
            (fta_text){text.data + length + 1, text.length - length - 1};
    }
    return is_host(out->host, in_brackets) && is_port(out->port);
}

/* Nothing, or the absolute path of a socket. */
static fta_status
read_socket(fta_text text, fta_text usual, fta_audit_destination *out)
{
    out->path = text.length == 0 ? usual : text;
    return out->path.data[0] == '/' ? FTA_OK : FTA_AUDIT_DESTINATION;
}

/* Whether it begins with a scheme and "://" (RFC 3986, section 3.1). */
static bool
is_like_a_url(fta_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == ':') {
            return i > 0 && text.length >= i + 3 && text.data[i + 1] == '/' &&
                   text.data[i + 2] == '/';
        }
        bool usual = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '.';
        if (!usual) {
            return false;
        }
    }
    return false;
}

fta_status
fta_audit_destination_read(fta_text text, fta_audit_destination *out)
{
    fta_text rest = text;
    *out = (fta_audit_destination){.kind = FTA_AUDIT_FILE, .path = text};
    if (text.length == 0 || memchr(text.data, 0, text.length) != NULL) {
        return FTA_BAD_ARGUMENT;
    }
    if (skip(&rest, LITERAL("syslog://"))) {
        out->kind = FTA_AUDIT_SYSLOG_UDP;
        out->path = (fta_text){NULL, 0};
        return read_authority(rest, out) ? FTA_OK : FTA_AUDIT_DESTINATION;
    }
    if (skip(&rest, LITERAL("syslog:"))) {
        out->kind = FTA_AUDIT_SYSLOG;
        return read_socket(rest, LITERAL("/dev/log"), out);
    }
    if (skip(&rest, LITERAL("journal:"))) {
        out->kind = FTA_AUDIT_JOURNAL;
        return read_socket(rest, LITERAL("/run/systemd/journal/socket"), out);
    }
    if (skip(&rest, LITERAL("syslog+"))) {
        return FTA_AUDIT_STREAM;
    }
    return is_like_a_url(text) ? FTA_AUDIT_DESTINATION : FTA_OK;
}
