#include "redis/nodes.h"

#include <string.h>

#include "base/alloc.h"

/* --- Addresses ------------------------------------------------------------ */

/* Whether these are characters of a host name or an address with its zone. */
static bool
is_host_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || (c != '\0' && strchr("-._:%", c)))) {
            return false;
        }
    }
    return length > 0 && length < FTA_REDIS_HOST_TEXT;
}

static bool
set_host(fta_redis_host *host, const char *name, size_t length,
         const fta_redis_host *asked, uint64_t port)
{
    if (length == 0 && asked != NULL) {
        name = asked->name;
        length = strlen(name);
    } else if (!is_host_name(name, length)) {
        return false;
    }
    if (port < 1 || port > 65535) {
        return false;
    }
    memmove(host->name, name, length);
    host->name[length] = '\0';
    host->port = (uint16_t)port;
    return true;
}

/* Reads at most five decimal digits. */
static bool
take_number(const char **at, unsigned *out)
{
    unsigned value = 0;
    const char *start = *at;
    while (**at >= '0' && **at <= '9' && *at - start < 5) {
        value = value * 10 + (unsigned)(*(*at)++ - '0');
    }
    *out = value;
    return *at > start;
}

bool
fta_redis_redirect_parse(const fta_redis_reply *reply,
                         const fta_redis_host *asked, unsigned *slot,
                         fta_redis_host *to)
{
    if (reply->type != FTA_REDIS_ERROR) {
        return false;
    }
    const char *at = strchr(reply->text, ' ');
    if (at == NULL || (at++, !take_number(&at, slot)) ||
        *slot >= FTA_REDIS_SLOTS || *at++ != ' ') {
        return false;
    }
    /* The last colon: an IPv6 address has more. */
    const char *colon = strrchr(at, ':');
    if (colon == NULL) {
        return false;
    }
    const char *digits = colon + 1;
    unsigned port;
    return take_number(&digits, &port) && *digits == '\0' &&
           set_host(to, at, (size_t)(colon - at), asked, port);
}

bool
fta_redis_address_parse(const fta_redis_reply *reply, fta_redis_host *to)
{
    if (reply->type != FTA_REDIS_ARRAY || reply->length != 2 ||
        reply->elements[0]->type != FTA_REDIS_TEXT ||
        reply->elements[1]->type != FTA_REDIS_TEXT) {
        return false;
    }
    const char *digits = reply->elements[1]->text;
    unsigned port;
    return take_number(&digits, &port) && *digits == '\0' &&
           set_host(to, reply->elements[0]->text, reply->elements[0]->length,
                    NULL, port);
}

/* --- The slots of a cluster ----------------------------------------------- */

/* More than any cluster has (Redis advises at most 1,000), and few enough for a
 * linear search. */
enum { NODES_MAX = 1024 };

/* The index of a node. Adds it when it is new. */
static fta_status
node_index(fta_redis_slots *slots, const fta_redis_host *host, uint16_t *index)
{
    for (size_t i = 0; i < slots->count; i++) {
        if (fta_redis_host_equal(&slots->nodes[i], host)) {
            *index = (uint16_t)i;
            return FTA_OK;
        }
    }
    if (slots->count == NODES_MAX) {
        return FTA_REDIS_MALFORMED;
    }
    fta_redis_host *grown =
        fta_realloc(slots->nodes, (slots->count + 1) * sizeof(*slots->nodes));
    if (grown == NULL) {
        return FTA_NO_MEMORY;
    }
    slots->nodes = grown;
    slots->nodes[slots->count] = *host;
    *index = (uint16_t)slots->count++;
    return FTA_OK;
}

/* One node of a range: [host, port, ...]. A host that is nil or empty means the
 * node that was asked. */
static bool
read_node(const fta_redis_reply *node, const fta_redis_host *asked,
          fta_redis_host *out)
{
    if (node->type != FTA_REDIS_ARRAY || node->length < 2 ||
        node->elements[1]->type != FTA_REDIS_INTEGER) {
        return false;
    }
    const fta_redis_reply *host = node->elements[0];
    bool named = host->type == FTA_REDIS_TEXT;
    return (named || host->type == FTA_REDIS_NIL) &&
           set_host(out, named ? host->text : "", named ? host->length : 0,
                    asked, (uint64_t)node->elements[1]->integer);
}

/* "?" is the name of a node whose host name is preferred and not configured
 * (cluster-preferred-endpoint-type). */
static bool
is_nameless(const fta_redis_reply *node)
{
    return node->type == FTA_REDIS_ARRAY && node->length >= 2 &&
           node->elements[0]->type == FTA_REDIS_TEXT &&
           strcmp(node->elements[0]->text, "?") == 0;
}

/* One range: [first, last, primary, replica...]. */
static fta_status
read_range(fta_redis_slots *slots, const fta_redis_reply *range,
           const fta_redis_host *asked)
{
    if (range->type != FTA_REDIS_ARRAY || range->length < 3 ||
        range->elements[0]->type != FTA_REDIS_INTEGER ||
        range->elements[1]->type != FTA_REDIS_INTEGER) {
        return FTA_REDIS_MALFORMED;
    }
    int64_t first = range->elements[0]->integer;
    int64_t last = range->elements[1]->integer;
    if (first < 0 || last < first || last >= FTA_REDIS_SLOTS) {
        return FTA_REDIS_MALFORMED;
    }
    for (size_t i = 2; i < range->length; i++) {
        fta_redis_host host;
        if (!read_node(range->elements[i], asked, &host)) {
            /* A replica may have no address yet. A primary without a name
             * leaves its slots without an owner. */
            if (i > 2 || is_nameless(range->elements[i])) {
                continue;
            }
            return FTA_REDIS_MALFORMED;
        }
        uint16_t index;
        fta_status status = node_index(slots, &host, &index);
        if (status != FTA_OK) {
            return status;
        }
        for (int64_t slot = first; i == 2 && slot <= last; slot++) {
            slots->owner[slot] = index;
        }
    }
    return FTA_OK;
}

fta_status
fta_redis_slots_parse(const fta_redis_reply *reply, const fta_redis_host *asked,
                      fta_redis_slots **out)
{
    *out = NULL;
    if (reply->type != FTA_REDIS_ARRAY) {
        return FTA_REDIS_MALFORMED;
    }
    fta_redis_slots *slots = fta_calloc(1, sizeof(*slots));
    if (slots == NULL) {
        return FTA_NO_MEMORY;
    }
    memset(slots->owner, 0xFF, sizeof(slots->owner));
    for (size_t i = 0; i < reply->length; i++) {
        fta_status status = read_range(slots, reply->elements[i], asked);
        if (status != FTA_OK) {
            fta_redis_slots_free(slots);
            return status;
        }
    }
    *out = slots;
    return FTA_OK;
}

fta_status
fta_redis_slots_move(fta_redis_slots *slots, unsigned slot,
                     const fta_redis_host *to)
{
    uint16_t index;
    fta_status status = node_index(slots, to, &index);
    if (status == FTA_OK) {
        slots->owner[slot] = index;
    }
    return status;
}

void
fta_redis_slots_free(fta_redis_slots *slots)
{
    if (slots != NULL) {
        fta_free(slots->nodes);
        fta_free(slots);
    }
}

unsigned
fta_redis_slot_of(const char *tag, size_t length)
{
    unsigned crc = 0;
    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned)(unsigned char)tag[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
        crc &= 0xFFFF;
    }
    return crc % FTA_REDIS_SLOTS;
}
