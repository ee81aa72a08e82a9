#include "redis/reply.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/alloc.h"

struct fta_redis_reader {
    redisReader *hiredis; /* Owned */
    size_t wire;          /* bytes of the reply that is being read */
    size_t memory;        /* what its objects take */
    bool refused;         /* the reply is too large, too deep or RESP3 */
};

/* --- Objects, made by hiredis through these ------------------------------- */

static bool
is_too_deep(const redisReadTask *task)
{
    int depth = 0;
    for (; task->parent != NULL && depth <= FTA_REDIS_DEPTH_MAX; depth++) {
        task = task->parent;
    }
    return depth > FTA_REDIS_DEPTH_MAX;
}

/* Maps, sets and pushed messages reach us as arrays, verbatim text and large
 * numbers as strings: only the task tells. */
static bool
is_resp2(const redisReadTask *task)
{
    switch (task->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_ARRAY:
    case REDIS_REPLY_INTEGER:
    case REDIS_REPLY_NIL:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        return true;
    default:
        return false;
    }
}

/* NULL makes hiredis stop with "out of memory"; refused tells whether it was
 * memory. */
static fta_redis_reply *
new_object(const redisReadTask *task, fta_redis_type type, size_t extra)
{
    fta_redis_reader *reader = task->privdata;
    if (extra > FTA_REDIS_REPLY_MAX ||
        reader->memory + extra > FTA_REDIS_REPLY_MAX || !is_resp2(task) ||
        is_too_deep(task)) {
        reader->refused = true;
        return NULL;
    }
    fta_redis_reply *reply = fta_calloc(1, sizeof(*reply) + extra);
    if (reply == NULL) {
        return NULL;
    }
    reader->memory += sizeof(*reply) + extra;
    reply->type = type;
    if (task->parent != NULL) {
        fta_redis_reply *parent = task->parent->obj;
        parent->elements[task->idx] = reply;
    }
    return reply;
}

static void *
create_string(const redisReadTask *task, char *text, size_t length)
{
    fta_redis_type type =
        task->type == REDIS_REPLY_ERROR ? FTA_REDIS_ERROR : FTA_REDIS_TEXT;
    fta_redis_reply *reply = new_object(task, type, length + 1);
    if (reply != NULL) {
        char *copy = (char *)(reply + 1);
        memcpy(copy, text, length);
        copy[length] = '\0';
        reply->text = copy;
        reply->length = length;
    }
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

static void *
create_array(const redisReadTask *task, array_length count)
{
    size_t length = (size_t)count;
    /* Without the division a huge count would wrap around. */
    size_t extra = length > FTA_REDIS_REPLY_MAX / sizeof(fta_redis_reply *)
                       ? SIZE_MAX
                       : length * sizeof(fta_redis_reply *);
    fta_redis_reply *reply = new_object(task, FTA_REDIS_ARRAY, extra);
    if (reply != NULL) {
        reply->elements = (fta_redis_reply **)(void *)(reply + 1);
        reply->length = length;
    }
    return reply;
}

static void *
create_integer(const redisReadTask *task, long long value)
{
    fta_redis_reply *reply = new_object(task, FTA_REDIS_INTEGER, 0);
    if (reply != NULL) {
        reply->integer = value;
    }
    return reply;
}

static void *
create_nil(const redisReadTask *task)
{
    return new_object(task, FTA_REDIS_NIL, 0);
}

#if HIREDIS_MAJOR >= 1
static void *
create_double(const redisReadTask *task, double value, char *text,
              size_t length)
{
    (void)value, (void)text, (void)length;
    return new_object(task, FTA_REDIS_NIL, 0); /* refused by its type */
}

static void *
create_bool(const redisReadTask *task, int value)
{
    (void)value;
    return new_object(task, FTA_REDIS_NIL, 0); /* refused by its type */
}
#endif

static void
free_object(void *object)
{
    fta_redis_reply_free(object);
}

/* Not const: hiredis wants to be able to write, and does not. */
static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
    .freeObject = free_object,
};

/* A reply that hiredis gave up on has elements that were never made. Depth is
 * bounded by FTA_REDIS_DEPTH_MAX. */
void
fta_redis_reply_free(fta_redis_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    if (reply->type == FTA_REDIS_ARRAY) {
        for (size_t i = 0; i < reply->length; i++) {
            fta_redis_reply_free(reply->elements[i]);
        }
    }
    fta_free(reply);
}

/* --- The reader ------------------------------------------------------------
 */

fta_status
fta_redis_reader_new(fta_redis_reader **out)
{
    *out = NULL;
    fta_redis_reader *reader = fta_calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return FTA_NO_MEMORY;
    }
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (reader->hiredis == NULL) {
        fta_free(reader);
        return FTA_NO_MEMORY;
    }
    reader->hiredis->privdata = reader;
    *out = reader;
    return FTA_OK;
}

void
fta_redis_reader_free(fta_redis_reader *reader)
{
    if (reader != NULL) {
        redisReaderFree(reader->hiredis);
        fta_free(reader);
    }
}

static fta_status
reader_failure(const fta_redis_reader *reader)
{
    return reader->hiredis->err == REDIS_ERR_OOM && !reader->refused
               ? FTA_NO_MEMORY
               : FTA_REDIS_MALFORMED;
}

fta_status
fta_redis_reader_feed(fta_redis_reader *reader, const char *bytes,
                      size_t length)
{
    reader->wire += length;
    if (reader->wire > FTA_REDIS_REPLY_MAX) {
        reader->refused = true;
        return FTA_REDIS_MALFORMED;
    }
    return redisReaderFeed(reader->hiredis, bytes, length) == REDIS_OK
               ? FTA_OK
               : reader_failure(reader);
}

fta_status
fta_redis_reader_next(fta_redis_reader *reader, fta_redis_reply **out)
{
    void *reply = NULL;
    *out = NULL;
    if (redisReaderGetReply(reader->hiredis, &reply) != REDIS_OK) {
        return reader_failure(reader);
    }
    if (reply != NULL) {
        reader->wire = reader->hiredis->len - reader->hiredis->pos;
        reader->memory = 0;
        *out = reply;
    }
    return FTA_OK;
}

bool
fta_redis_reader_is_empty(const fta_redis_reader *reader)
{
    return reader->wire == 0;
}

/* --- What replies mean ------------------------------------------------------
 */

static const struct meaning {
    const char *word; /* the first of the error's line */
    fta_status status;
} meanings[] = {
    {"NOSCRIPT", FTA_REDIS_NO_SCRIPT},
    {"MOVED", FTA_REDIS_MOVED},
    {"ASK", FTA_REDIS_ASK},
    {"TRYAGAIN", FTA_REDIS_TRY_AGAIN},
    {"CLUSTERDOWN", FTA_REDIS_CLUSTER_DOWN},
    {"LOADING", FTA_REDIS_LOADING},
    {"MASTERDOWN", FTA_REDIS_LOADING},
    {"BUSY", FTA_REDIS_BUSY},
    {"READONLY", FTA_REDIS_READ_ONLY},
    {"OOM", FTA_REDIS_FULL},
    {"MISCONF", FTA_REDIS_FULL},
    {"NOREPLICAS", FTA_REDIS_FULL},
    {"NOAUTH", FTA_REDIS_DENIED},
    {"WRONGPASS", FTA_REDIS_DENIED},
    {"NOPERM", FTA_REDIS_DENIED},
    {"WRONGTYPE", FTA_REDIS_REFUSED},
    {"CROSSSLOT", FTA_REDIS_REFUSED},
};

fta_status
fta_redis_reply_status(const fta_redis_reply *reply)
{
    if (reply->type != FTA_REDIS_ERROR) {
        return FTA_OK;
    }
    size_t word = strcspn(reply->text, " ");
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++) {
        if (strlen(meanings[i].word) == word &&
            memcmp(meanings[i].word, reply->text, word) == 0) {
            return meanings[i].status;
        }
    }
    /* What the script may not do is the user's fault and not the request's.
     * Redis 6 and 7 say it in these words. */
    if (strstr(reply->text, "The user executing the script") != NULL ||
        strstr(reply->text, "ACL failure in script") != NULL) {
        return FTA_REDIS_DENIED;
    }
    /* A script that fails does so because of what it was given. */
    return strstr(reply->text, "user_script") != NULL ? FTA_REDIS_REFUSED
                                                      : FTA_REDIS_FAILED;
}

/* What a host name or an address, with its zone, may hold. */
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

/* Decimal digits up to the end or a space; at most five. */
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

/* --- The slots of a cluster --------------------------------------------------
 */

/* More than any cluster has (Redis advises 1,000), few enough to search. */
enum { NODES_MAX = 1024 };

static bool
same_host(const fta_redis_host *a, const fta_redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* The index of a node, which is added when it is new. */
static fta_status
node_index(fta_redis_slots *slots, const fta_redis_host *host, uint16_t *index)
{
    for (size_t i = 0; i < slots->count; i++) {
        if (same_host(&slots->nodes[i], host)) {
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

/* One node of a range: [host, port, ...]. A host that is nil or empty is the
 * one that was asked. */
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

/* "?" is what a node is called that shall be called by a host name and was
 * given none (cluster-preferred-endpoint-type). */
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
            /* A replica without an address yet does no harm, and a primary
             * that cannot be named leaves its slots without an owner. */
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
