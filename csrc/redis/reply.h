/* What Redis answers: hiredis reads the protocol, this file bounds what a
 * reply may cost and says what it means.
 *
 * The bytes come from the network and nothing about them is believed: a reply
 * may use FTA_REDIS_REPLY_MAX bytes on the wire and as much again in memory,
 * however it announces itself, and hold arrays in arrays FTA_REDIS_DEPTH_MAX
 * deep. A type of RESP3, which no command asks for, is malformed. */
#ifndef FTA_REDIS_REPLY_H
#define FTA_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/url.h"

#define FTA_REDIS_REPLY_MAX ((size_t)1 << 20)
/* CLUSTER SLOTS goes four deep. hiredis 0.14 refuses more than seven, later
 * ones have no bound of their own. */
#define FTA_REDIS_DEPTH_MAX 7
#define FTA_REDIS_SLOTS 16384

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

/* Takes bytes as they came. */
fta_status fta_redis_reader_feed(fta_redis_reader *reader, const char *bytes,
                                 size_t length);

/* The next whole reply, or *out NULL while it is not complete. After an error
 * the reader is of no further use. */
fta_status fta_redis_reader_next(fta_redis_reader *reader,
                                 fta_redis_reply **out);

/* Whether every byte fed was part of a reply already given out. */
bool fta_redis_reader_is_empty(const fta_redis_reader *reader);

/* FTA_OK, or what the error in the reply means. Which of them a reply may be
 * depends on the request: see redis_dialogue.h. */
fta_status fta_redis_reply_status(const fta_redis_reply *reply);

/* Reads "MOVED slot host:port" or "ASK slot host:port". An empty host means
 * the one that was asked, which asked names. */
bool fta_redis_redirect_parse(const fta_redis_reply *reply,
                              const fta_redis_host *asked, unsigned *slot,
                              fta_redis_host *to);

/* The answer to SENTINEL GET-MASTER-ADDR-BY-NAME: an array of two texts. */
bool fta_redis_address_parse(const fta_redis_reply *reply, fta_redis_host *to);

/* Which node serves which slot. */
typedef struct fta_redis_slots {
    size_t count;
    fta_redis_host *nodes;           /* Owned; primaries and replicas */
    uint16_t owner[FTA_REDIS_SLOTS]; /* index into nodes, or NO_OWNER */
} fta_redis_slots;

#define FTA_REDIS_NO_OWNER UINT16_MAX

/* Reads the answer to CLUSTER SLOTS. */
fta_status fta_redis_slots_parse(const fta_redis_reply *reply,
                                 const fta_redis_host *asked,
                                 fta_redis_slots **out);

/* Remembers that a slot has moved. */
fta_status fta_redis_slots_move(fta_redis_slots *slots, unsigned slot,
                                const fta_redis_host *to);

void fta_redis_slots_free(fta_redis_slots *slots);

/* The slot of a key whose hash tag is this text: CRC16 (XMODEM) modulo the
 * number of slots. */
unsigned fta_redis_slot_of(const char *tag, size_t length);

#endif
