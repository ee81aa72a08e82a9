/* The replies of Redis. hiredis parses them; this file bounds their size and
 * says what their errors mean.
 *
 * The bytes come from the network and are not trusted. A reply may use
 * FTA_REDIS_REPLY_MAX bytes on the wire and as many in memory, whatever length
 * it declares, and may nest arrays FTA_REDIS_DEPTH_MAX deep. A type of RESP3,
 * which no command asks for, is malformed. */
#ifndef FTA_REDIS_REPLY_H
#define FTA_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FTA_REDIS_REPLY_MAX ((size_t)1 << 20)
/* CLUSTER SLOTS nests four deep. hiredis 0.14 allows seven; later versions have
 * no bound of their own. */
#define FTA_REDIS_DEPTH_MAX 7

typedef enum fta_redis_type {
    FTA_REDIS_TEXT,  /* a string or a status */
    FTA_REDIS_ERROR, /* text is the error's line */
    FTA_REDIS_INTEGER,
    FTA_REDIS_ARRAY,
    FTA_REDIS_NIL,
} fta_redis_type;

typedef struct fta_redis_reply {
    fta_redis_type type;
    int64_t integer;
    size_t length;                     /* of the text, or of the array */
    const char *text;                  /* in this block, ends with a NUL */
    struct fta_redis_reply **elements; /* in this block; Owned, never NULL */
} fta_redis_reply;

void fta_redis_reply_free(fta_redis_reply *reply);

typedef struct fta_redis_reader fta_redis_reader;

fta_status fta_redis_reader_new(fta_redis_reader **out);
void fta_redis_reader_free(fta_redis_reader *reader);

/* Takes bytes in the pieces in which they arrive. */
fta_status fta_redis_reader_feed(fta_redis_reader *reader, const char *bytes,
                                 size_t length);

/* The next whole reply, or *out NULL while it is not complete. After an error
 * the reader is of no further use. */
fta_status fta_redis_reader_next(fta_redis_reader *reader,
                                 fta_redis_reply **out);

/* Whether every byte was part of a reply that fta_redis_reader_next returned.
 */
bool fta_redis_reader_is_empty(const fta_redis_reader *reader);

/* FTA_OK, or what the error in the reply means. Which errors are expected
 * depends on the request: see protocol.h. */
fta_status fta_redis_reply_status(const fta_redis_reply *reply);

#endif
