/* The nodes that replies name: redirects, the address of a primary, the slots
 * of a cluster. */
#ifndef FTA_REDIS_NODES_H
#define FTA_REDIS_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "redis/reply.h"
#include "redis/url.h"

#define FTA_REDIS_SLOTS 16384

/* Reads "MOVED slot host:port" or "ASK slot host:port". An empty host means the
 * node that was asked. */
bool fta_redis_redirect_parse(const fta_redis_reply *reply,
                              const fta_redis_host *asked, unsigned *slot,
                              fta_redis_host *to);

/* Reads the reply to SENTINEL GET-MASTER-ADDR-BY-NAME: an array of two texts.
 */
bool fta_redis_address_parse(const fta_redis_reply *reply, fta_redis_host *to);

/* The nodes of a cluster, and which of them serves which slot. */
typedef struct fta_redis_slots {
    size_t count;
    fta_redis_host *nodes;           /* Owned; primaries and replicas */
    uint16_t owner[FTA_REDIS_SLOTS]; /* index into nodes, or NO_OWNER */
} fta_redis_slots;

#define FTA_REDIS_NO_OWNER UINT16_MAX

/* Reads the reply to CLUSTER SLOTS. */
fta_status fta_redis_slots_parse(const fta_redis_reply *reply,
                                 const fta_redis_host *asked,
                                 fta_redis_slots **out);

/* Makes a node the owner of a slot. */
fta_status fta_redis_slots_move(fta_redis_slots *slots, unsigned slot,
                                const fta_redis_host *to);

void fta_redis_slots_free(fta_redis_slots *slots);

/* The slot of a key whose hash tag is this text: CRC16 (XMODEM) modulo the
 * number of slots. */
unsigned fta_redis_slot_of(const char *tag, size_t length);

#endif
