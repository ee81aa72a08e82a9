/* The hosts of Redis and the credentials for it, read from one URL:
 *
 *   redis://[[user]:password@]host[:port][/database]
 *   rediss://...                                    the same over TLS
 *   unix://[[user]:password@]/path/of/socket
 *   redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]
 *   rediss+sentinel://...                           the same over TLS
 *
 * Parameters after "?": db, username, password, cluster, max_connections,
 * ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_server_name, ssl_cert_reqs,
 * ssl_check_hostname, sentinel_username, sentinel_password. The names are
 * those of redis-py where it has them. An unknown parameter is an error,
 * because a misspelt one would silently protect nothing. */
#ifndef FTA_REDIS_URL_H
#define FTA_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FTA_REDIS_URL_MAX 4096
#define FTA_REDIS_HOSTS_MAX 16
#define FTA_REDIS_HOST_TEXT 256
#define FTA_REDIS_CONNECTIONS_MAX 256

typedef enum fta_redis_kind {
    FTA_REDIS_TCP,
    FTA_REDIS_UNIX,
    FTA_REDIS_SENTINEL,
} fta_redis_kind;

typedef struct fta_redis_host {
    char name[FTA_REDIS_HOST_TEXT]; /* without the brackets of IPv6 */
    uint16_t port;
} fta_redis_host;

bool fta_redis_host_equal(const fta_redis_host *a, const fta_redis_host *b);

/* Texts are Owned by the url. Each ends with a NUL, as OpenSSL and hiredis
 * expect, and holds no other. One that was not given is NULL. */
typedef struct fta_redis_url {
    fta_redis_kind kind;
    bool tls;
    bool cluster;
    unsigned database;
    unsigned max_connections;
    size_t host_count;
    fta_redis_host hosts[FTA_REDIS_HOSTS_MAX]; /* unix: none */
    const char *path;                          /* unix: of the socket */
    const char *service;                       /* sentinel: of the primary */
    const char *user;
    const char *password;
    const char *sentinel_user;
    const char *sentinel_password;
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *server_name; /* verified instead of the host's name */

    size_t size; /* of this block, wiped when freed */
    size_t used;
    char arena[];
} fta_redis_url;

/* On FTA_BAD_ARGUMENT *problem is one English phrase that says what is wrong
 * and never quotes the URL, which may hold a password. */
fta_status fta_redis_url_parse(const char *text, size_t length,
                               fta_redis_url **out, const char **problem);

void fta_redis_url_free(fta_redis_url *url);

/* The URL without user, password and parameters, for people to read; cut to
 * size, always with a NUL. */
void fta_redis_url_describe(const fta_redis_url *url, char *out, size_t size);

#endif
