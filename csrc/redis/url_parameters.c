#include "redis/url_reader.h"

#include <stddef.h>

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
read_truth(fta_text value, bool *out)
{
    *out = fta_redis_url_equals(value, "true") ||
           fta_redis_url_equals(value, "1") ||
           fta_redis_url_equals(value, "yes");
    return *out || fta_redis_url_equals(value, "false") ||
           fta_redis_url_equals(value, "0") ||
           fta_redis_url_equals(value, "no");
}

static bool
read_parameter(fta_redis_url_reader *r, fta_text name, fta_text value)
{
    const struct parameter *known = NULL;
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
        if (fta_redis_url_equals(name, parameters[i].name)) {
            known = &parameters[i];
        }
    }
    if (known == NULL) {
        return fta_redis_url_fail(r, "a parameter is unknown");
    }
    char *field = (char *)r->url + known->offset;
    bool truth;
    switch (known->kind) {
    case TEXT:
        if (value.length == 0) {
            return fta_redis_url_fail(r, "a parameter is empty");
        }
        return fta_redis_url_decode(r, value, (const char **)(void *)field);
    case TRUTH:
        return read_truth(value, (bool *)field) ||
               fta_redis_url_fail(r, "a parameter must be true or false");
    case ALWAYS:
        /* Accepted for URLs made for redis-py, with the values that verify. */
        if (fta_redis_url_equals(value, "required") ||
            (read_truth(value, &truth) && truth)) {
            return true;
        }
        return fta_redis_url_fail(
            r, "verification of certificates cannot be turned off");
    case DATABASE:
        return fta_redis_url_read_database(r, value);
    case CONNECTIONS:
        return fta_redis_url_read_number(value, 1, FTA_REDIS_CONNECTIONS_MAX,
                                         &r->url->max_connections) ||
               fta_redis_url_fail(r, "max_connections must be from 1 to 256");
    }
    return false;
}

bool
fta_redis_url_read_query(fta_redis_url_reader *r, fta_text s)
{
    bool more = s.length > 0;
    while (more) {
        fta_text value = fta_redis_url_cut(&s, '&', &more);
        bool found;
        fta_text name = fta_redis_url_cut(&value, '=', &found);
        if (!found) {
            return fta_redis_url_fail(r, "a parameter has no value");
        }
        if (!read_parameter(r, name, value)) {
            return false;
        }
    }
    return true;
}
