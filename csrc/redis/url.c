#include "redis/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/hex.h"

typedef struct span {
    const char *at;
    size_t length;
} span;

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

/* What is being read, and the first thing found wrong with it. */
typedef struct reader {
    fta_redis_url *url;
    const char *problem;
} reader;

static bool
refuse(reader *r, const char *problem)
{
    r->problem = problem;
    return false;
}

static bool
span_is(span s, const char *text)
{
    return s.length == strlen(text) && strncasecmp(s.at, text, s.length) == 0;
}

/* Cuts s at the first separator: the head is returned, s becomes the tail and
 * *found says whether there was one. */
static span
cut(span *s, char separator, bool *found)
{
    span head = *s;
    const char *at = s->length > 0 ? memchr(s->at, separator, s->length) : NULL;
    *found = at != NULL;
    if (at != NULL) {
        head.length = (size_t)(at - s->at);
        s->at = at + 1;
        s->length -= head.length + 1;
    } else {
        s->at += s->length;
        s->length = 0;
    }
    return head;
}

/* Percent-decodes into the arena. Decoding never grows and every text of a
 * URL has a separator before it, so the arena cannot run out. */
static bool
decode(reader *r, span s, const char **out)
{
    fta_redis_url *url = r->url;
    char *text = url->arena + url->used;
    size_t n = 0;
    for (size_t i = 0; i < s.length; i++) {
        char c = s.at[i];
        if (c == '%') {
            bool has_two = i + 2 < s.length;
            int high = has_two ? fta_hex_value((unsigned char)s.at[i + 1]) : -1;
            int low = has_two ? fta_hex_value((unsigned char)s.at[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return refuse(r, "a % is not followed by two hex digits");
            }
            c = (char)(high * 16 + low);
            if (c == '\0') {
                return refuse(r, "%00 is not allowed");
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

static bool
read_number(span s, unsigned lowest, unsigned highest, unsigned *out)
{
    if (s.length == 0 || s.length > 6) {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < s.length; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(s.at[i] - '0');
    }
    *out = value;
    return value >= lowest && value <= highest;
}

static bool
read_database(reader *r, span s)
{
    if (!read_number(s, 0, 65535, &r->url->database)) {
        return refuse(r, "the database must be a number");
    }
    return true;
}

/* "user:password" or ":password". */
static bool
read_credentials(reader *r, span s)
{
    bool found;
    span user = cut(&s, ':', &found);
    if (!found) {
        return refuse(r, "a user needs a password (user:password@)");
    }
    if (user.length > 0 && !decode(r, user, &r->url->user)) {
        return false;
    }
    return s.length == 0 || decode(r, s, &r->url->password);
}

static bool
read_host(reader *r, span s)
{
    fta_redis_url *url = r->url;
    if (url->host_count == FTA_REDIS_HOSTS_MAX) {
        return refuse(r, "more than 16 hosts");
    }
    span name = s, port = {s.at + s.length, 0};
    if (s.length > 0 && s.at[0] == '[') {
        const char *end = memchr(s.at, ']', s.length);
        if (end == NULL) {
            return refuse(r, "a [ without its ]");
        }
        name = (span){s.at + 1, (size_t)(end - s.at) - 1};
        port = (span){end + 1, (size_t)(s.at + s.length - end) - 1};
        if (name.length == 0 || (port.length > 0 && port.at[0] != ':')) {
            return refuse(r, "the address in [] is not one");
        }
        if (port.length > 0) {
            port.at++;
            port.length--;
        }
    } else {
        bool found;
        name = cut(&s, ':', &found);
        port = s;
    }
    unsigned number = url->kind == FTA_REDIS_SENTINEL ? 26379 : 6379;
    if (port.length > 0 && !read_number(port, 1, 65535, &number)) {
        return refuse(r, "the port must be a number from 1 to 65535");
    }
    const char *text = "localhost";
    if (name.length > 0 && !decode(r, name, &text)) {
        return false;
    }
    if (strlen(text) >= FTA_REDIS_HOST_TEXT) {
        return refuse(r, "a host name is too long");
    }
    fta_redis_host *host = &url->hosts[url->host_count++];
    strcpy(host->name, text);
    host->port = (uint16_t)number;
    return true;
}

static bool
read_hosts(reader *r, span s)
{
    bool more = true;
    while (more) {
        if (!read_host(r, cut(&s, ',', &more))) {
            return false;
        }
    }
    return true;
}

/* What stands after the host and the first slash. */
static bool
read_path(reader *r, span s)
{
    bool found;
    if (r->url->kind == FTA_REDIS_SENTINEL) {
        span service = cut(&s, '/', &found);
        if (service.length > 0 && !decode(r, service, &r->url->service)) {
            return false;
        }
    }
    return s.length == 0 || read_database(r, s);
}

typedef enum parameter_kind {
    TEXT,
    TRUTH,
    ALWAYS,
    DATABASE,
    CONNECTIONS
} parameter_kind;

static const struct parameter {
    const char *name;
    parameter_kind kind;
    size_t offset;
} parameters[] = {
    {"db", DATABASE, 0},
    {"username", TEXT, offsetof(fta_redis_url, user)},
    {"password", TEXT, offsetof(fta_redis_url, password)},
    {"cluster", TRUTH, offsetof(fta_redis_url, cluster)},
    {"max_connections", CONNECTIONS, 0},
    {"ssl_ca_certs", TEXT, offsetof(fta_redis_url, ca_file)},
    {"ssl_certfile", TEXT, offsetof(fta_redis_url, cert_file)},
    {"ssl_keyfile", TEXT, offsetof(fta_redis_url, key_file)},
    {"ssl_server_name", TEXT, offsetof(fta_redis_url, server_name)},
    {"ssl_cert_reqs", ALWAYS, 0},
    {"ssl_check_hostname", ALWAYS, 0},
    {"sentinel_username", TEXT, offsetof(fta_redis_url, sentinel_user)},
    {"sentinel_password", TEXT, offsetof(fta_redis_url, sentinel_password)},
};

static bool
read_truth(span value, bool *out)
{
    *out =
        span_is(value, "true") || span_is(value, "1") || span_is(value, "yes");
    return *out || span_is(value, "false") || span_is(value, "0") ||
           span_is(value, "no");
}

static bool
read_parameter(reader *r, span name, span value)
{
    const struct parameter *known = NULL;
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
        if (span_is(name, parameters[i].name)) {
            known = &parameters[i];
        }
    }
    if (known == NULL) {
        return refuse(r, "a parameter is unknown");
    }
    char *field = (char *)r->url + known->offset;
    bool truth;
    switch (known->kind) {
    case TEXT:
        if (value.length == 0) {
            return refuse(r, "a parameter is empty");
        }
        return decode(r, value, (const char **)(void *)field);
    case TRUTH:
        return read_truth(value, (bool *)field) ||
               refuse(r, "a parameter must be true or false");
    case ALWAYS:
        /* Taken from URLs made for redis-py, but only to say yes. */
        if (span_is(value, "required") ||
            (read_truth(value, &truth) && truth)) {
            return true;
        }
        return refuse(r, "verification of certificates cannot be turned off");
    case DATABASE:
        return read_database(r, value);
    case CONNECTIONS:
        return read_number(value, 1, FTA_REDIS_CONNECTIONS_MAX,
                           &r->url->max_connections) ||
               refuse(r, "max_connections must be from 1 to 256");
    }
    return false;
}

static bool
read_query(reader *r, span s)
{
    bool more = s.length > 0;
    while (more) {
        span value = cut(&s, '&', &more);
        bool found;
        span name = cut(&value, '=', &found);
        if (!found) {
            return refuse(r, "a parameter has no value");
        }
        if (!read_parameter(r, name, value)) {
            return false;
        }
    }
    return true;
}

/* Combinations that cannot be meant. */
static bool
check(reader *r)
{
    const fta_redis_url *url = r->url;
    if (url->user != NULL && url->password == NULL) {
        return refuse(r, "a user needs a password (user:password@)");
    }
    if (url->sentinel_user != NULL && url->sentinel_password == NULL) {
        return refuse(r, "sentinel_username needs sentinel_password");
    }
    if (url->kind != FTA_REDIS_SENTINEL && url->sentinel_password != NULL) {
        return refuse(r, "sentinel_password is for redis+sentinel:// alone");
    }
    if (url->kind == FTA_REDIS_SENTINEL && url->service == NULL) {
        return refuse(r, "the service is missing (host:port/service)");
    }
    if (url->cluster && url->kind != FTA_REDIS_TCP) {
        return refuse(r, "cluster is for redis:// and rediss:// alone");
    }
    if (url->cluster && url->database != 0) {
        return refuse(r, "a cluster has database 0 alone");
    }
    if (url->host_count > 1 && url->kind == FTA_REDIS_TCP && !url->cluster) {
        return refuse(r, "several hosts need cluster=true");
    }
    if (!url->tls && (url->ca_file != NULL || url->cert_file != NULL ||
                      url->key_file != NULL || url->server_name != NULL)) {
        return refuse(r, "ssl_ parameters need rediss://");
    }
    if ((url->cert_file != NULL) != (url->key_file != NULL)) {
        return refuse(r, "ssl_certfile and ssl_keyfile need each other");
    }
    return true;
}

static bool
read_url(reader *r, span s)
{
    for (size_t i = 0; i < s.length; i++) {
        if ((unsigned char)s.at[i] <= 0x20 || s.at[i] == 0x7F) {
            return refuse(r, "a space or control character is in it");
        }
        if (s.at[i] == '#') {
            return refuse(r, "a # is in it; write %23 where it is meant");
        }
    }
    const char *colon = s.length > 3 ? memchr(s.at, ':', s.length - 2) : NULL;
    if (colon == NULL || colon[1] != '/' || colon[2] != '/') {
        return refuse(r, "it does not begin with a scheme and ://");
    }
    span name = {s.at, (size_t)(colon - s.at)};
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        if (span_is(name, schemes[i].name)) {
            scheme = &schemes[i];
        }
    }
    if (scheme == NULL) {
        return refuse(r, "the scheme must be redis, rediss, unix, "
                         "redis+sentinel or rediss+sentinel");
    }
    r->url->kind = scheme->kind;
    r->url->tls = scheme->tls;

    bool found;
    span query = {colon + 3, s.length - name.length - 3};
    span path = cut(&query, '?', &found);
    span whole = path;
    span authority = cut(&path, '/', &found);
    /* Else a part of the password would be taken for what comes after it, and
     * be shown with it. */
    if (scheme->kind != FTA_REDIS_UNIX && path.length > 0 &&
        memchr(path.at, '@', path.length) != NULL) {
        return refuse(r, "a / comes before an @; write %2F where a password "
                         "has one, and %40 for an @ in the path");
    }
    /* The last @: an unencoded one in a password is common enough. */
    span place = authority;
    for (size_t i = authority.length; i > 0; i--) {
        if (authority.at[i - 1] == '@') {
            place = (span){authority.at + i, authority.length - i};
            if (!read_credentials(r, (span){authority.at, i - 1})) {
                return false;
            }
            break;
        }
    }
    if (scheme->kind == FTA_REDIS_UNIX) {
        if (place.length > 0 || path.length == 0) {
            return refuse(r, "unix:// needs an absolute path of a socket");
        }
        span socket_path = {whole.at + authority.length,
                            whole.length - authority.length};
        if (!decode(r, socket_path, &r->url->path)) {
            return false;
        }
    } else if (!read_hosts(r, place) || !read_path(r, path)) {
        return false;
    }
    return read_query(r, query) && check(r);
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
    /* A NUL for each of a URL's texts, of which there are fewer than bytes,
     * and one for a text at its very end. */
    size_t size = sizeof(fta_redis_url) + length + 1;
    fta_redis_url *url = fta_calloc(1, size);
    if (url == NULL) {
        return FTA_NO_MEMORY;
    }
    url->size = size;
    url->max_connections = DEFAULT_CONNECTIONS;
    reader r = {url, NULL};
    if (!read_url(&r, (span){text, length})) {
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
