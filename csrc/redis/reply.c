#include "redis/reply.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/alloc.h"

struct fta_redis_reader {
    redisReader *hiredis; /* Owned */
    size_t wire;          /* bytes of the reply that is being read */
    size_t memory;        /* what its objects take */
    bool is_invalid;      /* the reply is too large, too deep or RESP3 */
};

/* --- The objects that hiredis makes --------------------------------------- */

static bool
is_too_deep(const redisReadTask *task)
{
    int depth = 0;
    for (; task->parent != NULL && depth <= FTA_REDIS_DEPTH_MAX; depth++) {
        task = task->parent;
    }
    return depth > FTA_REDIS_DEPTH_MAX;
}

/* hiredis hands maps, sets and pushed messages over as arrays, verbatim text
 * and large numbers as strings. Only the task has the type. */
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

/* NULL makes hiredis stop with "out of memory"; is_invalid tells that it was
 * not memory. */
static fta_redis_reply *
new_object(const redisReadTask *task, fta_redis_type type, size_t extra)
{
    fta_redis_reader *reader = task->privdata;
    if (extra > FTA_REDIS_REPLY_MAX ||
        reader->memory + extra > FTA_REDIS_REPLY_MAX || !is_resp2(task) ||
        is_too_deep(task)) {
        reader->is_invalid = true;
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
    return new_object(task, FTA_REDIS_NIL, 0); /* NULL: no type of RESP2 */
}

static void *
create_bool(const redisReadTask *task, int value)
{
    (void)value;
    return new_object(task, FTA_REDIS_NIL, 0); /* NULL: no type of RESP2 */
}
#endif

static void
free_object(void *object)
{
    fta_redis_reply_free(object);
}

/* Not const, because hiredis takes a pointer that it could write through. */
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

/* An array that hiredis has not read to its end has elements that are NULL.
 * The depth is bounded by FTA_REDIS_DEPTH_MAX. */
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

/* --- The reader ----------------------------------------------------------- */

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
    return reader->hiredis->err == REDIS_ERR_OOM && !reader->is_invalid
               ? FTA_NO_MEMORY
               : FTA_REDIS_MALFORMED;
}

fta_status
fta_redis_reader_feed(fta_redis_reader *reader, const char *bytes,
                      size_t length)
{
    reader->wire += length;
    if (reader->wire > FTA_REDIS_REPLY_MAX) {
        reader->is_invalid = true;
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

/* --- What errors mean ----------------------------------------------------- */

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
    /* The user may not do what the script does. It is not about the request.
     * These are the words of Redis 6 and 7. */
    if (strstr(reply->text, "The user executing the script") != NULL ||
        strstr(reply->text, "ACL failure in script") != NULL) {
        return FTA_REDIS_DENIED;
    }
    /* A script fails because of its arguments. */
    return strstr(reply->text, "user_script") != NULL ? FTA_REDIS_REFUSED
                                                      : FTA_REDIS_FAILED;
}
