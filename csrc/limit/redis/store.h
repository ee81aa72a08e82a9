/* Redis as the limiter sees it: counters of many hosts that may be away.
 *
 * Three steps, so that a caller knows before whether it will wait. */
#ifndef FTA_LIMIT_REDIS_STORE_H
#define FTA_LIMIT_REDIS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "limit/rate.h"
#include "limit/redis/breaker.h"
#include "redis/problem.h"
#include "redis/reply.h"

typedef struct fta_redis_store fta_redis_store;

/* Connects to nothing yet. On failure problem says what is wrong, and never
 * a part of the URL that could be secret. */
fta_status fta_redis_store_open(fta_text url, fta_text prefix, int timeout_ms,
                                fta_redis_store **out,
                                fta_redis_problem *problem);

/* No call may be under way. */
void fta_redis_store_free(fta_redis_store *store);

/* From now on Redis is left alone. */
void fta_redis_store_stop(fta_redis_store *store);

typedef enum fta_redis_course {
    FTA_COURSE_KNOWN, /* The verdict is there: refused already, until later. */
    FTA_COURSE_ASK,   /* Ask, and wait. */
    FTA_COURSE_AWAY,  /* Do without. */
} fta_redis_course;

/* What to do about these hits; never waits. */
fta_redis_course fta_redis_store_look(fta_redis_store *store, fta_action action,
                                      const fta_hit *hits, size_t n,
                                      fta_breaker_view *view,
                                      fta_verdict *verdict);

/* Waits for Redis, but not longer than the timeout. A failure has been dealt
 * with: who comes next knows that Redis is away. */
fta_status fta_redis_store_ask(fta_redis_store *store, fta_strategy strategy,
                               fta_action action, const fta_hit *hits, size_t n,
                               fta_breaker_view view, fta_verdict *verdict);

typedef struct fta_redis_state {
    char url[256];            /* without secrets */
    bool cluster;             /* the URL says that it is one */
    fta_breaker_view changes; /* odd: away */
    fta_status failure;       /* the last one, FTA_OK: none yet */
    fta_redis_problem problem;
    bool stopped;
    bool has_counted; /* in this process, a call or a probe succeeded */
} fta_redis_state;

void fta_redis_store_read(fta_redis_store *store, fta_redis_state *out);

/* How often Redis went away or came back; odd while it is away. */
fta_breaker_view fta_redis_store_changes(fta_redis_store *store);

/* In how many ways calls have failed, as long as none ever succeeded: grows
 * with each status that was not seen before. */
uint32_t fta_redis_store_first_failures(fta_redis_store *store);

/* Has Redis count and forget a key of its own, as requests do, whatever the
 * breaker says; for people who ask. Waits until timeout_ms at most. */
fta_status fta_redis_store_check(fta_redis_store *store, int timeout_ms,
                                 fta_redis_problem *problem);

/* Sends another command; see fta_redis_counter_call. */
fta_status fta_redis_store_call(fta_redis_store *store, int argc,
                                const char *const *argv, const size_t *lengths,
                                int timeout_ms, fta_redis_reply **out,
                                fta_redis_problem *problem);

#endif
