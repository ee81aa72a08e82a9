#include "redis/url_reader.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/hex.h"
#include "base/text.h"

static const struct scheme {
    const char *name;
    fta_redis_kind kind;
    bool tls;
} schemes[] = {
    {"redis", FTA_REDIS_TCP, false},
    {"rediss", FTA_REDIS_TCP, true},
    {"unix", FTA_REDIS_UNIX, false},
    {"redis+sentinel", FTA_REDIS_SENTINEL, false},
    {"rediss+sentinel", FTA_REDIS_SENTINEL, true},
};

enum { DEFAULT_CONNECTIONS = 32 };

#define USER_WITHOUT_PASSWORD "a user needs a password (user:password@)"

bool
fta_redis_url_fail(fta_redis_url_reader *r, const char *problem)
{
    r->problem = problem;
    return false;
}

bool
fta_redis_url_equals(fta_text s, const char *text)
{
    return s.length == strlen(text) && strncasecmp(s.data, text, s.length) == 0;
}

fta_text
fta_redis_url_cut(fta_text *s, char separator, bool *found)
{
    fta_text head = *s;
    const char *at =
        s->length > 0 ? memchr(s->data, separator, s->length) : NULL;
    *found = at != NULL;
    if (at != NULL) {
        head.length = (size_t)(at - s->data);
        s->data = at + 1;
        s->length -= head.length + 1;
    } else {
        s->data += s->length;
        s->length = 0;
    }
    return head;
}

bool
fta_redis_url_decode(fta_redis_url_reader *r, fta_text s, const char **out)
{
    fta_redis_url *url = r->url;
    char *text = url->arena + url->used;
    size_t n = 0;
    for (size_t i = 0; i < s.length; i++) {
        char c = s.data[i];
        if (c == '%') {
            bool has_two = i + 2 < s.length;
            int high =
                has_two ? fta_hex_value((unsigned char)s.data[i + 1]) : -1;
            int low =
                has_two ? fta_hex_value((unsigned char)s.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return fta_redis_url_fail(
                    r, "a % is not followed by two hex digits");
            }
            c = (char)(high * 16 + low);
            if (c == '\0') {
                return fta_redis_url_fail(r, "%00 is not allowed");
            }
            i += 2;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    url->used += n + 1;
    *out = text;
    return true;
}

bool
fta_redis_url_read_number(fta_text s, unsigned lowest, unsigned highest,
                          unsigned *out)
{
    if (s.length == 0 || s.length > 6) {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < s.length; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(s.data[i] - '0');
    }
    *out = value;
    return value >= lowest && value <= highest;
}

bool
fta_redis_url_read_database(fta_redis_url_reader *r, fta_text s)
{
    if (!fta_redis_url_read_number(s, 0, 65535, &r->url->database)) {
        return fta_redis_url_fail(r, "the database must be a number");
    }
    return true;
}

/* "user:password" or ":password". */
static bool
read_credentials(fta_redis_url_reader *r, fta_text s)
{
    bool found;
    fta_text user = fta_redis_url_cut(&s, ':', &found);
    if (!found) {
        return fta_redis_url_fail(r, USER_WITHOUT_PASSWORD);
    }
    if (user.length > 0 && !fta_redis_url_decode(r, user, &r->url->user)) {
        return false;
    }
    return s.length == 0 || fta_redis_url_decode(r, s, &r->url->password);
}

static bool
read_host(fta_redis_url_reader *r, fta_text s)
{
    fta_redis_url *url = r->url;
    if (url->host_count == FTA_REDIS_HOSTS_MAX) {
        return fta_redis_url_fail(r, "more than 16 hosts");
    }
    fta_text name = s, port = {s.data + s.length, 0};
    if (s.length > 0 && s.data[0] == '[') {
        const char *end = memchr(s.data, ']', s.length);
        if (end == NULL) {
            return fta_redis_url_fail(r, "a [ has no ]");
        }
        name = (fta_text){s.data + 1, (size_t)(end - s.data) - 1};
        port = (fta_text){end + 1, (size_t)(s.data + s.length - end) - 1};
        if (name.length == 0 || (port.length > 0 && port.data[0] != ':')) {
            return fta_redis_url_fail(
                r, "what is between [ and ] is not an address");
        }
        if (port.length > 0) {
            port.data++;
            port.length--;
        }
    } else {
        bool found;
        name = fta_redis_url_cut(&s, ':', &found);
        port = s;
    }
    unsigned number = url->kind == FTA_REDIS_SENTINEL ? 26379 : 6379;
    if (port.length > 0 &&
        !fta_redis_url_read_number(port, 1, 65535, &number)) {
        return fta_redis_url_fail(r,
                                  "the port must be a number from 1 to 65535");
    }
    const char *text = "localhost";
    if (name.length > 0 && !fta_redis_url_decode(r, name, &text)) {
        return false;
    }
    if (strlen(text) >= FTA_REDIS_HOST_TEXT) {
        return fta_redis_url_fail(r, "a host name is too long");
    }
    fta_redis_host *host = &url->hosts[url->host_count++];
    strcpy(host->name, text);
    host->port = (uint16_t)number;
    return true;
}

static bool
read_hosts(fta_redis_url_reader *r, fta_text s)
{
    bool more = true;
    while (more) {
        if (!read_host(r, fta_redis_url_cut(&s, ',', &more))) {
            return false;
        }
    }
    return true;
}

/* The part after the hosts and the first slash. */
static bool
read_path(fta_redis_url_reader *r, fta_text s)
{
    bool found;
    if (r->url->kind == FTA_REDIS_SENTINEL) {
        fta_text service = fta_redis_url_cut(&s, '/', &found);
        if (service.length > 0 &&
            !fta_redis_url_decode(r, service, &r->url->service)) {
            return false;
        }
    }
    return s.length == 0 || fta_redis_url_read_database(r, s);
}

/* Parts that contradict each other, or that need one that is not there. */
static bool
check_parts(fta_redis_url_reader *r)
{
    const fta_redis_url *url = r->url;
    const bool is_sentinel = url->kind == FTA_REDIS_SENTINEL;
    const bool is_tcp = url->kind == FTA_REDIS_TCP;
    const bool has_files = url->ca_file != NULL || url->cert_file != NULL ||
                           url->key_file != NULL || url->server_name != NULL;
    const struct {
        bool is_wrong;
        const char *problem;
    } rules[] = {
        {url->user != NULL && url->password == NULL, USER_WITHOUT_PASSWORD},
        {url->sentinel_user != NULL && url->sentinel_password == NULL,
         "sentinel_username needs sentinel_password"},
        {!is_sentinel && url->sentinel_password != NULL,
         "sentinel_password is for redis+sentinel:// alone"},
        {is_sentinel && url->service == NULL,
         "the service is missing (host:port/service)"},
        {url->cluster && !is_tcp,
         "cluster is for redis:// and rediss:// alone"},
        {url->cluster && url->database != 0, "a cluster has database 0 alone"},
        {url->host_count > 1 && is_tcp && !url->cluster,
         "several hosts need cluster=true"},
        {!url->tls && has_files, "ssl_ parameters need rediss://"},
        {(url->cert_file != NULL) != (url->key_file != NULL),
         "ssl_certfile and ssl_keyfile need each other"},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        if (rules[i].is_wrong) {
            return fta_redis_url_fail(r, rules[i].problem);
        }
    }
    return true;
}

static bool
check_octets(fta_redis_url_reader *r, fta_text s)
{
    for (size_t i = 0; i < s.length; i++) {
        if ((unsigned char)s.data[i] <= 0x20 || s.data[i] == 0x7F) {
            return fta_redis_url_fail(r,
                                      "it has a space or a control character");
        }
        if (s.data[i] == '#') {
            return fta_redis_url_fail(r, "it has a #; write it as %23");
        }
    }
    return true;
}

/* Reads the scheme and ://, and leaves what follows in s. */
static bool
read_scheme(fta_redis_url_reader *r, fta_text *s)
{
    const char *colon =
        s->length > 3 ? memchr(s->data, ':', s->length - 2) : NULL;
    if (colon == NULL || colon[1] != '/' || colon[2] != '/') {
        return fta_redis_url_fail(r, "it does not begin with a scheme and ://");
    }
    fta_text name = {s->data, (size_t)(colon - s->data)};
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        if (fta_redis_url_equals(name, schemes[i].name)) {
            scheme = &schemes[i];
        }
    }
    if (scheme == NULL) {
        return fta_redis_url_fail(r, "the scheme must be redis, rediss, unix, "
                                     "redis+sentinel or rediss+sentinel");
    }
    r->url->kind = scheme->kind;
    r->url->tls = scheme->tls;
    *s = (fta_text){colon + 3, s->length - name.length - 3};
    return true;
}

/* Reads the credentials, if there are any, and leaves what follows them in s.
 * They end at the last @, because a password often has one that is not
 * percent-encoded. */
static bool
skip_credentials(fta_redis_url_reader *r, fta_text *s)
{
    for (size_t i = s->length; i > 0; i--) {
        if (s->data[i - 1] == '@') {
            fta_text credentials = {s->data, i - 1};
            *s = (fta_text){s->data + i, s->length - i};
            return read_credentials(r, credentials);
        }
    }
    return true;
}

static bool
read_url(fta_redis_url_reader *r, fta_text s)
{
    if (!check_octets(r, s) || !read_scheme(r, &s)) {
        return false;
    }
    bool found;
    fta_text path = fta_redis_url_cut(&s, '?', &found);
    fta_text query = s;
    fta_text whole = path;
    fta_text authority = fta_redis_url_cut(&path, '/', &found);
    bool is_unix = r->url->kind == FTA_REDIS_UNIX;
    /* Without this, a password with a / would be cut there, and its rest be
     * read as the path, which messages show. */
    if (!is_unix && path.length > 0 &&
        memchr(path.data, '@', path.length) != NULL) {
        return fta_redis_url_fail(
            r, "a / comes before an @; write %2F where a password "
               "has one, and %40 for an @ in the path");
    }
    fta_text hosts = authority;
    if (!skip_credentials(r, &hosts)) {
        return false;
    }
    if (is_unix) {
        if (hosts.length > 0 || path.length == 0) {
            return fta_redis_url_fail(
                r, "unix:// needs an absolute path of a socket");
        }
        fta_text socket_path = {whole.data + authority.length,
                                whole.length - authority.length};
        if (!fta_redis_url_decode(r, socket_path, &r->url->path)) {
            return false;
        }
    } else if (!read_hosts(r, hosts) || !read_path(r, path)) {
        return false;
    }
    return fta_redis_url_read_query(r, query) && check_parts(r);
}

fta_status
fta_redis_url_parse(const char *text, size_t length, fta_redis_url **out,
                    const char **problem)
{
    *out = NULL;
    *problem = NULL;
    if (length > FTA_REDIS_URL_MAX) {
        *problem = "it is longer than 4096 bytes";
        return FTA_BAD_ARGUMENT;
    }
    /* The NUL of each text takes the octet of a separator, except the NUL of a
     * text at the end of the URL. */
    size_t size = sizeof(fta_redis_url) + length + 1;
    fta_redis_url *url = fta_calloc(1, size);
    if (url == NULL) {
        return FTA_NO_MEMORY;
    }
    url->size = size;
    url->max_connections = DEFAULT_CONNECTIONS;
    fta_redis_url_reader r = {url, NULL};
    if (!read_url(&r, (fta_text){text, length})) {
        *problem = r.problem;
        fta_redis_url_free(url);
        return FTA_BAD_ARGUMENT;
    }
    *out = url;
    return FTA_OK;
}

bool
fta_redis_host_equal(const fta_redis_host *a, const fta_redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

void
fta_redis_url_free(fta_redis_url *url)
{
    if (url != NULL) {
        fta_free_secret(url, url->size);
    }
}

void
fta_redis_url_describe(const fta_redis_url *url, char *out, size_t size)
{
    size_t used = 0;
#define PUT(...)                                                               \
    do {                                                                       \
        int n = snprintf(out + used, size - used, __VA_ARGS__);                \
        used =                                                                 \
            n < 0 || (size_t)n >= size - used ? size - 1 : used + (size_t)n;   \
    } while (0)
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        if (schemes[i].kind == url->kind && schemes[i].tls == url->tls) {
            PUT("%s://", schemes[i].name);
        }
    }
    for (size_t i = 0; i < url->host_count; i++) {
        const fta_redis_host *host = &url->hosts[i];
        bool v6 = strchr(host->name, ':') != NULL;
        PUT("%s%s%s%s:%u", i > 0 ? "," : "", v6 ? "[" : "", host->name,
            v6 ? "]" : "", (unsigned)host->port);
    }
    if (url->kind == FTA_REDIS_UNIX) {
        PUT("%s", url->path);
    }
    if (url->kind == FTA_REDIS_SENTINEL) {
        PUT("/%s", url->service);
    }
    if (url->database != 0) {
        PUT(url->kind == FTA_REDIS_UNIX ? "?db=%u" : "/%u", url->database);
    }
#undef PUT
}
